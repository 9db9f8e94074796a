"""The search service: its index, its providers, its charge, and the whole over HTTP."""
