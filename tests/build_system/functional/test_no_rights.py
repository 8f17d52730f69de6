"""Files and folders that the build may not read or write: it says which, and harms nothing."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.build_system.functional.forked_runs import Ended, ForkedRuns
from tests.build_system.geometry_course import GeometryCourse, KeptCourse

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")

EDIT = ("lessons/01_shapes/shapes_dev.py", "A square.", "A square, which has four equal sides.")
"""An edit after which every gate passes, and after which every module but one has to be taken anew."""
LOCKING = """
def task_lock():
    import os
    return {{"actions": [lambda: os.chmod({build!r}, 0o555)], "task_dep": ["publish"]}}


DOIT_CONFIG["default_tasks"] = ["validate", "lock"]
"""
"""A task of the course's own that takes the build's rights away once all is published."""
REASONS = ("Permission denied", "you are not allowed to look at")


@dataclass(frozen=True, slots=True)
class Case:
    """What may not be read or written, and what is then said.

    Attributes:
        paths: in the course.
        said: what the run has to name.
        task: what is run.
        stays: whether the package must be as it was.
    """

    paths: Sequence[str]
    said: Sequence[str]
    task: str = "validate"
    stays: bool = True


UNREADABLE = [
    Case(["modules.toml"], ["modules.toml"]),
    Case(["lessons/01_shapes/shapes_dev.py"], ["lessons/01_shapes/shapes_dev.py"]),
    Case(["lessons/01_shapes"], ["lessons/01_shapes"]),
    Case(["checks/unit/test_shapes.py"], ["checks/unit/test_shapes.py"]),
    Case(["checks/integration/test_shapes_areas.py"], ["checks/integration/test_shapes_areas.py"]),
    Case(["checks/integration"], ["checks/integration"]),
    Case(["build/notebooks/01_shapes/shapes_dev.ipynb"], ["build/notebooks/01_shapes/shapes_dev.ipynb"]),
    Case(["build/doit.sqlite3"], ["build/doit.sqlite3"]),
    Case(["build/ledger.sqlite3"], ["build/ledger.sqlite3"]),
    Case(["geometry/base/shapes.py"], ["geometry/base/shapes.py"]),
    Case(["geometry/modules.lock"], ["geometry/modules.lock"]),
    Case(["build"], ["build"]),
]
READ_ONLY = [
    Case(["build"], ["build/run.lock"]),
    Case(["build/notebooks/01_shapes"], ["build/notebooks/01_shapes"]),
    Case(["build/staging/geometry/base"], ["build/staging/geometry/base"]),
    Case(["build/objects"], ["build/objects"]),
    Case(["build/report"], ["build/report/report.json"], stays=False),
    Case(["geometry"], ["geometry"]),
    Case(["."], ["geometry"]),
    Case(["dist"], ["dist"], task="build", stays=False),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedRuns]:
    folder = tmp_path_factory.mktemp("no rights")
    with ForkedRuns(folder / "course", folder / "runs") as found:
        yield found


def write_course(root: Path) -> GeometryCourse:
    """The course with tests of one module, and between modules: every kind of gate, and no more to wait for."""
    course = GeometryCourse.write(root)
    for name in ("colours", "areas", "summary"):
        course.edit("modules.toml", f'tests = ["checks/unit/test_{name}.py"]\n', "")
        (course.root / "checks" / "unit" / f"test_{name}.py").unlink()
    return course


@pytest.fixture(scope="module")
def kept(runs: ForkedRuns, tmp_path_factory: pytest.TempPathFactory) -> KeptCourse:
    """A course that has been built, at the path where each test will find it."""
    course = write_course(runs.course)
    assert runs.run().status == 0
    return KeptCourse.of(course, tmp_path_factory.mktemp("kept") / "course")


@pytest.fixture(scope="module")
def wanted(runs: ForkedRuns, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The package after the edit, built from nothing."""
    course = write_course(tmp_path_factory.mktemp("clean") / "course")
    course.edit(*EDIT)
    ended = runs.run(course=course.root)
    assert ended.status == 0, ended.said
    return course.published()


@pytest.fixture
def course(kept: KeptCourse) -> GeometryCourse:
    course = kept.anew()
    course.edit(*EDIT)
    (course.root / "dist").mkdir()
    return course


def withhold(course: GeometryCourse, paths: Sequence[str], bits: int) -> dict[Path, int]:
    """Take rights away; what they were before."""
    before = {course.root / path: stat.S_IMODE((course.root / path).stat().st_mode) for path in paths}
    for path, mode in before.items():
        path.chmod(mode & ~bits)
    return before


def assert_refused(
    course: GeometryCourse, runs: ForkedRuns, case: Case, wanted: dict[str, str], bits: int
) -> None:
    standing = course.published()
    before = withhold(course, case.paths, bits)
    try:
        ended = runs.run(case.task, privileged=False)
    finally:
        for path, mode in before.items():
            os.chmod(path, mode)
    assert_told(ended, case)
    assert not says_that_all_passed(course) or (case.paths, bits) == (["build"], 0o777)  # out of reach
    if case.stays:
        assert course.published() == standing
    again = runs.run("validate", privileged=False)
    assert again.status == 0, again.said
    assert course.published() == wanted, again.said


def says_that_all_passed(course: GeometryCourse) -> bool:
    """Whether a report lies there by which this run has passed."""
    path = course.root / "build" / "report" / "report.json"
    return path.is_file() and '"outcome": "passed",\n  "finished"' in path.read_text(encoding="utf-8")


def assert_told(ended: Ended, case: Case) -> None:
    assert ended.status != 0, ended.said
    assert "Traceback" not in ended.said, ended.said
    assert "report this" not in ended.said, ended.said
    assert any(reason in ended.said for reason in REASONS), ended.said
    for words in case.said:
        assert words in ended.said, ended.said


@pytest.mark.parametrize("case", UNREADABLE, ids=lambda case: case.paths[0])
def test_what_may_not_be_read_is_named(
    course: GeometryCourse, runs: ForkedRuns, wanted: dict[str, str], case: Case
) -> None:
    assert_refused(course, runs, case, wanted, 0o777)


@pytest.mark.parametrize("case", READ_ONLY, ids=lambda case: case.paths[0])
def test_what_may_not_be_written_is_named(
    course: GeometryCourse, runs: ForkedRuns, wanted: dict[str, str], case: Case
) -> None:
    assert_refused(course, runs, case, wanted, 0o222)


def test_a_build_folder_that_becomes_read_only_during_a_run(
    course: GeometryCourse, runs: ForkedRuns, wanted: dict[str, str]
) -> None:
    """What is written last is the lock's own note, which then cannot be removed."""
    build = course.root / "build"
    course.put("dodo.py", course.text("dodo.py") + LOCKING.format(build=str(build)))
    ended = runs.run(privileged=False)
    build.chmod(0o755)
    assert ended.status == 3, ended.said
    assert "Traceback" not in ended.said, ended.said
    assert "ERROR: build/run.lock.holder: Permission denied" in ended.said
    course.edit("dodo.py", LOCKING.format(build=str(build)), "")
    again = runs.run(privileged=False)
    assert again.status == 0, again.said
    assert course.published() == wanted


def test_a_broken_manifest_beside_a_build_folder_that_may_not_be_read(
    course: GeometryCourse, runs: ForkedRuns
) -> None:
    course.edit("modules.toml", "[package]", "[package")
    before = withhold(course, ["build"], 0o777)
    ended = runs.run(privileged=False)
    for path, mode in before.items():
        path.chmod(mode)
    assert ended.status == 3
    assert "Traceback" not in ended.said, ended.said
    assert "modules.toml" in ended.said
