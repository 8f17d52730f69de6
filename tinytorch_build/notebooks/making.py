"""Makes the notebook of a source, unless that would overwrite somebody's work."""

from __future__ import annotations

from tinytorch_build.files import sha256, write_atomically
from tinytorch_build.layout import Layout
from tinytorch_build.model import CourseModule, Problem, Severity
from tinytorch_build.notebooks.cells import METADATA_KEY, NotebookCell, digest_of_cells, read_cells
from tinytorch_build.notebooks.standing import State, edit_problem, edit_shown, standing_of
from tinytorch_build.stages.convert import marked, notebook_text, with_ids


def make_notebook(layout: Layout, module: CourseModule, source: bytes) -> tuple[list[Problem], str]:
    """Write a module's notebook, if that loses nothing.

    A notebook that was only run, so that nothing but its outputs is new, is left as it is.

    Args:
        layout: the course's paths.
        module: the module.
        source: its source's bytes, which the checks before the export have passed.

    Returns:
        an error if the notebook was edited, a warning if it was damaged; and the whole difference.

    Raises:
        UnreadableSource: jupytext or Jupyter would refuse it, which only a whole conversion shows.
        OSError: something cannot be written.
    """
    text = notebook_text(source, module.source)
    wanted = read_cells(text.encode()).cells
    standing = standing_of(layout, module, source, wanted)
    if standing.state in (State.NOTEBOOK_EDITED, State.BOTH_EDITED):
        return [edit_problem(layout, module, standing)], edit_shown(standing, module)
    problems = []
    if standing.state is State.UNREADABLE:
        problems.append(_damaged(layout, module, put_aside(layout, module), standing.reason))
    write_notebook(layout, module, source, text, wanted, keep=standing.state is State.SAME)
    return problems, ""


def write_notebook(
    layout: Layout,
    module: CourseModule,
    source: bytes,
    text: str,
    cells: tuple[NotebookCell, ...],
    *,
    keep: bool,
) -> None:
    """Write a notebook with the digest of its cells, then a copy of the source that it was made from.

    The ids of the cells, which the export names, are always those that come from their content.

    Args:
        layout: the course's paths.
        module: the module.
        source: the source's bytes.
        text: the notebook.
        cells: its cells.
        keep: whether a notebook lies there that holds the same cells: it stays, with its outputs.
    """
    path, digest = layout.notebook(module), digest_of_cells(cells)
    if keep:
        standing = path.read_text(encoding="utf-8")
        now = read_cells(standing.encode())
        if now.made_with != digest or [cell.id for cell in now.cells] != [cell.id for cell in cells]:
            text = with_ids(marked(standing, METADATA_KEY, {"cells": digest}), [cell.id for cell in cells])
            write_atomically(path, text.encode())
    else:
        write_atomically(path, marked(text, METADATA_KEY, {"cells": digest}).encode())
    write_atomically(layout.converted(module), source)


def put_aside(layout: Layout, module: CourseModule) -> str:
    """Keep what lies in a notebook's place; its path from the course's root.

    The name comes from the content, so keeping the same twice leaves one copy.
    """
    path = layout.notebook(module)
    data = path.read_bytes()
    kept = layout.rescued / f"{path.stem}-{sha256(data)[:12]}{path.suffix}"
    write_atomically(kept, data)
    return layout.relative(kept)


def _damaged(layout: Layout, module: CourseModule, kept: str, reason: str) -> Problem:
    shown = layout.relative(layout.notebook(module))
    return Problem(
        "notebook-damaged",
        f"the notebook could not be read ({reason}) and was made anew",
        shown,
        cure=f"nothing to do; what lay there is kept as {kept}",
        severity=Severity.WARNING,
    )
