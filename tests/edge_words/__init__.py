"""Tests of routes, refusals, addresses and the other words of the edge."""
