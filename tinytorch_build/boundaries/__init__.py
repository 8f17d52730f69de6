"""Boundaries: what the modules of the published package import of each other, against what they declare."""
