"""The internal services behind the gateway; they meet it over HTTP and never import it."""
