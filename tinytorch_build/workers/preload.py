"""What the server of the isolated processes loads beforehand, so that not every process has to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

FOR_CELLS = tuple(f"tinytorch_build.stages.{name}" for name in ("inside_cells", "inside_import"))
FOR_TESTS = ("pytest", "tinytorch_build.stages.warm_pytest")
LIBRARIES = {"numpy": ("numpy", "numpy.random"), "hypothesis": ("hypothesis",)}
"""Libraries that take their time, by the word that a file holds which imports them."""
EVERYTHING = (*(name for names in LIBRARIES.values() for name in names), *FOR_TESTS, *FOR_CELLS)


def worth_loading(sources: Iterable[Path], tests: Iterable[Path]) -> tuple[str, ...]:
    """The modules that nearly every process of a course will import.

    Args:
        sources: of the course's modules.
        tests: its test files. What they import by way of other files is not seen, and then loaded later.
    """
    tests = tuple(tests)
    texts = list(_contents((*sources, *tests)))
    libraries = [
        name
        for word, names in LIBRARIES.items()
        if any(word.encode() in text for text in texts)
        for name in names
    ]
    return (*libraries, *(FOR_TESTS if tests else ()), *FOR_CELLS)


def _contents(paths: Iterable[Path]) -> Iterator[bytes]:
    for path in paths:
        try:
            yield path.read_bytes()
        except OSError:  # its own task will say what is wrong with it
            continue
