"""What of a notebook is somebody's work, and what is not."""

from __future__ import annotations

import json

import pytest

from tinytorch_build.notebooks.cells import NoNotebook, NotebookCell, read_cells
from tinytorch_build.notebooks.differences import count_changes, difference


def notebook(*cells: dict[str, object], **metadata: object) -> bytes:
    return json.dumps({"cells": list(cells), "metadata": metadata, "nbformat": 4}).encode()


def code(source: object, **more: object) -> dict[str, object]:
    return {"cell_type": "code", "source": source, "metadata": {}, **more}


def test_outputs_numbers_and_empty_cells_are_no_work() -> None:
    plain = read_cells(notebook(code("1 + 1")))
    ran = read_cells(notebook(code(["1 + 1\n"], outputs=[{"text": "2"}], execution_count=7), code("")))
    assert plain.digest == ran.digest


def test_text_kind_and_order_are() -> None:
    digests = {
        read_cells(notebook(*cells)).digest
        for cells in (
            [code("1"), code("2")],
            [code("2"), code("1")],
            [code("1\n2")],
            [code("1"), {"cell_type": "markdown", "source": "2"}],
        )
    }
    assert len(digests) == 4


def test_it_knows_what_it_was_made_with() -> None:
    digest = read_cells(notebook(code("1"))).digest
    made = read_cells(notebook(code("1"), tinytorch_build={"cells": digest}))
    assert not made.is_edited
    assert read_cells(notebook(code("2"), tinytorch_build={"cells": digest})).is_edited
    assert read_cells(notebook(code("1"))).made_with is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            b'{"cells": [{"cell_type": "raw", "source": "\\ud800"}]}',
            "it is no valid JSON: .*surrogates not allowed",
        ),
        (b'{"cells": [', "no valid JSON"),
        (b"\xff\xfe", "no valid JSON"),
        (b"[]", "no list of cells"),
        (b'{"cells": 3}', "no list of cells"),
        (b'{"cells": [3]}', "its cell 1 has no known type or no text"),
        (notebook(code("1"), code(7)), "its cell 2 has no known type or no text"),
        (b"[" * 100_000, "no valid JSON"),
    ],
)
def test_what_is_no_notebook(data: bytes, reason: str) -> None:
    with pytest.raises(NoNotebook, match=reason):
        read_cells(data)


def test_differences_are_counted_and_shown() -> None:
    before = [NotebookCell("code", "a"), NotebookCell("code", "b"), NotebookCell("markdown", "c")]
    after = [NotebookCell("code", "a"), NotebookCell("code", "B"), NotebookCell("code", "d")]
    assert count_changes(before, after) == "2 cells changed"
    assert count_changes(before, before[:1]) == "2 cells gone"
    assert count_changes(before[:1], before) == "2 cells new"
    assert count_changes(before, [*before[:1], NotebookCell("code", "x")]) == "1 cell changed, 1 gone"
    assert count_changes(before, before) == "no cell changed"
    assert difference(before[:2], after[:2], "was", "is").splitlines() == [
        "--- was",
        "+++ is",
        "@@ -3,4 +3,4 @@",
        " ",
        " # %%",
        "-b",
        "+B",
        " ",
    ]
