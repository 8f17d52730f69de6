"""What a literate source holds: cells, and the directives at their tops."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from tinytorch_build.errors import CourseError
from tinytorch_build.model import Problem

CellKind = Literal["code", "markdown", "raw"]

EXPORTING = ("export", "exports", "exporti")
"""The directives by which nbdev writes a cell's code into the module (`exportd`: into its documentation)."""

_DIRECTIVE = re.compile(r"\s*#\s*\|")
_NAME_AND_VALUE = re.compile(r"([^\s:]+)\s*:?\s?(.*?)\s*$")
_CELL_MAGIC = re.compile(r"\s*%%\w+")


class UnreadableSource(CourseError):
    """A source that cannot be taken apart into cells.

    Attributes:
        problem: what is wrong with it.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem)

    def __str__(self) -> str:
        return str(self.problem)


def unreadable(path: str, message: str, line: int | None = None, cure: str = "") -> UnreadableSource:
    """The exception for a source of which this can be said.

    Args:
        path: its POSIX path from the course's root.
        message: what was found.
        line: 1-based line of the file, or None.
        cure: what to do about it.
    """
    return UnreadableSource(Problem("unreadable-source", message, path, line, cure))


@dataclass(frozen=True, slots=True)
class Directive:
    """A line such as `#| export` that tells nbdev what to do with a cell.

    Attributes:
        name: `export`.
        arguments: what follows the name, without a leading colon; `true` counts as nothing, as in nbdev.
        line: 1-based line of the file.
    """

    name: str
    arguments: str
    line: int

    def __str__(self) -> str:
        return f"#| {self.name} {self.arguments}".rstrip()


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a source.

    Attributes:
        kind: what it holds.
        source: its text; for prose without the comment signs or quotes around it.
        line: 1-based line of the file where the first line of `source` stands.
        directives: those at its top, where nbdev reads them.
        marker: 1-based line of its `# %%`, or None.
        options: what follows `# %%` in that line, and a notebook's `nbdev` metadata.
        stray: in a cell of prose, 1-based line of text that is neither comment nor the one string: code that
            jupytext takes for prose.
        open_fence: in a cell of prose, 1-based line of a ``` that is closed below the cell only, so that
            jupytext takes the cells between for prose.
    """

    kind: CellKind
    source: str
    line: int
    directives: tuple[Directive, ...] = ()
    marker: int | None = None
    options: str = ""
    stray: int | None = None
    open_fence: int | None = None

    @property
    def exported(self) -> bool:
        """Whether nbdev writes its code into the module that `default_exp` names."""
        return self.kind == "code" and any(
            directive.name in EXPORTING and not directive.arguments for directive in self.directives
        )

    @property
    def evaluated(self) -> bool:
        """Whether it runs when the cells run: no `#| eval: false`."""
        return not any(
            directive.name == "eval" and directive.arguments.lower() == "false"
            for directive in self.directives
        )

    @property
    def code(self) -> str:
        """The source with its directive lines made blank, so that every line keeps its number."""
        lines = self.source.split("\n")
        for directive in self.directives:
            lines[directive.line - self.line] = ""
        return "\n".join(lines)

    @property
    def last_line(self) -> int:
        """1-based line of the file where the last line of `source` stands."""
        return self.line + self.source.count("\n")


@dataclass(frozen=True)
class Document:
    """A literate source, taken apart.

    Attributes:
        path: POSIX path from the course's root.
        cells: all of them, in order.
        lines_known: whether the cells' line numbers are those of the file. They are not in a notebook that
            some tool wrote without line breaks.
    """

    path: str
    cells: tuple[Cell, ...]
    lines_known: bool = True

    @cached_property
    def code_cells(self) -> tuple[Cell, ...]:
        return tuple(cell for cell in self.cells if cell.kind == "code")

    @cached_property
    def exported_cells(self) -> tuple[Cell, ...]:
        return tuple(cell for cell in self.cells if cell.exported)

    @cached_property
    def default_exports(self) -> tuple[Directive, ...]:
        """Every `#| default_exp` that nbdev reads."""
        return tuple(
            directive
            for cell in self.code_cells
            for directive in cell.directives
            if directive.name == "default_exp"
        )

    def exported_source(self) -> str:
        """The exported cells with their directives and nothing else of the file: what an export depends on.

        Edits of prose and of inline tests leave it as it is, and so do lines that move.
        """
        cells = (cell.source.strip("\n") for cell in self.exported_cells)
        return "".join(f"{len(text)}\n{text}\n" for text in cells)


def directives_of(source: str, line: int) -> Iterator[Directive]:
    """The directives where nbdev reads them: before anything but blank lines and cell magics.

    Args:
        source: text of a cell.
        line: 1-based line of the file where it begins.
    """
    for offset, text in enumerate(source.split("\n")):
        if start := _DIRECTIVE.match(text):
            found = _NAME_AND_VALUE.match(text[start.end() :].strip())
            if found:
                name, value = found.groups()
                yield Directive(name, "" if value == "true" else value, line + offset)
        elif text.strip() and not _CELL_MAGIC.match(text):
            return
