"""The cells of a notebook, as far as they are somebody's work: kind and text, without outputs and numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tinytorch_build.files import sha256
from tinytorch_build.literate.document import CellKind

_KINDS: tuple[CellKind, ...] = ("code", "markdown", "raw")

METADATA_KEY = "tinytorch_build"
"""Under this name a notebook's metadata hold the digest of the cells that it was made with."""


class NoNotebook(ValueError):
    """The bytes are no notebook; the message says why."""


@dataclass(frozen=True, slots=True)
class NotebookCell:
    """A cell of a notebook.

    Attributes:
        kind: code, markdown or raw.
        source: its text, without line ends at its end.
        id: its identifier, or the empty string in notebooks older than version 4.5 of the format.
    """

    kind: CellKind
    source: str
    id: str = ""

    @property
    def content(self) -> tuple[CellKind, str]:
        """What makes it the same cell as another, as far as work is concerned."""
        return self.kind, self.source


@dataclass(frozen=True, slots=True)
class NotebookCells:
    """What a notebook holds.

    Attributes:
        cells: its cells, in order, without the empty ones: Jupyter adds one at the end of its own accord.
        made_with: digest of the cells that the build made it with, or None if that is not known.
    """

    cells: tuple[NotebookCell, ...]
    made_with: str | None = None

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the cells' kinds and texts."""
        return digest_of_cells(self.cells)

    @property
    def is_edited(self) -> bool:
        """Whether somebody has changed the cells since the build made them, as far as is known."""
        return self.digest != self.made_with


def digest_of_cells(cells: Sequence[NotebookCell]) -> str:
    """Hex SHA-256 of kinds and texts of cells, in order."""
    return sha256(json.dumps([cell.content for cell in cells]).encode())


def read_cells(data: bytes) -> NotebookCells:
    """The cells of a notebook.

    Args:
        data: the bytes of its file.

    Raises:
        NoNotebook: they are none.
    """
    try:
        notebook = json.loads(data.decode("utf-8"))
        if b"\\u" in data:  # half of a pair, which JSON can hold, could never be written into a source
            json.dumps(notebook, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise NoNotebook(f"it is no valid JSON: {error}") from error
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise NoNotebook("it has no list of cells")
    cells = tuple(cell for cell in _cells(notebook["cells"]) if cell.source)
    return NotebookCells(cells, _made_with(notebook))


def _cells(cells: list[Any]) -> Iterator[NotebookCell]:
    for number, cell in enumerate(cells, 1):
        kind = cell.get("cell_type") if isinstance(cell, dict) else None
        source = cell.get("source") if isinstance(cell, dict) else None
        if isinstance(source, list) and all(isinstance(line, str) for line in source):
            source = "".join(source)
        if kind not in _KINDS or not isinstance(source, str):
            raise NoNotebook(f"its cell {number} has no known type or no text")
        text = source.replace("\r\n", "\n").rstrip("\n\t ")
        yield NotebookCell(kind, text, str(cell.get("id") or ""))


def _made_with(notebook: dict[str, Any]) -> str | None:
    metadata = notebook.get("metadata")
    ours = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    digest = ours.get("cells") if isinstance(ours, dict) else None
    return digest if isinstance(digest, str) else None
