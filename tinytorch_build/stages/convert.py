"""Convert: a literate source becomes a notebook whose bytes depend on the source alone."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from tinytorch_build.literate import PROCESS_WIDE, notebook_by_jupytext, read_notebook, unreadable

CELL_ID_DIGITS = 12
"""Hex digits of a cell's id: 48 bits, so that two cells of a course never meet by chance."""


def notebook_text(raw: bytes, source: str) -> str:
    """The notebook of a source, as JSON text.

    Cell ids come from the cells' content and outputs are dropped, so that the same source gives the same
    bytes on every run and in every checkout, and an edit leaves the ids of the other cells alone.

    Args:
        raw: the source's bytes, UTF-8.
        source: its POSIX path from the course's root; the ending tells the format.

    Raises:
        UnicodeDecodeError: the bytes are no UTF-8 (the checks before the export say so first).
        UnreadableSource: jupytext or Jupyter would refuse it.
    """
    import nbformat.v4

    text = raw.decode("utf-8").replace("\r\n", "\n")
    if PurePosixPath(source).suffix == ".ipynb":
        stored = read_notebook(text, source)
        cells = [_canonical_cell(cell.kind, cell.source, cell.metadata) for cell in stored.cells]
        metadata = stored.metadata
    else:
        made = notebook_by_jupytext(text, source)
        cells = [
            _canonical_cell(cell["cell_type"], cell["source"], cell["metadata"]) for cell in made["cells"]
        ]
        metadata = made["metadata"]
    notebook = _canonical(cells, metadata)
    _refuse_invalid(notebook, source)
    return str(nbformat.v4.writes(notebook)) + "\n"


def _refuse_invalid(notebook: Any, source: str) -> None:
    """Jupyter would not open such a notebook, and nbformat would only log it."""
    import nbformat

    try:
        with PROCESS_WIDE:
            nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        reason = " ".join(str(error.message).split())
        raise unreadable(source, f"Jupyter would refuse the notebook made of it: {reason}") from error


def marked(notebook: str, key: str, mark: Mapping[str, str]) -> str:
    """A notebook with an entry in its metadata, where Jupyter leaves it alone; all else stays as it is.

    Metadata that are no JSON object, with which Jupyter would refuse the notebook, give way to the entry.

    Args:
        notebook: its JSON text.
        key: the name of the entry.
        mark: what it holds.
    """
    data = json.loads(notebook)
    metadata = data.get("metadata")
    data["metadata"] = {**(metadata if isinstance(metadata, dict) else {}), key: dict(mark)}
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"  # as Jupyter writes it


def with_ids(notebook: str, ids: Sequence[str]) -> str:
    """A notebook whose cells bear given ids, as version 4.5 of the format wants; all else stays as it is.

    Args:
        notebook: its JSON text.
        ids: of the cells that hold a text, in order; empty ones, which Jupyter adds, get a number.
    """
    data = json.loads(notebook)
    left = iter(ids)
    for number, cell in enumerate(data["cells"]):
        cell["id"] = next(left) if "".join(cell["source"]).strip("\r\n\t ") else f"empty-{number}"
    data["nbformat_minor"] = max(data.get("nbformat_minor", 0), 5)
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _canonical(cells: list[dict[str, Any]], metadata: Mapping[str, Any]) -> Any:
    """The notebook with everything dropped or pinned that differs between two readings of one source."""
    import nbformat

    seen: Counter[str] = Counter()
    for cell in cells:
        cell["id"] = _cell_id(cell["cell_type"], cell["source"], seen)
    kept = {key: value for key, value in metadata.items() if key in ("kernelspec", "language_info")}
    return nbformat.from_dict({"nbformat": 4, "nbformat_minor": 5, "metadata": kept, "cells": cells})


def _canonical_cell(kind: str, source: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    canonical: dict[str, Any] = {
        "cell_type": kind,
        "metadata": {key: value for key, value in metadata.items() if key not in ("execution", "collapsed")},
        # jupytext keeps blank lines that happen to stand before the next cell
        "source": source.rstrip("\n"),
    }
    if kind == "code":
        canonical |= {"execution_count": None, "outputs": []}
    return canonical


def _cell_id(kind: str, source: str, seen: Counter[str]) -> str:
    """An id from the cell's content; the second and later cells of the same content get a number."""
    digest = hashlib.sha256(f"{kind}\0{source}".encode()).hexdigest()[:CELL_ID_DIGITS]
    seen[digest] += 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
