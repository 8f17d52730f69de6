"""Turn a course written as literate source files into a package that is known to work."""

__version__ = "0.1.0"
