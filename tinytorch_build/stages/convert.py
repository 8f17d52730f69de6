"""Convert: a literate source becomes a notebook whose bytes depend on the source alone."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, cast

from tinytorch_build.literate import PROCESS_WIDE

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
    """
    import jupytext
    import nbformat

    text = raw.decode("utf-8").replace("\r\n", "\n")
    extension = PurePosixPath(source).suffix
    with PROCESS_WIDE:
        if extension == ".ipynb":
            notebook = nbformat.reads(text, as_version=4)
        else:
            # Otherwise jupytext takes the comment sign off lines such as `# copy the rows`.
            notebook = jupytext.reads(text, {"extension": extension, "comment_magics": False})
    return str(nbformat.writes(_canonical(cast("dict[str, Any]", notebook)), version=4)) + "\n"


def marked(notebook: str, key: str, mark: Mapping[str, str]) -> str:
    """A notebook with an entry in its metadata, where Jupyter leaves it alone; all else stays as it is.

    Args:
        notebook: its JSON text.
        key: the name of the entry.
        mark: what it holds.
    """
    data = json.loads(notebook)
    data["metadata"] = {**data.get("metadata", {}), key: dict(mark)}
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"  # as Jupyter writes it


def _canonical(notebook: dict[str, Any]) -> Any:
    """The notebook with everything dropped or pinned that differs between two readings of one source."""
    import nbformat

    seen: Counter[str] = Counter()
    cells = [_canonical_cell(cell, seen) for cell in notebook["cells"]]
    metadata = {
        key: value for key, value in notebook["metadata"].items() if key in ("kernelspec", "language_info")
    }
    return nbformat.from_dict({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells})


def _canonical_cell(cell: dict[str, Any], seen: Counter[str]) -> dict[str, Any]:
    metadata = {
        key: value for key, value in cell["metadata"].items() if key not in ("execution", "collapsed")
    }
    source = cell["source"].rstrip(
        "\n"
    )  # jupytext keeps blank lines that happen to stand before the next cell
    canonical = {
        "cell_type": cell["cell_type"],
        "id": _cell_id(cell["cell_type"], source, seen),
        "metadata": metadata,
        "source": source,
    }
    if cell["cell_type"] == "code":
        canonical |= {"execution_count": None, "outputs": []}
    return canonical


def _cell_id(kind: str, source: str, seen: Counter[str]) -> str:
    """An id from the cell's content; the second and later cells of the same content get a number."""
    digest = hashlib.sha256(f"{kind}\0{source}".encode()).hexdigest()[:CELL_ID_DIGITS]
    seen[digest] += 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
