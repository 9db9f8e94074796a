"""The web pages in a real browser, and their words in every language."""
