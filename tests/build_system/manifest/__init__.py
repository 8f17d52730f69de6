"""Tests of the reading of `modules.toml`."""
