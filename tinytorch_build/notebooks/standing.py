"""How a notebook under `build/notebooks` stands to its source: who has changed what since it was made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tinytorch_build.files import content_of
from tinytorch_build.layout import Layout
from tinytorch_build.model import CourseModule, Problem
from tinytorch_build.notebooks.cells import (
    NoNotebook,
    NotebookCell,
    NotebookCells,
    digest_of_cells,
    read_cells,
)
from tinytorch_build.notebooks.differences import count_changes, difference
from tinytorch_build.notebooks.source_edits import made_cells

_SHOWN_LINES = 24
"""Lines of a difference that a message shows; the log holds all."""


class State(StrEnum):
    """What has changed since the build made a notebook."""

    ABSENT = "absent"
    """There is no notebook."""
    UNREADABLE = "unreadable"
    """What lies there is no notebook."""
    UNTOUCHED = "untouched"
    """It holds the cells that it was made with, whatever the source holds now."""
    SAME = "same"
    """It holds what the source holds now; only outputs and the like may differ."""
    NOTEBOOK_EDITED = "notebook-edited"
    """The notebook was edited, and the source was not."""
    BOTH_EDITED = "both-edited"
    """The notebook was edited, and the source, too; or nobody knows what it was made from."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A notebook beside its source.

    Attributes:
        state: what has changed.
        cells: the notebook's cells; none if it is absent or unreadable.
        base: the source that it was made from, if that is known.
        source: the source now.
        reason: why it cannot be read.
    """

    state: State
    cells: tuple[NotebookCell, ...]
    base: bytes | None
    source: bytes
    reason: str = ""


def standing_of(
    layout: Layout, module: CourseModule, source: bytes, wanted: tuple[NotebookCell, ...]
) -> Standing:
    """How a module's notebook stands to its source.

    Args:
        layout: the course's paths.
        module: the module.
        source: the source's bytes now.
        wanted: the cells of the notebook that the build makes of them.
    """
    data = content_of(layout.notebook(module))
    if data is None:
        return Standing(State.ABSENT, (), None, source)
    try:
        notebook = read_cells(data)
    except NoNotebook as error:
        return Standing(State.UNREADABLE, (), None, source, str(error))
    now = digest_of_cells(wanted)
    if notebook.digest == now:
        return Standing(State.SAME, notebook.cells, source, source)
    if not notebook.is_edited:
        return Standing(State.UNTOUCHED, notebook.cells, None, source)
    if notebook.made_with == now:
        return Standing(State.NOTEBOOK_EDITED, notebook.cells, source, source)
    return Standing(State.BOTH_EDITED, notebook.cells, _base(layout, module, notebook), source)


def holds_edit(path: Path) -> bool:
    """Whether a notebook holds cells that the build has not written, or lies there though it is none."""
    data = content_of(path)
    if not data:
        return False
    try:
        return read_cells(data).is_edited
    except NoNotebook:
        return True


def _base(layout: Layout, module: CourseModule, notebook: NotebookCells) -> bytes | None:
    """The source that a notebook was made from, if the copy that was kept is that one."""
    kept = content_of(layout.converted(module))
    if kept is None or digest_of_cells(made_cells(kept, module.source)) != notebook.made_with:
        return None
    return kept


def edit_shown(standing: Standing, module: CourseModule) -> str:
    """What was changed in the notebook, as a difference to what it was made from, or else to the source."""
    origin = standing.base if standing.base is not None else standing.source
    before = made_cells(origin, module.source)
    return difference(before, standing.cells, module.source, "the notebook")


def edit_problem(layout: Layout, module: CourseModule, standing: Standing) -> Problem:
    """The problem of a notebook that must not be overwritten: what was changed, and what can be done."""
    shown = layout.relative(layout.notebook(module))
    origin = standing.base if standing.base is not None else standing.source
    changes = count_changes(made_cells(origin, module.source), standing.cells)
    if standing.state is State.BOTH_EDITED:
        what = f"its notebook and its source were both edited ({changes} in the notebook); both are kept"
        cure = f"`tito notebook merge {module.name}` merges the two"
    else:
        what = f"its notebook was edited ({changes}) and the source was not; the edit is kept"
        cure = f"`tito notebook accept {module.name}` writes the edit into {module.source}"
    lines = edit_shown(standing, module).splitlines()
    more = [f"… {len(lines) - _SHOWN_LINES} more lines in the log"] if len(lines) > _SHOWN_LINES else []
    return Problem(
        "notebook-edited",
        "\n".join([what, *(f"    {line}" for line in [*lines[:_SHOWN_LINES], *more])]),
        shown,
        cure=f"{cure}; `tito notebook discard {module.name}` puts the notebook aside and makes it anew",
    )
