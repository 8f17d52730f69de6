"""Compatibility: the public names of the package against those of an earlier release."""
