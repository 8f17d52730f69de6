"""Finds the line on which each table, key and array item of a TOML text stands.

`tomllib` tells no lines, and tomlkit, which keeps every character, hands out none either. What is needed is
little: `tomllib` has the last word on what a text means, so this scanner never has to judge a value, only to
step over it. Where it meets something that it cannot step over, it gives up and knows no line at all, since
a wrong line costs the reader more than none.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

KeyPath = tuple[str | int, ...]
"""The keys, and for array items the indices, that lead to a value: `("modules", "dense", "depends", 0)`."""

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_REST_OF_LINE = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_KEY = re.compile(r"""([A-Za-z0-9_-]+)|("[^"\\\n]*(?:\\.[^"\\\n]*)*")|'([^'\n]*)'""")
_SCALAR = re.compile(
    r'''"""[^"\\]*(?:(?:\\[\s\S]|"(?!""))[^"\\]*)*""""{0,2}'''  # two quotes may precede the closing three
    r"""|'''(?:[^']|'(?!''))*''''{0,2}"""
    r'''|"[^"\\\n]*(?:\\.[^"\\\n]*)*"'''
    r"""|'[^'\n]*'"""
    r"""|[^\s,\[\]{}#"'=][^,\[\]{}\n#"'=]*"""  # a number, date or boolean; a date may hold a space
)


@dataclass(frozen=True, slots=True)
class Repeat:
    """A table or key that is declared a second time, which no TOML text may do.

    Attributes:
        path: what is declared.
        first: line of the first declaration.
        line: line of this one.
        is_table: whether this declaration is a table's header.
    """

    path: KeyPath
    first: int
    line: int
    is_table: bool


@dataclass(frozen=True, slots=True)
class TomlLines:
    """Where things stand in a TOML text.

    Attributes:
        lines: 1-based line of each table, key and array item; empty if the scan did not reach the end.
        repeats: declarations that repeat an earlier one, as far as the text could be followed.
    """

    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    repeats: tuple[Repeat, ...] = ()


def find_lines(text: str) -> TomlLines:
    """Scan a TOML text. A table without a header of its own stands where it is first mentioned.

    Args:
        text: the document; `tomllib` need not accept it, but no lines are promised then.
    """
    scanner = _Scanner(text.replace("\r\n", "\n"))
    try:
        scanner.document()
    except (_LostError, RecursionError):
        return TomlLines({}, tuple(scanner.repeats))
    return TomlLines({**scanner.mentioned, **scanner.declared}, tuple(scanner.repeats))


class _LostError(Exception):
    """The text is not what the scanner can step over."""


class _Scanner:
    """One walk over a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.declared: dict[KeyPath, int] = {}
        self.mentioned: dict[KeyPath, int] = {}
        self.repeats: list[Repeat] = []
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._lengths: dict[KeyPath, int] = {}  # of the arrays of tables so far

    def document(self) -> None:
        table: KeyPath = ()
        self._skip(_BLANK)
        while self.position < len(self.text):
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)
            self._expect(_REST_OF_LINE)
            self._skip(_BLANK)

    def _header(self) -> KeyPath:
        line = self._line()
        is_array = self.text.startswith("[[", self.position)
        self.position += 2 if is_array else 1
        keys = self._keys()
        self._literal("]]" if is_array else "]")
        path: KeyPath = ()
        for key in keys[:-1]:
            path = self._last_item((*path, key))
            self.mentioned.setdefault(path, line)
        path = (*path, keys[-1])
        if is_array:
            self.mentioned.setdefault(path, line)
            self._lengths[path] = self._lengths.get(path, 0) + 1
            path = self._last_item(path)
        self._declare(path, line, is_table=True)
        return path

    def _last_item(self, path: KeyPath) -> KeyPath:
        """An array of tables is entered by its latest item."""
        return (*path, self._lengths[path] - 1) if path in self._lengths else path

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        *parents, last = self._keys()
        for key in parents:
            table = (*table, key)
            self.mentioned.setdefault(table, line)
        path = (*table, last)
        self._declare(path, line, is_table=False)
        self._literal("=")
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        opening = self._peek()
        if opening == "[":
            self._array(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            self._expect(_SCALAR)

    def _array(self, path: KeyPath) -> None:
        self.position += 1
        self._skip(_BLANK)
        index = 0
        while self._peek() != "]":
            item = (*path, index)
            self._declare(item, self._line(), is_table=False)
            self._value(item)
            self._separator("]")
            index += 1
        self.position += 1

    def _inline_table(self, path: KeyPath) -> None:
        self.position += 1
        self._skip(_BLANK)  # line breaks came with TOML 1.1, which later Pythons read
        while self._peek() != "}":
            self._pair(path)
            self._separator("}")
        self.position += 1

    def _separator(self, closing: str) -> None:
        self._skip(_BLANK)
        if self._peek() == ",":
            self.position += 1
            self._skip(_BLANK)
        elif self._peek() != closing:
            raise _LostError

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._skip(_SPACE)
            bare, basic, literal = self._expect(_KEY).groups()
            keys.append(_decoded(basic) if basic is not None else bare if bare is not None else literal)
            self._skip(_SPACE)
            if self._peek() != ".":
                return keys
            self.position += 1

    def _declare(self, path: KeyPath, line: int, *, is_table: bool) -> None:
        first = self.declared.get(path)
        if first is None:
            self.declared[path] = line
        else:
            self.repeats.append(Repeat(path, first, line, is_table))

    def _line(self) -> int:
        return bisect_left(self._newlines, self.position) + 1

    def _peek(self) -> str:
        return self.text[self.position : self.position + 1]

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.position)
        if match is not None:
            self.position = match.end()

    def _expect(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self.text, self.position)
        if match is None:
            raise _LostError
        self.position = match.end()
        return match

    def _literal(self, wanted: str) -> None:
        if not self.text.startswith(wanted, self.position):
            raise _LostError
        self.position += len(wanted)


def _decoded(basic: str) -> str:
    """The text of a quoted key, which is a string like any other."""
    if "\\" not in basic:
        return basic[1:-1]
    try:
        return str(tomllib.loads(f"key = {basic}")["key"])
    except tomllib.TOMLDecodeError as error:
        raise _LostError from error
