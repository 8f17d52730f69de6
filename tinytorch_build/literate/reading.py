"""Reading a source file: percent format and notebooks by ourselves, every other text format by jupytext."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tinytorch_build.literate.document import Cell, CellKind, Document, UnreadableSource, directives_of
from tinytorch_build.literate.percent import is_percent, read_percent
from tinytorch_build.literate.syntax import PROCESS_WIDE
from tinytorch_build.model import Problem

_SOURCE_KEY = re.compile(r'\s*"source":\s*(\[|\[\],?|"",?)\s*$')
_KINDS: Mapping[str, CellKind] = {"code": "code", "markdown": "markdown", "raw": "raw"}


def read_document(path: Path, relative: str) -> Document:
    """The document in a file.

    Args:
        path: the file.
        relative: its POSIX path from the course's root, for messages.

    Raises:
        UnreadableSource: the file is missing, is not UTF-8, or holds no such document.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise _unreadable(relative, f"the source cannot be read: {reason}") from error
    return document_of(raw, relative)


def document_of(raw: bytes, relative: str) -> Document:
    """The document in some bytes.

    Args:
        raw: what the file holds.
        relative: its POSIX path from the course's root; the ending tells the format.

    Raises:
        UnreadableSource: the bytes are not UTF-8, or hold no document of that format.
    """
    try:
        text = raw.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _unreadable(relative, "the source is not UTF-8", line, "save it as UTF-8") from error
    extension = PurePosixPath(relative).suffix
    if extension == ".ipynb":
        return _notebook(text, relative)
    if extension == ".py" and is_percent(text):
        return Document(relative, read_percent(text))
    return _by_jupytext(text, relative)


def _unreadable(path: str, message: str, line: int | None = None, cure: str = "") -> UnreadableSource:
    return UnreadableSource(Problem("unreadable-source", message, path, line, cure))


def _notebook(text: str, relative: str) -> Document:
    cells = list(_notebook_cells(text, relative))
    lines = [number for number, line in enumerate(text.split("\n"), 1) if _SOURCE_KEY.match(line)]
    known = len(lines) == len(cells)
    made, following = [], 1
    for index, (kind, source, options) in enumerate(cells):
        # Where a source is a list, its strings stand one below the other under the key.
        line = lines[index] + 1 if known else following
        following = line + source.count("\n") + 2
        directives = tuple(directives_of(source, line))
        made.append(Cell(kind, source, line, directives, options=options))
    return Document(relative, tuple(made), known)


def _notebook_cells(text: str, relative: str) -> Iterator[tuple[CellKind, str, str]]:
    """Kind, source and nbdev metadata of each cell, with every shape checked on the way."""
    try:
        data = json.loads(text)
    except ValueError as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else None
        raise _unreadable(relative, f"the notebook is no valid JSON: {error}", line) from error
    cells = data.get("cells") if isinstance(data, dict) else None
    if not isinstance(cells, list):
        cure = "open it in Jupyter and save it, which brings it to version 4 of the format"
        raise _unreadable(relative, "the notebook has no list of cells", cure=cure)
    for number, cell in enumerate(cells, 1):
        fields = cell if isinstance(cell, dict) else {}
        kind = _KINDS.get(str(fields.get("cell_type")))
        source = _joined(fields.get("source"))
        if kind is None or source is None:
            raise _unreadable(relative, f"cell {number} of the notebook has no known type or no source")
        metadata = fields.get("metadata")
        directives = metadata.get("nbdev") if isinstance(metadata, dict) else None
        yield kind, source, f"nbdev={json.dumps(directives)}" if directives else ""


def _joined(source: object) -> str | None:
    """A cell's source, which nbformat stores as a string or as a list of lines."""
    if isinstance(source, str):
        return source
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        return "".join(source)
    return None


def cells_by_jupytext(text: str, relative: str) -> Sequence[Mapping[str, Any]]:
    """The cells that jupytext makes of a text, as they stand in a notebook.

    Args:
        text: the source.
        relative: its POSIX path from the course's root; the ending tells the format.

    Raises:
        UnreadableSource: jupytext refuses it.
    """
    import jupytext

    options = {"extension": PurePosixPath(relative).suffix, "comment_magics": False}
    try:
        with PROCESS_WIDE:
            cells: Sequence[Mapping[str, Any]] = jupytext.reads(text, options)["cells"]
    except Exception as error:  # whatever a YAML reader or an attribute of a wrong type makes of bad input
        reason = " ".join(str(error).split()) or type(error).__name__
        raise _unreadable(relative, f"jupytext cannot read the source: {reason}") from error
    return cells


def _by_jupytext(text: str, relative: str) -> Document:
    lines = text.split("\n")
    cells: list[Cell] = []
    position = 0
    for cell in cells_by_jupytext(text, relative):
        source = str(cell["source"])
        position = _position(lines, source.split("\n"), position)
        directives = tuple(directives_of(source, position + 1))
        cells.append(Cell(_KINDS[cell["cell_type"]], source, position + 1, directives))
        position += source.count("\n") + 1
    return Document(relative, tuple(cells))


def _position(lines: Sequence[str], source: Sequence[str], start: int) -> int:
    """The index where a cell's lines stand in the file, at `start` or below; `start` if they do not."""
    for index in range(start, len(lines) - len(source) + 1):
        if lines[index] == source[0] and list(lines[index : index + len(source)]) == list(source):
            return index
    return start
