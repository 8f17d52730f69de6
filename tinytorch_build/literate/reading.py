"""Reading a source file: percent format and notebooks by ourselves, every other text format by jupytext."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tinytorch_build.literate.document import Cell, CellKind, Document, directives_of, unreadable
from tinytorch_build.literate.notebook_file import read_notebook
from tinytorch_build.literate.percent import is_percent, read_percent
from tinytorch_build.literate.syntax import PROCESS_WIDE

_SOURCE_KEY = re.compile(r'\s*"source":\s*(\[|\[\],?|"",?)\s*$')
_MOST_BLANKS = 1000
_MANY_BLANKS = re.compile(rf"[ \t\f]{{{_MOST_BLANKS}}}")
"""In formats without comment signs, the time of jupytext's search for an encoding grows with their square."""

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
        raise unreadable(relative, f"the source cannot be read: {reason}") from error
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
        raise unreadable(relative, "the source is not UTF-8", line, "save it as UTF-8") from error
    extension = PurePosixPath(relative).suffix
    if extension == ".ipynb":
        return _notebook(text, relative)
    if extension == ".py" and is_percent(text):
        return Document(relative, read_percent(text))
    return _by_jupytext(text, relative)


def _notebook(text: str, relative: str) -> Document:
    cells = read_notebook(text, relative).cells
    lines = [number for number, line in enumerate(text.split("\n"), 1) if _SOURCE_KEY.match(line)]
    known = len(lines) == len(cells)
    made, following = [], 1
    for index, cell in enumerate(cells):
        # Where a source is a list, its strings stand one below the other under the key.
        line = lines[index] + 1 if known else following
        following = line + cell.source.count("\n") + 2
        directives = tuple(directives_of(cell.source, line))
        made.append(Cell(cell.kind, cell.source, line, directives, options=cell.nbdev))
    return Document(relative, tuple(made), known)


def notebook_by_jupytext(text: str, relative: str) -> Mapping[str, Any]:
    """The notebook that jupytext makes of a text.

    Args:
        text: the source.
        relative: its POSIX path from the course's root; the ending tells the format.

    Raises:
        UnreadableSource: jupytext refuses it, or would take very long over it.
    """
    import jupytext

    # Otherwise jupytext takes the comment sign off lines such as `# copy the rows`.
    options = {"extension": PurePosixPath(relative).suffix, "comment_magics": False}
    blanks = _MANY_BLANKS.search(text) if not relative.endswith(".py") else None
    if blanks is not None:
        line = text.count("\n", 0, blanks.start()) + 1
        message = f"{_MOST_BLANKS} blanks stand in a row, which jupytext may take minutes to read"
        raise unreadable(relative, message, line, "remove them")
    try:
        with PROCESS_WIDE:
            notebook: Mapping[str, Any] = jupytext.reads(text, options)
    except Exception as error:  # whatever a YAML reader or an attribute of a wrong type makes of bad input
        reason = " ".join(str(error).split()) or type(error).__name__
        raise unreadable(relative, f"jupytext cannot read the source: {reason}") from error
    return notebook


def cells_by_jupytext(text: str, relative: str) -> Sequence[Mapping[str, Any]]:
    """The cells that jupytext makes of a text, as they stand in a notebook.

    Raises:
        UnreadableSource: jupytext refuses it.
    """
    cells: Sequence[Mapping[str, Any]] = notebook_by_jupytext(text, relative)["cells"]
    return cells


def _by_jupytext(text: str, relative: str) -> Document:
    lines = text.split("\n")
    plain = [re.sub("^# ?", "", line) for line in lines]
    cells: list[Cell] = []
    position, known = 0, True
    for cell in cells_by_jupytext(text, relative):
        source = str(cell["source"])
        wanted = source.split("\n")
        found = _position(lines, wanted, position) if source.strip() else position
        if found is None and cell["cell_type"] != "code":  # prose may stand in comments
            found = _position(plain, wanted, position)
        known = known and found is not None
        position = position if found is None else found
        directives = tuple(directives_of(source, position + 1))
        cells.append(Cell(_KINDS[cell["cell_type"]], source, position + 1, directives))
        if source.strip() and found is not None:
            position += len(wanted)
    return Document(relative, tuple(cells), known)


def _position(lines: Sequence[str], source: Sequence[str], start: int) -> int | None:
    """The index where a cell's lines stand in the file, at `start` or below; None if they do not."""
    for index in range(start, len(lines) - len(source) + 1):
        if lines[index] == source[0] and list(lines[index : index + len(source)]) == list(source):
            return index
    return None
