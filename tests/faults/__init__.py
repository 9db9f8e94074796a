"""Faults on purpose: a proxy that breaks TCP, and the matrix of what is broken when."""
