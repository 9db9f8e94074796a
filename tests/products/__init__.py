"""Tests of the catalogue, its prices and holds, and of token counting."""
