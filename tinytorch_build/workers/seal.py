"""Whether the code that others rely on is still what it was: builtins, numpy, pytest, and the build's own.

A job that replaces a function of pytest may make every test pass, and one that replaces a function of numpy
makes its own mistakes look right, so the result of such a job proves nothing. The comparison is of identity:
each name must hold the very object that it held before, and each Python function its code. It notices what is
left behind, not what was put back in time, such as what pytest's `monkeypatch` does for the length of a test.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType

PACKAGES = frozenset({"_pytest", "pluggy", "pytest", "_hypothesis_pytestplugin", __name__.partition(".")[0]})
"""Watched with all that they hold, classes too: they reach the verdict."""
MODULES = frozenset({"builtins", "unittest.case", "numpy", "numpy.linalg", "numpy.random", "numpy.fft"})
"""Watched as they are; their classes are mostly of C, where nobody can replace anything."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A module or class, and the callables that it held when it was sealed."""

    name: str
    attributes: Mapping[str, object]  # the living dictionary of the module or class
    held: Mapping[str, object]


class Seal:
    """What the watched modules held when this was made; made once, before any job runs."""

    def __init__(self) -> None:
        self._holders = tuple(_holders())
        self._codes: tuple[tuple[str, FunctionType, CodeType], ...] = tuple(
            (f"{holder.name}.{name}", value, value.__code__)
            for holder in self._holders
            for name, value in holder.held.items()
            if isinstance(value, FunctionType)
        )

    def broken(self) -> str | None:
        """The full name of something that is not what it was; None if all is."""
        for holder in self._holders:
            now = holder.attributes
            for name, value in holder.held.items():
                if now.get(name) is not value:
                    return f"{holder.name}.{name}"
        return next((name for name, function, code in self._codes if function.__code__ is not code), None)


def _holders() -> Iterator[Holder]:
    for name, module in list(sys.modules.items()):
        if not isinstance(module, ModuleType) or not _is_watched(name):
            continue
        yield _sealed(name, vars(module))
        if name not in MODULES or name == "unittest.case":
            for value in list(vars(module).values()):
                if isinstance(value, type) and value.__module__ == name:
                    yield _sealed(f"{name}.{value.__qualname__}", vars(value))


def _is_watched(name: str) -> bool:
    return name in MODULES or name.partition(".")[0] in PACKAGES


def _sealed(name: str, attributes: Mapping[str, object]) -> Holder:
    held = {
        key: value
        for key, value in list(attributes.items())
        if callable(value) or isinstance(value, property | classmethod | staticmethod)
    }
    return Holder(name, attributes, held)
