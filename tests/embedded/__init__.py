"""Embedded servers: start, stop, death, and who owns a folder."""
