"""Notebooks that people edit: noticed before anything is overwritten, and brought back into the source."""
