"""A notebook that somebody edited is never overwritten; its edit finds its way into the source."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.build_system.geometry_course import GeometryCourse, KeptCourse
from tinytorch_build.model import Outcome, Stage

SOURCE = "lessons/01_shapes/shapes_dev.py"
NOTEBOOK = "build/notebooks/01_shapes/shapes_dev.ipynb"
AREAS = "build/notebooks/03_areas/areas_dev.ipynb"
RUNS = "build/run.lock"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> KeptCourse:
    folder = tmp_path_factory.mktemp("kept")
    course = GeometryCourse.write(folder / "a course")
    course.run()
    assert course.report.outcome is Outcome.PASSED, course.said
    return KeptCourse.of(course, folder / "copy")


@pytest.fixture
def course(kept: KeptCourse) -> GeometryCourse:
    return kept.anew()


def edit_notebook(course: GeometryCourse, old: str, new: str, path: str = NOTEBOOK) -> None:
    """Edit a cell as Jupyter does: the ids stay, outputs come."""
    notebook: dict[str, Any] = json.loads(course.text(path))
    for cell in notebook["cells"]:
        source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        cell["source"] = source.replace(old, new).splitlines(keepends=True)
        if cell["cell_type"] == "code":
            cell |= {
                "execution_count": 5,
                "outputs": [{"output_type": "stream", "name": "stdout", "text": ["4"]}],
            }
    course.put(path, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


def test_an_edited_notebook_stops_its_module_and_is_kept(course: GeometryCourse) -> None:
    edit_notebook(course, "A square has a side.", "A square has four sides.")
    before, published = course.text(NOTEBOOK), course.published()
    course.run()
    convert = course.report.modules["shapes"].stages[Stage.CONVERT]
    assert convert.outcome is Outcome.FAILED
    assert "its notebook was edited (1 cell changed) and the source was not; the edit is kept" in course.said
    assert "    -A square has a side.\n    +A square has four sides." in course.said
    assert "`tito notebook accept shapes` writes the edit into" in course.said
    assert course.text(NOTEBOOK) == before
    assert course.published() == published
    assert course.outcomes()["colours"] == "passed"


def test_an_edit_is_accepted_into_the_source(course: GeometryCourse) -> None:
    text = course.text(SOURCE)
    edit_notebook(course, "A square has a side.", "A square has four sides.")
    assert (
        "-A square has a side.\n+A square has four sides." in course.tito("notebook", "diff", "shapes").stdout
    )
    done = course.tito("notebook", "accept", "shapes")
    assert (done.returncode, done.stdout) == (0, f"{SOURCE} holds the notebook's edit now; run `doit`\n")
    assert course.text(SOURCE) == text.replace("A square has a side.", "A square has four sides.")
    assert '"execution_count": 5' in course.text(NOTEBOOK)  # the outputs are still there
    course.run()
    assert course.report.outcome is Outcome.PASSED, course.said
    assert course.ran() == {"convert:shapes"}
    assert course.tito("notebook", "diff", "shapes").stdout == "the notebook of shapes holds no edit\n"


def test_a_notebook_that_was_only_run_is_left_alone(course: GeometryCourse) -> None:
    edit_notebook(course, "nothing", "nothing")
    before = course.text(NOTEBOOK)
    course.run()
    assert course.report.outcome is Outcome.PASSED
    assert course.ran() == set()
    assert course.text(NOTEBOOK) == before


def test_a_source_that_changes_replaces_an_untouched_notebook(course: GeometryCourse) -> None:
    course.edit(SOURCE, "A square has a side.", "A square has four sides.")
    course.run()
    assert course.report.outcome is Outcome.PASSED
    assert "A square has four sides." in course.text(NOTEBOOK)


def test_the_same_edit_in_both_is_no_conflict(course: GeometryCourse) -> None:
    edit_notebook(course, "A square has a side.", "A square has four sides.")
    course.edit(SOURCE, "A square has a side.", "A square has four sides.")
    course.run()
    assert course.report.outcome is Outcome.PASSED, course.said


def test_edits_of_both_are_merged_on_request(course: GeometryCourse) -> None:
    edit_notebook(course, "A square has a side.", "A square has four sides.")
    course.edit(SOURCE, "Square(2).side == 2", "Square(3).side == 3")
    notebook = course.text(NOTEBOOK)
    course.run()
    assert "its notebook and its source were both edited (1 cell changed in the notebook)" in course.said
    assert course.text(NOTEBOOK) == notebook
    done = course.tito("notebook", "accept", "shapes")
    assert done.returncode == 3
    assert "the source of shapes was edited, too; `tito notebook merge shapes` merges the two" in done.stderr
    assert course.tito("notebook", "merge", "shapes").returncode == 0
    assert "A square has four sides." in course.text(SOURCE)
    assert "Square(3).side == 3" in course.text(SOURCE)
    course.run()
    assert course.report.outcome is Outcome.PASSED, course.said
    assert "Square(3).side == 3" in course.text(NOTEBOOK)
    assert "A square has four sides." in course.text(NOTEBOOK)


def test_edits_of_the_same_line_are_left_to_a_person(course: GeometryCourse) -> None:
    edit_notebook(course, "A square has a side.", "A square has four sides.")
    course.edit(SOURCE, "A square has a side.", "A square is round.")
    source, notebook = course.text(SOURCE), course.text(NOTEBOOK)
    done = course.tito("notebook", "merge", "shapes")
    assert done.returncode == 3
    assert "changed in the same lines; both are kept, and build/merge/lessons/01_shapes" in done.stderr
    assert (course.text(SOURCE), course.text(NOTEBOOK)) == (source, notebook)
    merged = course.text(f"build/merge/{SOURCE}")
    assert "# A square has four sides." in merged
    assert "# A square is round." in merged
    assert "<<<<<<< the notebook" in merged


def test_an_edit_can_be_put_aside(course: GeometryCourse) -> None:
    untouched = course.text(NOTEBOOK)
    edit_notebook(course, "A square has a side.", "A square has four sides.")
    edited = course.text(NOTEBOOK)
    done = course.tito("notebook", "discard", "shapes")
    assert done.returncode == 0
    kept = done.stdout.rstrip().rpartition(" ")[2]
    assert course.text(kept) == edited
    assert course.text(NOTEBOOK) == untouched
    course.run()
    assert course.ran() == set()


@pytest.mark.parametrize("damage", ["", '{"cells": [', "\0\0\0"])
def test_a_damaged_notebook_is_kept_and_made_anew(course: GeometryCourse, damage: str) -> None:
    untouched = course.text(NOTEBOOK)
    course.put(NOTEBOOK, damage)
    course.run()
    assert course.report.outcome is Outcome.PASSED
    assert "the notebook could not be read (it is no valid JSON: " in course.said
    assert course.text(NOTEBOOK) == untouched
    (kept,) = (course.root / "build/rescued").glob("shapes_dev-*.ipynb")
    assert kept.read_text() == damage


def test_a_notebook_of_unknown_origin_is_not_overwritten(course: GeometryCourse) -> None:
    """Its metadata are gone, as other tools leave it, and so is the copy of what it was made from."""
    notebook = json.loads(course.text(NOTEBOOK))
    notebook["metadata"] = {}
    notebook["cells"][0]["source"] = "mine"
    course.put(NOTEBOOK, json.dumps(notebook))
    (course.root / "build/converted" / SOURCE).unlink()
    course.run()
    assert course.report.modules["shapes"].outcome is Outcome.FAILED
    assert json.loads(course.text(NOTEBOOK)) == notebook
    done = course.tito("notebook", "merge", "shapes")
    assert done.returncode == 3
    assert "it is not known what build/notebooks/01_shapes/shapes_dev.ipynb was made from" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["accept", "shape"], "'shape' is no module of this course; did you mean 'shapes'?"),
        (["accept", "shapes"], "the notebook of shapes holds no edit that its source lacks"),
        (["merge", "shapes"], "the notebook of shapes holds no edit that its source lacks"),
    ],
)
def test_what_cannot_be_done_is_said(course: GeometryCourse, arguments: list[str], said: str) -> None:
    done = course.tito("notebook", *arguments)
    assert done.returncode == 3
    assert said in done.stderr


def test_before_the_first_run_there_is_no_notebook(tmp_path: Path) -> None:
    course = GeometryCourse.write(tmp_path / "course")
    done = course.tito("notebook", "accept", "shapes")
    assert done.returncode == 3
    assert f"there is no {NOTEBOOK} yet; `doit convert:shapes` makes it" in done.stderr


def test_cleaning_keeps_what_was_edited(course: GeometryCourse) -> None:
    edit_notebook(course, "A square has a side.", "A square has four sides.")
    edited = course.text(NOTEBOOK)
    done = course.doit("clean", "convert")
    assert done.returncode == 0, done.stderr
    kept = [path for path in (course.root / "build" / "rescued").iterdir() if path.suffix == ".ipynb"]
    assert [path.read_text(encoding="utf-8") for path in kept] == [edited]
    assert f"{NOTEBOOK} was edited; what lay there is kept as build/rescued/{kept[0].name}" in done.stdout
    assert not (course.root / NOTEBOOK).exists()


def test_a_build_after_an_accepted_edit_is_that_from_nothing(course: GeometryCourse) -> None:
    edit_notebook(course, "square.side * square.side", "square.side ** 2", AREAS)
    assert course.tito("notebook", "accept", "areas").returncode == 0
    course.run()
    assert course.report.outcome is Outcome.PASSED, course.said
    assert '"outputs": [\n' in course.text(AREAS)  # what was run stays run
    accepted = course.published()
    shutil.rmtree(course.root / "build")
    course.run()
    assert course.published() == accepted
