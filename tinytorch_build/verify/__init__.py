"""Trying the package out as a student meets it: installed in a fresh environment, and in a fresh clone."""
