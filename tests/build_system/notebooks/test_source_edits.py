"""Edits of a notebook are written into its source: what was edited, and not a byte beside it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch_build.literate.document import CellKind
from tinytorch_build.notebooks.cells import NotebookCell
from tinytorch_build.notebooks.source_edits import CannotWriteEdits, made_cells, with_edits

PATH = "lessons/01_shapes/shapes_dev.py"

SOURCE = '''\
# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Shapes
#
# A square has a side.

# %%
#| default_exp base.shapes


# %% tags=["important"]
#| export
class Square:   
    """A square."""


# %%

# %% [markdown]
"""
Prose in quotes,
in two lines.
"""

# %%
assert Square
'''  # blanks at the end of a line are somebody's, too


def edited(changes: dict[int, str | None]) -> list[NotebookCell]:
    """The notebook's cells with other texts at some positions, or without those cells."""
    cells = list(made_cells(SOURCE.encode(), PATH))
    made = []
    for position, cell in enumerate(cells):
        text = changes.get(position, cell.source)
        if text is not None:
            made.append(NotebookCell(cell.kind, text, cell.id))
    return made


def test_no_edit_changes_no_byte() -> None:
    assert with_edits(SOURCE.encode(), PATH, edited({})) == SOURCE.encode()


@pytest.mark.parametrize(
    ("position", "text", "old", "new"),
    [
        (0, "# Shapes\n\nA square has four sides.", "# A square has a side.", "# A square has four sides."),
        (2, "#| export\nclass Square:\n    side = 1", None, "#| export\nclass Square:\n    side = 1\n"),
        (3, "Prose in quotes,\nin one line.", "in two lines.", "in one line."),
        (3, 'Prose with """ in it.', None, '# Prose with """ in it.\n'),
        (4, "assert Square()", "assert Square\n", "assert Square()\n"),
    ],
)
def test_one_cell_is_edited(position: int, text: str, old: str | None, new: str) -> None:
    written = with_edits(SOURCE.encode(), PATH, edited({position: text})).decode()
    assert new in written
    if old is not None:
        assert written == SOURCE.replace(old, new)


def test_a_cell_is_taken_out() -> None:
    written = with_edits(SOURCE.encode(), PATH, edited({0: None})).decode()
    assert written == SOURCE.replace(
        SOURCE[SOURCE.index("# %% [markdown]") : SOURCE.index("# %%\n#| def")], ""
    )


def test_cells_are_added_and_moved() -> None:
    cells = edited({})
    cells.insert(1, NotebookCell("markdown", "## More\n\nprose", "new-1"))
    cells.append(NotebookCell("code", "assert 2 > 1", "new-2"))
    cells.append(cells.pop(4))
    written = with_edits(SOURCE.encode(), PATH, cells).decode()
    assert "# %% [markdown]\n# ## More\n#\n# prose\n\n# %%\n#| default_exp" in written
    assert [cell.content for cell in made_cells(written.encode(), PATH)] == [cell.content for cell in cells]


def test_a_cell_without_a_marker_stays_without() -> None:
    source = b"import math\n\n# %%\nassert math.pi > 3\n"
    cells = list(made_cells(source, PATH))
    cells[1] = NotebookCell("code", "assert math.pi > 2", cells[1].id)
    assert with_edits(source, PATH, cells) == b"import math\n\n# %%\nassert math.pi > 2\n"


def test_line_ends_of_windows_stay() -> None:
    source = SOURCE.replace("\n", "\r\n").encode()
    written = with_edits(source, PATH, edited({4: "assert Square()"}))
    assert written == source.replace(b"assert Square\r\n", b"assert Square()\r\n")


def test_what_the_format_cannot_hold_is_refused() -> None:
    with pytest.raises(CannotWriteEdits, match=r"cannot be written into lessons/01_shapes/shapes_dev\.py"):
        with_edits(SOURCE.encode(), PATH, edited({4: "assert Square\n\n# %%\nassert 1"}))


def test_other_text_formats_are_refused() -> None:
    source = b"# Shapes\n\n```python\n1 + 1\n```\n"
    cells = [NotebookCell("markdown", "# Forms")]
    with pytest.raises(CannotWriteEdits, match="neither in percent format nor a notebook"):
        with_edits(source, "lessons/01_shapes/shapes_dev.md", cells)


def test_a_source_that_is_a_notebook() -> None:
    cell = {"cell_type": "code", "id": "a1", "metadata": {"tags": ["x"]}, "outputs": [], "execution_count": 3}
    prose = {"cell_type": "markdown", "id": "b2", "metadata": {}, "source": ["# Shapes\n", "é"]}
    notebook = {
        "cells": [{**cell, "source": ["1 + 1"]}, prose],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    source = (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()
    path = "lessons/01_shapes/shapes_dev.ipynb"
    cells = list(made_cells(source, path))
    assert with_edits(source, path, cells) == source
    cells[0] = NotebookCell("code", "1 + 2", cells[0].id)
    written = with_edits(source, path, cells)
    assert written == source.replace(b"1 + 1", b"1 + 2")


texts = st.lists(
    st.sampled_from(
        ["x = 1", "", "# a remark", "%time f()", "#| export", "    y", '"""', "é ü", "# %% no", "a\tb", "```"]
    ),
    min_size=1,
    max_size=4,
).map("\n".join)


@st.composite
def edits(draw: st.DrawFn) -> list[NotebookCell]:
    """The notebook's cells after somebody changed, moved, removed and added some."""
    cells = edited({})
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, max(0, len(cells) - 1)))
        action = draw(st.sampled_from(["change", "remove", "add", "move"]))
        if action == "add" or not cells:
            kind: CellKind = draw(st.sampled_from(("code", "markdown")))
            cells.insert(
                position, NotebookCell(kind, draw(texts).rstrip("\n\t "), draw(st.sampled_from(["", "n"])))
            )
        elif action == "change":
            old = cells[position]
            cells[position] = NotebookCell(old.kind, draw(texts).rstrip("\n\t "), old.id)
        elif action == "remove":
            del cells[position]
        else:
            cells.append(cells.pop(position))
    return [cell for cell in cells if cell.source]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(edits())
def test_whatever_is_written_reads_back_as_it_was(cells: list[NotebookCell]) -> None:
    try:
        written = with_edits(SOURCE.encode(), PATH, cells)
    except CannotWriteEdits:
        return
    assert [cell.content for cell in made_cells(written, PATH)] == [cell.content for cell in cells]
    kept = {cell.content for cell in cells} & {cell.content for cell in made_cells(SOURCE.encode(), PATH)}
    if ("code", "assert Square") in kept:
        assert b"assert Square\n" in written
