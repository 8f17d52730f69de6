"""A source with the edits of its notebook: written, and then read back to prove that nothing was lost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from tinytorch_build.errors import CourseError
from tinytorch_build.literate.percent import is_percent
from tinytorch_build.notebooks.cells import NotebookCell, read_cells
from tinytorch_build.notebooks.percent_edits import apply_edits, origins
from tinytorch_build.stages.convert import notebook_text


class CannotWriteEdits(CourseError):
    """The edits cannot be brought into the source by the build; the message says why, and what to do."""


def made_cells(source: bytes, path: str) -> tuple[NotebookCell, ...]:
    """The cells of the notebook that the build makes of a source.

    Args:
        source: the source's bytes.
        path: its POSIX path from the course's root; the ending tells the format.
    """
    return read_cells(notebook_text(source, path).encode()).cells


def with_edits(source: bytes, path: str, cells: Sequence[NotebookCell]) -> bytes:
    """A source whose notebook holds these cells; where a cell has not changed, not a byte of it has.

    Args:
        source: the source that the notebook was made from.
        path: its POSIX path from the course's root.
        cells: the notebook's cells as somebody left them.

    Raises:
        CannotWriteEdits: the format cannot hold them, or we cannot write it.
    """
    text = source.decode("utf-8")
    plain = text.replace("\r\n", "\n")
    before = made_cells(source, path)
    extension = PurePosixPath(path).suffix
    if extension == ".py" and is_percent(plain):
        edited = apply_edits(plain, before, cells)
    elif extension == ".ipynb":
        edited = _in_notebook(plain, before, cells)
    else:
        raise CannotWriteEdits(
            f"{path} is neither in percent format nor a notebook; bring the edit into it by hand"
        )
    if edited is None or [cell.content for cell in made_cells(edited.encode(), path)] != [
        cell.content for cell in cells
    ]:
        raise CannotWriteEdits(
            f"the edit cannot be written into {path} so that it reads back the same; bring it in by hand"
        )
    if "\r\n" in text:
        edited = edited.replace("\n", "\r\n")
    return edited.encode()


def _in_notebook(text: str, before: Sequence[NotebookCell], after: Sequence[NotebookCell]) -> str:
    """The notebook's JSON with the texts of these cells; what else a cell holds stays with it."""
    notebook = json.loads(text)
    filled = [cell for cell in notebook["cells"] if "".join(cell["source"]).strip()]
    known = dict(zip((id(cell) for cell in before), filled, strict=True))
    made = []
    for cell, origin in origins(before, after):
        field = known[id(origin)] if origin is not None else _new_cell(cell)
        if origin is None or origin.content != cell.content:
            field = {**field, "source": cell.source.splitlines(keepends=True)}
        made.append(field)
    written = json.dumps({**notebook, "cells": made}, indent=_indent(text), ensure_ascii=False)
    return written + ("\n" if text.endswith("\n") else "")


def _new_cell(cell: NotebookCell) -> dict[str, Any]:
    field: dict[str, Any] = {"cell_type": cell.kind, "metadata": {}}
    if cell.id:
        field["id"] = cell.id
    if cell.kind == "code":
        field |= {"execution_count": None, "outputs": []}
    return field


def _indent(text: str) -> int | None:
    """By how many blanks the JSON's second line is indented; None if it is all in one line."""
    lines = text.strip().split("\n")
    return len(lines[1]) - len(lines[1].lstrip()) if len(lines) > 1 else None
