"""Docstring coverage of an export."""

from __future__ import annotations

from tinytorch_build.report.pages.docstrings import Coverage, docstring_coverage

MODULE = '''
__all__ = ["Shape", "area", "side"]

LIMIT = 3

class Shape:
    """A shape."""
    def __init__(self): ...
    def grow(self):
        """Become larger."""
    @property
    def size(self):
        """Its size."""
    @size.setter
    def size(self, value): ...
    def _inner(self): ...
    class Part: ...

def area(shape): ...

async def side(shape):
    """Its side."""

def _helper(): ...
'''


def test_public_names_with_and_without() -> None:
    coverage = docstring_coverage(MODULE)
    assert coverage == Coverage(("Shape", "Shape.grow", "Shape.size", "side"), ("Shape.Part", "area"))
    assert coverage.total == 6
    assert coverage.percent == 66


def test_nothing_to_document_is_complete() -> None:
    empty = docstring_coverage("LIMIT = 3\n")
    assert empty is not None
    assert empty.percent == 100


def test_all_but_one_of_many_is_not_complete() -> None:
    assert Coverage(tuple(map(str, range(999))), ("x",)).percent == 99


def test_what_is_no_python_has_none() -> None:
    assert docstring_coverage("def (") is None
    assert docstring_coverage("x = '\x00'") is None
