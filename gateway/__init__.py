"""Sluice's front door: admits, forwards, meters and charges; never does a product's work itself."""
