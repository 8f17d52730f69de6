"""What somebody changed in a notebook, for people to read."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from tinytorch_build.notebooks.cells import NotebookCell

_TITLES = {"code": "# %%", "markdown": "# %% [markdown]", "raw": "# %% [raw]"}


def difference(before: Sequence[NotebookCell], after: Sequence[NotebookCell], was: str, is_now: str) -> str:
    """A unified diff of two notebooks' cells, each written as in percent format.

    Args:
        before: the cells as they were.
        after: the cells as they are.
        was: what to call the first.
        is_now: what to call the second.
    """
    return "\n".join(difflib.unified_diff(_lines(before), _lines(after), was, is_now, n=2, lineterm=""))


def count_changes(before: Sequence[NotebookCell], after: Sequence[NotebookCell]) -> str:
    """`2 cells changed, 1 new`: how much of a notebook is another than it was."""
    matcher = difflib.SequenceMatcher(
        None, [cell.content for cell in before], [cell.content for cell in after], autojunk=False
    )
    changed = new = gone = 0
    for kind, start, end, begin, stop in matcher.get_opcodes():
        if kind != "equal":
            both = min(end - start, stop - begin)
            changed += both
            gone += end - start - both
            new += stop - begin - both
    parts = [(changed, "changed"), (new, "new"), (gone, "gone")]
    said = [f"{count} {word}" for count, word in parts if count]
    if not said:
        return "no cell changed"
    first, *others = said
    cells = "cell" if first.startswith("1 ") else "cells"
    return ", ".join([first.replace(" ", f" {cells} ", 1), *others])


def _lines(cells: Sequence[NotebookCell]) -> list[str]:
    return list(_written(cells))


def _written(cells: Sequence[NotebookCell]) -> Iterator[str]:
    for cell in cells:
        yield _TITLES[cell.kind]
        yield from cell.source.split("\n")
        yield ""
