"""Collects what is wrong with a manifest, each with its place, and finds the words for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tinytorch_build.manifest.toml_lines import KeyPath
from tinytorch_build.model import Problem

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST = 60


class Findings:
    """The problems of one manifest.

    Args:
        file: how messages call it.
        lines: where tables, keys and items stand, as far as it is known.
    """

    def __init__(self, file: str, lines: Mapping[KeyPath, int]) -> None:
        self.file = file
        self._lines = lines
        self._found: list[tuple[float, Problem]] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def line(self, path: KeyPath) -> int | None:
        """The line on which a table, key or item stands."""
        return self._lines.get(path)

    def add(self, check: str, path: KeyPath | None, message: str, cure: str) -> None:
        """Note a problem with what stands at `path`; None for something that stands nowhere in the file."""
        line = None if path is None else self._lines.get(path)
        problem = Problem(check, message, self.file, line, cure)
        self._found.append((float("inf") if path is None else self._order(path), problem))

    def in_order(self) -> list[Problem]:
        """Every problem in the order of the file; those that stand nowhere in it come last."""
        return [problem for _, problem in sorted(self._found, key=lambda found: found[0])]

    def _order(self, path: KeyPath) -> float:
        """The line of the nearest thing around `path` whose line is known."""
        for length in range(len(path), 0, -1):
            line = self._lines.get(path[:length])
            if line is not None:
                return line
        return 0


def quoted(text: str) -> str:
    """A string as a message shows it: on one line, not too long."""
    return repr(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}...")


def listed(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *front, last = names
    return f"{', '.join(front)} and {last}" if front else last


def table_name(path: KeyPath) -> str:
    """A table as its header shows it: `[modules.tensor]`."""
    if not path:
        return "the manifest"
    return f"[{'.'.join(_key(str(part)) for part in path)}]"


def subject(path: KeyPath) -> str:
    """Table and key of a value: `[modules.tensor] source`; items of an array go by the array's key."""
    if isinstance(path[-1], int):
        path = path[:-1]
    return f"{table_name(path[:-1])} {_key(str(path[-1]))}" if len(path) > 1 else _key(str(path[-1]))


def described(value: object) -> str:
    """A value and its type, as a message shows it; never more than the outside of a table or an array."""
    if isinstance(value, str):
        return f"the string {quoted(value)}"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int):
        return "a huge integer" if abs(value) >= 10**18 else f"the integer {value}"
    if isinstance(value, float):
        return f"the float {value}"
    if isinstance(value, list):
        return "an array"
    return "a table" if isinstance(value, dict) else "a date or time"


def _key(text: str) -> str:
    return text if _BARE.fullmatch(text) else quoted(text)
