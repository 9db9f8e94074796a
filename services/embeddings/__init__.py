"""Embeddings: texts and pictures as vectors, in every encoding that clients ask for."""
