"""From a line of an exported module back to the line of the source that it came from."""

from __future__ import annotations

import ast
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property

from tinytorch_build.literate.document import Cell, Document
from tinytorch_build.literate.syntax import parse_code

GENERATED = "# %% auto #0"
"""The line that nbdev writes above the `__all__` that it makes."""


@dataclass(frozen=True, slots=True)
class _Span:
    """The lines of one statement of the export, and how far they stand from those of the source."""

    first: int
    last: int
    shift: int


class SourceLines:
    """Maps lines of an export to lines of its source.

    The top-level statements of both are walked in lockstep. If the export does not parse, or holds other
    statements than the exported cells, lines are matched by their text.
    """

    def __init__(self, export: str, document: Document) -> None:
        """
        Args:
            export: text of the exported module.
            document: the source that it was exported from.
        """
        self._lines = export.split("\n")
        self._export = export
        self._document = document

    def source_line(self, export_line: int) -> int | None:
        """The 1-based line of the source for a 1-based line of the export; None for what nbdev added."""
        if not self._document.lines_known or not 1 <= export_line <= len(self._lines):
            return None
        if not self._spans:
            return self._by_text.get(export_line)
        index = bisect_right([span.first for span in self._spans], export_line) - 1
        if index >= 0 and export_line <= self._spans[index].last:
            return export_line + self._spans[index].shift
        # Between statements stand comments and blank lines, which belong to the one above or the one below.
        for neighbour in (index, index + 1):
            if 0 <= neighbour < len(self._spans):
                line = export_line + self._spans[neighbour].shift
                if self._source.get(line) == self._lines[export_line - 1]:
                    return line
        return None

    @cached_property
    def _source(self) -> Mapping[int, str]:
        """The lines of the exported cells under their numbers."""
        return {
            number: line
            for cell in self._document.exported_cells
            for number, line in enumerate(cell.code.split("\n"), cell.line)
        }

    @cached_property
    def _spans(self) -> tuple[_Span, ...]:
        """The statements of the export in order; none if they cannot be paired with those of the source."""
        try:
            exported = export_statements(self._export)
            written = [line for cell in self._document.exported_cells for line in _statement_lines(cell)]
        except SyntaxError:
            return ()
        if len(exported) != len(written):
            return ()
        return tuple(
            _Span(
                first_line(statement), statement.end_lineno or statement.lineno, line - first_line(statement)
            )
            for statement, line in zip(exported, written, strict=True)
        )

    @cached_property
    def _by_text(self) -> Mapping[int, int]:
        numbers = [number for number, line in self._source.items() if line.strip()]
        theirs = [number for number, line in enumerate(self._lines, 1) if line.strip()]
        matcher = SequenceMatcher(
            None,
            [self._lines[number - 1] for number in theirs],
            [self._source[number] for number in numbers],
            autojunk=False,
        )
        return {
            theirs[block.a + offset]: numbers[block.b + offset]
            for block in matcher.get_matching_blocks()
            for offset in range(block.size)
        }


def export_statements(export: str) -> list[ast.stmt]:
    """The top-level statements of an export without the `__all__` that nbdev made.

    Raises:
        SyntaxError: the export is no Python.
    """
    lines = export.split("\n")
    return [statement for statement in parse_code(export).body if not _is_generated(statement, lines)]


def first_line(statement: ast.stmt) -> int:
    """The line where a statement begins, its decorators included."""
    decorators: Sequence[ast.expr] = getattr(statement, "decorator_list", ())
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


def _is_generated(statement: ast.stmt, lines: Sequence[str]) -> bool:
    return isinstance(statement, ast.Assign) and lines[statement.lineno - 2].rstrip() == GENERATED


def _statement_lines(cell: Cell) -> Iterator[int]:
    """The line of the file where each top-level statement of a cell begins."""
    for statement in parse_code(cell.code).body:
        yield cell.line + first_line(statement) - 1
