"""A source while it is checked: its text, its cells, and what Python makes of each."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cached_property

from tinytorch_build.literate import Cell, Document, parse_code
from tinytorch_build.literate.percent import lines_in_strings
from tinytorch_build.model import CourseModule, Manifest, Problem, Severity

_LINE_MAGIC = re.compile(r"\s*(%{1,2}[A-Za-z_]|!{1,2}\s*\S|\?{1,2}\s*\w)|[^#'\"]*[\w)\].*]\?{1,2}\s*$")
_ASSIGNED_MAGIC = re.compile(r"([\w.,\s\[\]]+=\s*)(%\s*[A-Za-z_]|!\s*\S)")
_CELL_MAGIC = re.compile(r"\s*%%(\w+)")
_MAGICS_OVER_PYTHON = frozenset({"capture", "debug", "prun", "time", "timeit"})


@dataclass(frozen=True, slots=True)
class ParsedCell:
    """A code cell and what Python makes of it.

    Attributes:
        cell: the cell.
        tree: its syntax tree, in the cell's own line numbers; Jupyter commands count as `pass`. None if it
            does not parse.
        magics: 1-based lines of the file that hold Jupyter commands.
        error: why it does not parse, or None.
    """

    cell: Cell
    tree: ast.Module | None
    magics: tuple[int, ...] = ()
    error: SyntaxError | None = None

    def line(self, node: ast.stmt | ast.expr | ast.alias) -> int:
        """The 1-based line of the file where a node of the tree stands."""
        return self.cell.line + node.lineno - 1


@dataclass(frozen=True)
class SourceUnderCheck:
    """What the checks before the export look at.

    Attributes:
        manifest: the course.
        module: the module whose source it is.
        raw: the bytes of the file.
        document: its cells, or None while it is not known whether they can be read.
    """

    manifest: Manifest
    module: CourseModule
    raw: bytes
    document: Document | None = None

    @property
    def path(self) -> str:
        """POSIX path from the course's root."""
        return self.module.source

    @property
    def cells(self) -> tuple[Cell, ...]:
        return self.document.cells if self.document is not None else ()

    @cached_property
    def text(self) -> str:
        return self.raw.decode("utf-8", errors="replace").replace("\r\n", "\n")

    @cached_property
    def code(self) -> tuple[ParsedCell, ...]:
        """The code cells, parsed."""
        return tuple(parse_cell(cell) for cell in self.cells if cell.kind == "code")

    @property
    def exported(self) -> tuple[ParsedCell, ...]:
        """The exported cells, parsed."""
        return tuple(parsed for parsed in self.code if parsed.cell.exported)

    def problem(
        self,
        check: str,
        message: str,
        line: int | None = None,
        cure: str = "",
        severity: Severity = Severity.ERROR,
    ) -> Problem:
        """A problem of this source."""
        if self.document is not None and not self.document.lines_known:
            line = None
        return Problem(check, message, self.path, line, cure, severity)


def parse_cell(cell: Cell) -> ParsedCell:
    """A code cell, parsed; Jupyter commands are looked for only if Python alone cannot read it."""
    try:
        return ParsedCell(cell, parse_code(cell.code))
    except SyntaxError as error:
        first = error
    text, magics = _without_magics(cell.code)
    lines = tuple(cell.line + number - 1 for number in magics)
    if not magics:
        return ParsedCell(cell, None, lines, first)
    try:
        return ParsedCell(cell, parse_code(text), lines)
    except SyntaxError as error:
        return ParsedCell(cell, None, lines, error)


def _without_magics(code: str) -> tuple[str, list[int]]:
    """Some code with its Jupyter commands replaced line by line, and the 1-based lines where they stood."""
    lines = code.split("\n")
    top = next((index for index, line in enumerate(lines) if line.strip()), 0)
    magic = _CELL_MAGIC.match(lines[top])
    if magic and magic[1] not in _MAGICS_OVER_PYTHON:
        return "", [top + 1]
    quoted = lines_in_strings(code)
    found: list[int] = []
    continued = False
    for index, line in enumerate(lines):
        if continued:
            lines[index] = ""
        elif index + 1 in quoted:
            continue
        elif assigned := _ASSIGNED_MAGIC.match(line):
            lines[index] = f"{assigned[1]}None"
        elif _LINE_MAGIC.match(line):
            lines[index] = line[: len(line) - len(line.lstrip())] + "pass"
        else:
            continue
        if not continued:
            found.append(index + 1)
        continued = line.endswith("\\")
    return "\n".join(lines), found
