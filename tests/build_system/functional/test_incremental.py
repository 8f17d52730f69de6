"""What runs again after which edit, and that outputs depend on the sources alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.build_system.geometry_course import GeometryCourse, KeptCourse
from tinytorch_build.model import Outcome

EVERY_STAGE = ("convert", "export", "import-check", "test", "publish")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> KeptCourse:
    folder = tmp_path_factory.mktemp("kept")
    course = GeometryCourse.write(folder / "a course über Formen")
    report = course.run()
    assert report.outcome is Outcome.PASSED, course.said
    return KeptCourse.of(course, folder / "copy")


@pytest.fixture
def course(kept: KeptCourse) -> GeometryCourse:
    return kept.anew()


def test_first_run_publishes_everything(course: GeometryCourse) -> None:
    assert course.outcomes() == dict.fromkeys(("shapes", "colours", "areas", "summary"), "passed")
    assert set(course.published()) == {
        "geometry/__init__.py",
        "geometry/base/__init__.py",
        "geometry/base/areas.py",
        "geometry/base/shapes.py",
        "geometry/colours.py",
        "geometry/modules.lock",
        "geometry/py.typed",
        "geometry/summary.py",
        "modules.lock",
    }


def test_second_run_executes_nothing(course: GeometryCourse) -> None:
    before = course.digests("build/notebooks") | course.digests("build/staging") | course.published()
    course.run()
    assert course.ran() == set()
    assert course.digests("build/notebooks") | course.digests("build/staging") | course.published() == before


def test_prose_edit_converts_and_stops_there(course: GeometryCourse) -> None:
    before = course.published()
    course.edit("lessons/01_shapes/shapes_dev.py", "A square has a side.", "A square has one side length.")
    course.run()
    assert course.ran() == {"convert:shapes"}
    assert course.published() == before
    course.run()
    assert course.ran() == set()


def test_edit_of_an_inline_test_cell_tests_that_module(course: GeometryCourse) -> None:
    course.edit("lessons/01_shapes/shapes_dev.py", "Square(2).side == 2", "Square(7).side == 7")
    course.run()
    assert course.ran() == {"convert:shapes", "import-check:shapes", "test:shapes", "publish:shapes"}


def test_edit_of_an_exported_cell_runs_it_and_its_dependents(course: GeometryCourse) -> None:
    course.edit("lessons/03_areas/areas_dev.py", "square.side * square.side", "square.side**2")
    course.run()
    assert course.ran() == {
        *(f"{stage}:areas" for stage in EVERY_STAGE),
        *(f"{stage}:summary" for stage in ("import-check", "test", "publish")),
        "integration:test_shapes_areas.py",
    }
    assert "square.side**2" in course.text("geometry/base/areas.py")


def test_edit_of_a_unit_test_runs_that_test(course: GeometryCourse) -> None:
    course.edit("checks/unit/test_colours.py", '"a-b"', '"a" + "-b"')
    course.run()
    assert course.ran() == {"test:colours", "publish:colours"}


def test_edit_of_an_integration_test_runs_that_file(course: GeometryCourse) -> None:
    course.edit("checks/integration/test_shapes_areas.py", "area(Square(5)) == 25", "area(Square(6)) == 36")
    course.run()
    assert course.ran() == {"integration:test_shapes_areas.py", "publish:areas"}


def test_an_edit_and_its_undoing_leave_the_same_bytes(course: GeometryCourse) -> None:
    before = course.digests("build/notebooks") | course.digests("build/staging") | course.published()
    original = course.text("lessons/01_shapes/shapes_dev.py")
    course.edit("lessons/01_shapes/shapes_dev.py", "self.side = side", "self.side = side + 0")
    course.run()
    assert course.published() != before
    course.put("lessons/01_shapes/shapes_dev.py", original)
    course.run()
    assert course.report.outcome is Outcome.PASSED
    assert course.digests("build/notebooks") | course.digests("build/staging") | course.published() == before
    course.run()
    assert course.ran() == set()


def test_two_checkouts_give_the_same_bytes(course: GeometryCourse, tmp_path: Path) -> None:
    other = GeometryCourse.write(tmp_path / "x" / "somewhere else")
    other.run()
    for folder in ("build/notebooks", "build/staging", "geometry", "modules.lock"):
        assert other.digests(folder) == course.digests(folder)


def test_a_damaged_output_is_made_again(course: GeometryCourse) -> None:
    staged = course.digests("build/staging")
    course.put("build/staging/geometry/colours.py", "garbage")
    course.run()
    assert course.ran() == {"export:colours"}
    assert course.digests("build/staging") == staged


def test_without_its_build_folder_a_course_is_validated_anew(course: GeometryCourse) -> None:
    import shutil

    before = course.published()
    shutil.rmtree(course.root / "build")
    course.run()
    assert course.report.outcome is Outcome.PASSED
    assert len(course.ran()) == 4 * len(EVERY_STAGE) + 1
    assert course.published() == before


def test_what_was_only_blocked_is_still_current_when_the_fault_is_mended(course: GeometryCourse) -> None:
    original = course.text("checks/unit/test_shapes.py")
    course.put("checks/unit/test_shapes.py", original.replace("== 4", "== 5"))
    course.run()
    assert course.outcomes() == {
        "shapes": "failed",
        "colours": "passed",
        "areas": "blocked",
        "summary": "blocked",
    }
    course.put("checks/unit/test_shapes.py", original)
    course.run()
    assert course.report.outcome is Outcome.PASSED
    assert course.ran() == {"test:shapes"}
