"""Whatever was done to a notebook, no command fails by a fault of its own, and nobody's work is lost."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.build_system.any_input.mutations import encoded, mutated
from tests.build_system.any_input.profiles import bounded, fewer
from tests.build_system.any_input.sources import CODE, JSON, PROSE, TOKENS, sources
from tests.build_system.any_input.surroundings import Surroundings
from tests.build_system.any_input.test_sources import check_problems, course_of
from tinytorch_build.checks.before_export import check_before_export
from tinytorch_build.errors import CourseError
from tinytorch_build.layout import Layout
from tinytorch_build.literate import UnreadableSource
from tinytorch_build.model import CourseModule, errors
from tinytorch_build.notebooks.cells import NoNotebook, NotebookCells, read_cells
from tinytorch_build.notebooks.commands import accept, discard, merge, show
from tinytorch_build.notebooks.making import make_notebook

Command = Callable[[Layout, CourseModule], str]


@st.composite
def edits(draw: st.DrawFn, notebook: bytes) -> bytes:
    """A notebook after somebody's work in Jupyter, or after an accident."""
    data: dict[str, Any] = json.loads(notebook)
    cells = data["cells"]
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(len(cells) - 1, 0)))
        how = draw(st.sampled_from(["text", "text", "new", "remove", "move", "kind", "shape", "none"]))
        if how == "new" or not cells:
            kind = draw(st.sampled_from(["code", "markdown", "raw"]))
            text = draw(st.sampled_from([*CODE, *PROSE, *TOKENS]))
            cells.insert(place, {"cell_type": kind, "metadata": {}, "source": text})
        elif how == "text":
            text = cells[place].get("source", "")
            plain = (
                text if isinstance(text, str) else "".join(map(str, text)) if isinstance(text, list) else ""
            )
            cells[place]["source"] = draw(mutated(plain, TOKENS)).splitlines(keepends=True)
        elif how == "remove":
            del cells[place]
        elif how == "move":
            cells.insert(draw(st.integers(0, len(cells) - 1)), cells.pop(place))
        elif how == "kind":
            cells[place]["cell_type"] = draw(st.sampled_from(["code", "markdown", "raw"]))
        elif how == "shape":
            holder = draw(st.sampled_from([data, cells[place]]))
            holder[draw(st.sampled_from([*holder, "metadata"]))] = draw(JSON)
            cells = data["cells"] if isinstance(data["cells"], list) else []
            if not all(isinstance(cell, dict) for cell in cells):
                break
    text = json.dumps(data)
    return draw(
        encoded(draw(mutated(text, ["{", "}", "null", '"cells": 1,'])))
        if draw(st.booleans())
        else st.just(text.encode())
    )


def cells_in(data: bytes) -> NotebookCells | None:
    try:
        return read_cells(data)
    except NoNotebook:
        return None


def test_no_edit_of_a_notebook_is_lost(tmp_path: Path) -> None:
    place = Surroundings.at(tmp_path)
    tally: Counter[str] = Counter()

    @fewer(2)
    @given(st.data())
    def any_edit(data: st.DataObject) -> None:
        ending, raw = data.draw(sources(changed=False))
        manifest, module = course_of(place.course, ending)
        layout = Layout.of(manifest)
        source, notebook = layout.source(module), layout.notebook(module)
        source.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(layout.build, ignore_errors=True)  # what earlier cases left
        try:
            if errors(check_before_export(manifest, module, raw)):
                return
            make_notebook(layout, module, raw)
        except UnreadableSource:
            return
        edited = data.draw(edits(notebook.read_bytes()))
        notebook.write_bytes(edited)
        now = data.draw(st.sampled_from([raw, raw, raw + b"\n# %%\nlast = 1\n", data.draw(sources())[1]]))
        source.write_bytes(now)
        command: Command = data.draw(st.sampled_from([accept, accept, merge, discard, show]))
        with bounded(), place.untouched():
            # What the next run does: it never overwrites an edit.
            work = cells_in(edited)
            try:
                if not errors(check_before_export(manifest, module, now)):
                    problems, _ = make_notebook(layout, module, now)
                    for problem in problems:
                        str(problem).encode()
            except UnreadableSource as error:
                check_problems([error.problem], module, now)
            check_kept(layout, module, work, edited, now)
            tally["edited" if work is not None and work.is_edited else "not edited"] += 1
            try:
                said = command(layout, module)
            except CourseError:
                tally[f"{command.__name__} refused"] += 1
            else:
                said.encode()
                tally[f"{command.__name__} done"] += 1
            check_kept(layout, module, work, edited, now)
            if command is accept and work is not None and source.read_bytes() != now:
                held = read_cells(notebook.read_bytes())
                assert [cell.content for cell in held.cells] == [cell.content for cell in work.cells]

    with place.entered():
        any_edit()
    print(dict(tally))
    assert tally["accept done"] > 0
    assert tally["accept refused"] > 0


def check_kept(
    layout: Layout, module: CourseModule, work: NotebookCells | None, edited: bytes, now: bytes
) -> None:
    """Whoever edited a notebook or a source finds the edit where it was, or put aside."""
    kept = [path.read_bytes() for path in layout.rescued.rglob("*") if path.is_file()]
    here = layout.notebook(module).read_bytes()
    if work is None:
        assert edited in (here, *kept)
    elif work.is_edited:
        contents = [cell.content for cell in work.cells]
        held = [cells_in(data) for data in (here, *kept)]
        assert any(other is not None and [cell.content for cell in other.cells] == contents for other in held)
    source = layout.source(module).read_bytes()
    assert now in (source, *kept)
