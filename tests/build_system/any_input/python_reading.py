"""What Python itself makes of a source in percent format: a third reading, beside jupytext's and the build's own."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterator, Sequence

_MARKER = re.compile(r"# ?%%(?:\s+(?P<title>.*)|)$")
_EXPORT = re.compile(r"\s*#\s*\|\s*export[si]?\s*$")
_DIRECTIVE = re.compile(r"\s*#\s*\|")


def exported_statements(text: str) -> list[str] | None:
    """The statements of the exported cells as Python's own tokenizer and parser see them, as dumped trees.

    Args:
        text: a whole file in percent format that is Python from top to bottom.

    Returns:
        None where the file as a whole is no Python, or has cells in other notations than `# %%`.
    """
    try:
        tree = _parsed(text)
        comments = [
            token
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type == tokenize.COMMENT
        ]
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError):
        return None
    marks = [
        (token.start[0], found["title"] or "")
        for token in comments
        if token.start[1] == 0 and (found := _MARKER.match(token.string))
    ]
    if not marks:
        return None
    lines = text.split("\n")
    ends = [line for line, _ in marks[1:]] + [len(lines) + 1]
    exported = [
        range(line, end)
        for (line, title), end in zip(marks, ends, strict=True)
        if "[" not in title and is_exported(lines[line : end - 1])
    ]
    return [plain(node) for node in tree.body if any(node.lineno in cell for cell in exported)]


def code_statements(text: str) -> list[str]:
    """The statements of some code, as dumped trees."""
    return [plain(node) for node in _parsed(text).body]


def _parsed(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of invalid escapes
        return ast.parse(text)


def is_exported(lines: Sequence[str]) -> bool:
    """Whether one of the directives at the top of a cell exports it."""
    for line in lines:
        if _EXPORT.match(line):
            return True
        if line.strip() and not _DIRECTIVE.match(line):
            return False
    return False


def export_statements(text: str, dotted: str) -> list[str]:
    """The statements of an export, as dumped trees, without the `__all__` that nbdev writes at its top."""
    return list(_without_all(_parsed(text), text.split("\n"), dotted))


def _without_all(tree: ast.Module, lines: list[str], dotted: str) -> Iterator[str]:
    written = False
    for node in tree.body:
        if not written and lines[node.lineno - 2] == "# %% auto #0":
            written = True
            continue
        yield plain(node, dotted)


def plain(node: ast.stmt, dotted: str = "") -> str:
    """A statement as text; a relative import, which nbdev makes, as the absolute one that it stands for."""
    for inner in ast.walk(node):
        if dotted and isinstance(inner, ast.ImportFrom) and inner.level:
            above = dotted.split(".")[: -inner.level]
            inner.module, inner.level = ".".join([*above, inner.module] if inner.module else above), 0
    return ast.dump(node)
