"""Reading a notebook's JSON: every shape is checked here, so that nobody after it meets a surprise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinytorch_build.literate.document import CellKind, unreadable

_KINDS: Mapping[str, CellKind] = {"code": "code", "markdown": "markdown", "raw": "raw"}
_FORMAT = 4


@dataclass(frozen=True, slots=True)
class StoredCell:
    """A cell as a notebook's file holds it.

    Attributes:
        kind: what it holds.
        source: its text.
        metadata: what tools have noted on it.
    """

    kind: CellKind
    source: str
    metadata: Mapping[str, Any]

    @property
    def nbdev(self) -> str:
        """What nbdev looks for directives in, whatever its shape, or the empty string."""
        return f"nbdev={json.dumps(self.metadata['nbdev'])}" if "nbdev" in self.metadata else ""


@dataclass(frozen=True, slots=True)
class StoredNotebook:
    """What a notebook's file holds, without outputs.

    Attributes:
        cells: its cells, in order.
        metadata: what tools have noted on the whole.
    """

    cells: tuple[StoredCell, ...]
    metadata: Mapping[str, Any]


def read_notebook(text: str, relative: str) -> StoredNotebook:
    """The notebook in a text.

    Args:
        text: the content of the file.
        relative: its POSIX path from the course's root, for messages.

    Raises:
        UnreadableSource: it is no notebook of version 4 of the format.
    """
    data = _parsed(text, relative)
    cells = data.get("cells") if isinstance(data, dict) else None
    if not isinstance(cells, list):
        cure = "open it in Jupyter and save it, which brings it to version 4 of the format"
        raise unreadable(relative, "the notebook has no list of cells", cure=cure)
    version = data.get("nbformat", _FORMAT)
    if version != _FORMAT:
        shown = json.dumps(version)[:40]
        raise unreadable(relative, f"the notebook's nbformat is {shown}, and only {_FORMAT} can be read")
    made = tuple(_cell(cell, number, relative) for number, cell in enumerate(cells, 1))
    return StoredNotebook(made, _metadata(data, "the notebook", relative))


def _parsed(text: str, relative: str) -> Any:
    try:
        data = json.loads(text)
    except ValueError as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else None
        raise unreadable(relative, f"the notebook is no valid JSON: {error}", line) from error
    except RecursionError as error:
        raise unreadable(relative, "the notebook's JSON is nested too deeply") from error
    if "\\u" in text:
        try:
            json.dumps(data, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:  # half of a pair, which JSON can hold and a file cannot
            half = f"\\u{ord(error.object[error.start]):04x}"
            raise unreadable(relative, f"the notebook holds {half}, which is no character") from error
    return data


def _cell(cell: Any, number: int, relative: str) -> StoredCell:
    fields = cell if isinstance(cell, dict) else {}
    kind = _KINDS.get(str(fields.get("cell_type")))
    source = _joined(fields.get("source"))
    if kind is None or source is None:
        raise unreadable(relative, f"cell {number} of the notebook has no known type or no source")
    return StoredCell(kind, source, _metadata(fields, f"cell {number} of the notebook", relative))


def _metadata(fields: Mapping[str, Any], what: str, relative: str) -> Mapping[str, Any]:
    metadata = fields.get("metadata", {})
    if not isinstance(metadata, dict):
        raise unreadable(relative, f"{what} has metadata that are no JSON object")
    return metadata


def _joined(source: object) -> str | None:
    """A cell's source, which nbformat stores as a string or as a list of lines."""
    if isinstance(source, str):
        return source
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        return "".join(source)
    return None
