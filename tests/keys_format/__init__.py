"""Tests of the form of keys and key ids."""
