"""The request path from a client's socket to a service's and back, on real sockets and servers."""
