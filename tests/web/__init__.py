"""The web pages and the calls that they make."""
