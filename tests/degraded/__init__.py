"""Stores, disks and services that are away, each row of the table of degraded modes."""
