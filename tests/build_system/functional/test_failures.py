"""What a fault in one module does to the run and to the other modules; to the package, nothing."""

from __future__ import annotations

import pytest

from tests.build_system.geometry_course import GeometryCourse, KeptCourse
from tinytorch_build.model import Outcome, Stage

SHAPES = "lessons/01_shapes/shapes_dev.py"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> KeptCourse:
    folder = tmp_path_factory.mktemp("kept")
    course = GeometryCourse.write(folder / "course")
    report = course.run()
    assert report.outcome is Outcome.PASSED, course.said
    return KeptCourse.of(course, folder / "copy")


@pytest.fixture
def course(kept: KeptCourse) -> GeometryCourse:
    return kept.anew()


@pytest.mark.parametrize(
    ("file", "old", "new", "stage", "said", "place"),
    [
        pytest.param(
            SHAPES,
            "class Square:",
            "class Square",
            Stage.CONVERT,
            "Module shapes export validation failed: ",
            f"{SHAPES}:10",
            id="syntax error",
        ),
        pytest.param(
            SHAPES,
            "Square(2).side == 2",
            "Square(2).side == 3",
            Stage.TEST,
            "Module shapes tests failed: ",
            f"{SHAPES}:21",
            id="inline cell",
        ),
        pytest.param(
            "checks/unit/test_shapes.py",
            "Square(4).side == 4",
            "Square(4).side == 5",
            Stage.TEST,
            "Module shapes tests failed: ",
            "checks/unit/test_shapes.py:5",
            id="unit test",
        ),
    ],
)
def test_a_fault_blocks_what_depends_on_it_and_nothing_else(
    course: GeometryCourse, file: str, old: str, new: str, stage: Stage, said: str, place: str
) -> None:
    before = course.published()
    course.edit(file, old, new)
    course.run()
    assert course.report.outcome is Outcome.FAILED
    assert course.outcomes() == {
        "shapes": "failed",
        "colours": "passed",
        "areas": "blocked",
        "summary": "blocked",
    }
    assert course.report.modules["areas"].blocked_by == ("shapes",)
    assert course.report.modules["summary"].blocked_by == ("shapes",)
    assert course.report.modules["shapes"].stages[stage].outcome is Outcome.FAILED
    assert said in course.said
    assert place in course.said
    assert "areas is blocked by shapes" in course.said
    assert course.published() == before
    assert course.doit().returncode not in (0, 3)


def test_a_failing_integration_test_fails_the_last_of_its_modules(course: GeometryCourse) -> None:
    before = course.published()
    course.edit("checks/integration/test_shapes_areas.py", "== 25", "== 26")
    course.run()
    assert course.outcomes() == {
        "shapes": "passed",
        "colours": "passed",
        "areas": "failed",
        "summary": "blocked",
    }
    assert course.report.modules["summary"].blocked_by == ("areas",)
    assert "Found integration issue between Module shapes and areas: test_both" in course.said
    assert "checks/integration/test_shapes_areas.py:6" in course.said
    assert "Package validation requires these tests to pass: integration:test_shapes_areas.py" in course.said
    assert course.published() == before
    assert course.doit().returncode not in (0, 3)


def test_a_module_waits_until_what_is_published_passes_with_it(course: GeometryCourse) -> None:
    before = course.published()
    course.edit(SHAPES, "self.side = side", "self.side = side\n        self.corners = 4")
    course.edit("checks/unit/test_summary.py", "side 1, area 1", "side 1, area 2")
    course.run()
    assert course.outcomes()["shapes"] == "passed"
    assert course.outcomes()["summary"] == "failed"
    assert not course.report.modules["shapes"].published
    assert course.published() == before
    course.edit("checks/unit/test_summary.py", "side 1, area 2", "side 1, area 1")
    course.run()
    assert course.report.outcome is Outcome.PASSED
    assert course.ran() == {"test:summary", "publish:summary"}
    assert "self.corners = 4" in course.text("geometry/base/shapes.py")
    course.run()
    assert course.ran() == set()


def test_a_hand_edited_package_is_restored_and_the_edit_kept(course: GeometryCourse) -> None:
    before = course.published()
    course.edit("geometry/base/areas.py", "square.side * square.side", "0")
    course.run()
    assert course.published() == before
    assert "geometry/base/areas.py" in course.said
    kept = [path.read_text(encoding="utf-8") for path in (course.root / "build/rescued").rglob("*.patch")]
    assert any("+    return 0" in text for text in kept)


def test_a_module_that_leaves_the_manifest_leaves_the_package(course: GeometryCourse) -> None:
    manifest = course.text("modules.toml")
    start, end = manifest.index("[modules.colours]"), manifest.index("[modules.areas]")
    course.put("modules.toml", manifest[:start] + manifest[end:])
    (course.root / "checks/unit/test_colours.py").unlink()
    course.run()
    assert course.report.outcome is Outcome.PASSED, course.said
    assert "geometry/colours.py" not in course.published()
    assert "mix" not in course.text("geometry/__init__.py")


def test_a_renamed_target_leaves_no_old_file(course: GeometryCourse) -> None:
    course.edit("modules.toml", 'target = "colours"', 'target = "paint.colours"')
    course.edit("lessons/02_colours/colours_dev.py", "default_exp colours", "default_exp paint.colours")
    course.edit("checks/unit/test_colours.py", "geometry.colours", "geometry.paint.colours")
    course.run()
    assert course.report.outcome is Outcome.PASSED, course.said
    assert "geometry/paint/colours.py" in course.published()
    assert "geometry/colours.py" not in course.published()


def test_single_publish_does_not_get_round_the_gates(course: GeometryCourse) -> None:
    before = course.published()
    course.edit(SHAPES, "self.side = side", "self.side = -side")
    course.doit("run", "--single", "convert:shapes")
    course.doit("run", "--single", "export:shapes")
    done = course.doit("run", "--single", "publish:shapes")
    assert done.returncode not in (0, 3)
    assert "Package validation requires these tests to pass: import-check:shapes, test:shapes" in done.stdout
    assert course.published() == before
