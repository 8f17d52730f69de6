"""Whether an export holds what the exported cells say, by a reading without jupytext and nbdev."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from tinytorch_build.literate import (
    Cell,
    Document,
    SourceLines,
    export_statements,
    first_line,
    parse_code,
)
from tinytorch_build.model import CourseModule, Manifest, Problem

_CURE = "look above this line for a `# %%` line or quotes that a tool reads in another way than Python does"


def check_fidelity(manifest: Manifest, module: CourseModule, document: Document, text: str) -> list[Problem]:
    """Compare an export with the exported cells of its source, statement by statement.

    What nbdev changes on purpose is evened out: it makes an `__all__`, and in-package imports relative.

    Args:
        manifest: the course.
        module: the module that was exported.
        document: its source, by our own reading.
        text: the export; empty if nbdev wrote no file.
    """
    if not text.strip():
        cure = "begin the file with `#| default_exp` and each cell of the package with `#| export`"
        message = f"nbdev made no module {manifest.dotted(module)} of this source"
        return [Problem("export-missing", message, document.path, cure=cure)]
    try:
        exported = export_statements(text)
    except SyntaxError as error:
        line = SourceLines(text, document).source_line(error.lineno or 0)
        return [
            Problem(
                "export-differs", f"the export is not valid Python: {error.msg}", document.path, line, _CURE
            )
        ]
    try:
        written = list(_written(document))
    except SyntaxError as error:
        message = f"an exported cell is not valid Python: {error.msg}"
        return [Problem("export-differs", message, document.path, None, _CURE)]
    lines = text.split("\n")
    for (cell, expected), found in zip(written, exported, strict=False):
        # The same text has the same tree, and is compared in a fraction of the time.
        same = _text(expected, cell.code.split("\n")) == _text(found, lines)
        if not same and _plain(expected, manifest, module) != _plain(found, manifest, module):
            return [_differs(document, cell, expected, "the export holds other code than this exported cell")]
    if len(written) > len(exported):
        cell, expected = written[len(exported)]
        return [_differs(document, cell, expected, "the export does not hold the code from here on")]
    if len(written) < len(exported):
        message = "the export holds more code than the exported cells"
        return [Problem("export-differs", message, document.path, None, _CURE)]
    return []


def _written(document: Document) -> Iterator[tuple[Cell, ast.stmt]]:
    """Each statement of the exported cells.

    Raises:
        SyntaxError: a cell is no Python, which the checks before the export do not let through.
    """
    for cell in document.exported_cells:
        for statement in parse_code(cell.code).body:
            yield cell, statement


def _differs(document: Document, cell: Cell, statement: ast.stmt, message: str) -> Problem:
    line = cell.line + first_line(statement) - 1 if document.lines_known else None
    return Problem("export-differs", message, document.path, line, _CURE)


def _text(statement: ast.stmt, lines: Sequence[str]) -> tuple[Sequence[str], int, int | None]:
    """The lines that a statement stands in, and where in the first and the last of them it does."""
    rows = lines[first_line(statement) - 1 : statement.end_lineno]
    return rows, statement.col_offset, statement.end_col_offset


def _plain(statement: ast.stmt, manifest: Manifest, module: CourseModule) -> str:
    """A statement as text that tells apart what differs in meaning and nothing else."""
    for node in ast.walk(statement):
        if isinstance(node, ast.ImportFrom) and node.level:
            package = manifest.dotted(module).split(".")[: -node.level]
            node.module = ".".join([*package, *([node.module] if node.module else [])])
            node.level = 0
    return ast.dump(statement)
