"""What people do with an edited notebook: look at the edit, accept it, merge it, or put it aside."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from tinytorch_build.errors import CourseError
from tinytorch_build.files import sha256, write_atomically
from tinytorch_build.layout import Layout
from tinytorch_build.literate import read_document
from tinytorch_build.model import CourseModule
from tinytorch_build.notebooks.cells import read_cells
from tinytorch_build.notebooks.making import make_notebook, put_aside, write_notebook
from tinytorch_build.notebooks.source_edits import made_cells, with_edits
from tinytorch_build.notebooks.standing import Standing, State, edit_shown, standing_of
from tinytorch_build.stages.convert import notebook_text

_MERGE_SECONDS = 60.0


class NothingToDo(CourseError):
    """The notebook holds no edit of that kind; the message says how it stands."""


class MergeConflict(CourseError):
    """Source and notebook were changed in the same lines; the message says where both versions lie."""


def show(layout: Layout, module: CourseModule) -> str:
    """The edit that a notebook holds, as a difference; the empty string if it holds none.

    Raises:
        CourseError: there is no notebook, or the source cannot be read.
    """
    standing = _standing(layout, module)
    if standing.state in (State.SAME, State.UNTOUCHED):
        return ""
    return edit_shown(_with_notebook(layout, module, standing), module)


def accept(layout: Layout, module: CourseModule) -> str:
    """Write the edit of a notebook into its source, cell by cell.

    Returns:
        a sentence on what was done.

    Raises:
        NothingToDo: the notebook was not edited, or the source was, too.
        CannotWriteEdits: the source's format cannot hold the edit.
    """
    standing = _edited(layout, module)
    if standing.state is State.BOTH_EDITED:
        raise NothingToDo(
            f"the source of {module.name} was edited, too; `tito notebook merge {module.name}` merges the two"
        )
    _put(layout, module, standing, with_edits(standing.source, module.source, standing.cells))
    return f"{module.source} holds the notebook's edit now; run `doit`"


def merge(layout: Layout, module: CourseModule) -> str:
    """Merge the edits of notebook and source, by what the notebook was made from (three ways).

    Returns:
        a sentence on what was done.

    Raises:
        MergeConflict: the same lines were changed in both; nothing was overwritten.
        NothingToDo: the notebook was not edited, or nobody knows what it was made from.
        CannotWriteEdits: the source's format cannot hold the edit.
    """
    standing = _edited(layout, module)
    if standing.state is State.NOTEBOOK_EDITED:
        return accept(layout, module)
    if standing.base is None:
        raise NothingToDo(
            f"it is not known what {layout.relative(layout.notebook(module))} was made from, so there is "
            f"nothing to merge upon; `tito notebook diff {module.name}` shows how it differs from the source"
        )
    edited = with_edits(standing.base, module.source, standing.cells)
    merged, conflicts = _merged_three_ways(edited, standing.base, standing.source)
    if conflicts:
        goal = layout.merging(module)
        write_atomically(goal, merged)
        shown = layout.relative(goal)
        raise MergeConflict(
            f"notebook and source were changed in the same lines; both are kept, and {shown} holds the merge "
            f"with both versions marked: resolve it there, put it in the place of {module.source}, and run "
            f"`tito notebook discard {module.name}`"
        )
    read_cells(notebook_text(merged, module.source).encode())
    _put(layout, module, standing, merged)
    return f"{module.source} holds the edits of both now; run `doit`"


def discard(layout: Layout, module: CourseModule) -> str:
    """Put a notebook aside and make it anew from the source.

    Returns:
        a sentence on what was done, and where the notebook is kept.

    Raises:
        CourseError: there is no notebook, or the source cannot be read.
    """
    standing = _standing(layout, module)
    _with_notebook(layout, module, standing)
    kept = put_aside(layout, module)
    layout.notebook(module).unlink()
    make_notebook(layout, module, standing.source)
    return f"{layout.relative(layout.notebook(module))} was made anew; the one before is kept as {kept}"


def _standing(layout: Layout, module: CourseModule) -> Standing:
    read_document(layout.source(module), module.source)  # says what is wrong with a source that is none
    source = layout.source(module).read_bytes()
    return standing_of(layout, module, source, made_cells(source, module.source))


def _with_notebook(layout: Layout, module: CourseModule, standing: Standing) -> Standing:
    shown = layout.relative(layout.notebook(module))
    if standing.state is State.ABSENT:
        raise NothingToDo(f"there is no {shown} yet; `doit convert:{module.name}` makes it")
    return standing


def _edited(layout: Layout, module: CourseModule) -> Standing:
    standing = _with_notebook(layout, module, _standing(layout, module))
    if standing.state is State.UNREADABLE:
        raise NothingToDo(f"{layout.relative(layout.notebook(module))} is no notebook: {standing.reason}")
    if standing.state not in (State.NOTEBOOK_EDITED, State.BOTH_EDITED):
        raise NothingToDo(f"the notebook of {module.name} holds no edit that its source lacks")
    return standing


def _put(layout: Layout, module: CourseModule, standing: Standing, edited: bytes) -> None:
    """Put an edited source in place, unless somebody saved another one meanwhile; the old one is kept."""
    path = layout.source(module)
    kept = layout.rescued / f"{path.stem}-{sha256(standing.source)[:12]}{path.suffix}"
    write_atomically(kept, standing.source)
    if path.read_bytes() != standing.source:
        raise CourseError(f"{module.source} was saved meanwhile; run the command again")
    mode = path.stat().st_mode & 0o777
    write_atomically(path, edited)
    os.chmod(path, mode)
    text = notebook_text(edited, module.source)
    cells = read_cells(text.encode()).cells
    same = [cell.content for cell in cells] == [cell.content for cell in standing.cells]
    if not same:
        put_aside(layout, module)  # a merge: the notebook lacks the source's part
    write_notebook(layout, module, edited, text, cells, keep=same)


def _merged_three_ways(mine: bytes, base: bytes, theirs: bytes) -> tuple[bytes, bool]:
    """What `git merge-file` makes of three versions, and whether conflicts are marked in it."""
    with tempfile.TemporaryDirectory(prefix="merge-") as folder:
        names = ("the notebook", "what both began with", "the source")
        paths = [Path(folder, str(number)) for number in range(3)]
        for path, data in zip(paths, (mine, base, theirs), strict=True):
            path.write_bytes(data)
        labels = [part for name in names for part in ("-L", name)]
        try:
            done = subprocess.run(
                ["git", "merge-file", "-p", "--diff3", *labels, *paths],
                capture_output=True,
                timeout=_MERGE_SECONDS,
                check=False,
            )
        except FileNotFoundError:
            raise CourseError("a merge needs git, which is not installed") from None
    if done.returncode < 0 or done.returncode > 127:
        said = done.stderr.decode(errors="replace").strip()
        raise CourseError(f"git could not merge notebook and source: {said}")
    return done.stdout, done.returncode != 0
