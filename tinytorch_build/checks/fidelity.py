"""Whether an export holds what the exported cells say, by a reading without jupytext and nbdev."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tinytorch_build.literate import Document, SourceLines, export_statements, parse_code
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
        exported = [_plain(statement, manifest, module) for statement in export_statements(text)]
    except SyntaxError as error:
        line = SourceLines(text, document).source_line(error.lineno or 0)
        return [
            Problem(
                "export-differs", f"the export is not valid Python: {error.msg}", document.path, line, _CURE
            )
        ]
    written = list(_written(manifest, module, document))
    for (line, expected), found in zip(written, exported, strict=False):
        if expected != found:
            message = "the export holds other code than this exported cell"
            return [Problem("export-differs", message, document.path, line, _CURE)]
    if len(written) > len(exported):
        message = "the export does not hold the code from here on"
        return [Problem("export-differs", message, document.path, written[len(exported)][0], _CURE)]
    if len(written) < len(exported):
        last = written[-1][0] if written else None
        message = "the export holds more code than the exported cells"
        return [Problem("export-differs", message, document.path, last, _CURE)]
    return []


def _written(
    manifest: Manifest, module: CourseModule, document: Document
) -> Iterator[tuple[int | None, str]]:
    """Each statement of the exported cells with its line; a cell that does not parse counts as one."""
    for cell in document.exported_cells:
        try:
            statements = parse_code(cell.code).body
        except SyntaxError:
            yield (cell.line if document.lines_known else None), ""
            continue
        for statement in statements:
            line = cell.line + statement.lineno - 1 if document.lines_known else None
            yield line, _plain(statement, manifest, module)


def _plain(statement: ast.stmt, manifest: Manifest, module: CourseModule) -> str:
    """A statement as text that tells apart what differs in meaning and nothing else."""
    for node in ast.walk(statement):
        if isinstance(node, ast.ImportFrom) and node.level:
            package = manifest.dotted(module).split(".")[: -node.level]
            node.module = ".".join([*package, *([node.module] if node.module else [])])
            node.level = 0
    return ast.dump(statement)
