"""The suite: mirrors the product; real PostgreSQL, real Redis, real sockets."""
