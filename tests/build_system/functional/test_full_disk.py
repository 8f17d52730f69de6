"""A disk that is full, or a limit on the size of files, at any point of a run: it says so, and harms nothing."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.build_system.functional.course_states import (
    STATES,
    Made,
    State,
    write,
    write_course,
)
from tests.build_system.functional.forked_runs import Ended, ForkedRuns
from tests.build_system.geometry_course import GeometryCourse, KeptCourse

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, mounts and looks into /proc")

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
DISK = 8 * 1024 * 1024
"""Bytes that the small disk holds."""
ROOM = [index * index * 60 * 1024 for index in range(5)]
"""Bytes that are free before a run. The last ones are enough for one that makes everything."""
REASONS = ("No space left on device", "database or disk is full", "disk I/O error", "File too large")
NEEDS = {"summary": ("base/areas", "base/shapes"), "base/areas": ("base/shapes",)}


@dataclass(frozen=True, slots=True)
class Disk:
    """A small disk with a course on it.

    Attributes:
        place: where it is mounted, for the processes of `runs` alone.
        course: the course, at the path by which others see it.
        runs: runs of the course.
    """

    place: Path
    course: GeometryCourse
    runs: ForkedRuns

    @property
    def folder(self) -> Path:
        return self.course.root.parent

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def fill(self, room: int) -> None:
        """Leave so many bytes free."""
        state = os.statvfs(self.folder)
        self._ballast.write_bytes(bytes(max(0, state.f_bavail * state.f_frsize - room)))

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    folder = tmp_path_factory.mktemp("disk")
    launcher = mounting(folder / "disk")
    with ForkedRuns(folder / "disk" / "course", folder / "runs", launcher) as runs:
        seen = Path(f"/proc/{runs.pid}/root") / (folder / "disk").relative_to("/")
        runs.until_ready()
        yield Disk(folder / "disk", GeometryCourse(seen / "course"), runs)


def mounting(folder: Path) -> Sequence[str]:
    """A command that mounts a small disk for itself alone and becomes what follows."""
    folder.mkdir()
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    mount = f'mount -t tmpfs -o size={DISK} tmpfs "$0" && exec "$@"'
    launcher = [*unshare, "sh", "-c", mount, str(folder)]
    if shutil.which("unshare") is None or subprocess.run([*launcher, "true"], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    return launcher


def new_course(root: Path, state: State) -> GeometryCourse:
    shutil.rmtree(root, ignore_errors=True)
    course = write_course(root)
    write(course, state.files())
    return course


def assert_sound(course: GeometryCourse, clean: Mapping[State, Made], told: str) -> None:
    """The package holds modules of one state of the sources, each with all that it needs, or nothing."""
    package = course.digests("geometry")
    modules = {
        path: digest
        for path, digest in package.items()
        if not path.endswith(("__init__.py", "modules.lock", "py.typed"))
    }
    assert any(modules.items() <= made.package.items() for made in clean.values()), told
    for name, needed in NEEDS.items():
        if f"geometry/{name}.py" in modules:
            assert {f"geometry/{other}.py" for other in needed} <= modules.keys(), told
    if modules:
        assert {"geometry/__init__.py", "geometry/modules.lock"} <= package.keys(), told


def assert_told(ended: Ended, told: str) -> None:
    """A run that could not do its work says why, in sentences; one that could has done it."""
    assert "Traceback" not in ended.said, told
    assert "report this" not in ended.said, told
    if ended.status == 0:
        assert "modules: 4 passed" in ended.said, told
    else:
        assert any(reason in ended.said for reason in REASONS), told
        assert "run the command again" in ended.said, told


def assert_recovers(
    course: GeometryCourse, runs: ForkedRuns, made: Made, told: str, command: str = "validate"
) -> None:
    ended = runs.run(command)
    assert ended.status == 0, f"{told}\n-- then:\n{ended.said}"
    assert Made.by(course).differs_from(made) == [], told


@pytest.mark.parametrize("built", [False, True], ids=["from nothing", "after an edit"])
def test_a_full_disk_ends_a_run_with_a_sentence_and_harms_nothing(
    disk: Disk, clean: Mapping[State, Made], tmp_path: Path, built: bool
) -> None:
    before, after = (STATES[0], STATES[-1]) if built else (STATES[0], STATES[0])
    course, runs = new_course(disk.course.root, before), disk.runs
    if built:
        assert runs.run().status == 0
    kept = KeptCourse.of(course, tmp_path / "kept")
    statuses = []
    for room in [*ROOM, *(random.randrange(ROOM[-1]) for _ in range(200 if NIGHTLY else 0))]:
        course = kept.anew()
        write(course, after.files())
        disk.fill(room)
        ended = runs.run()
        told = f"{room} bytes were free; status {ended.status}\n{ended.said}"
        statuses.append(ended.status)
        assert_told(ended, told)
        assert_sound(course, clean, told)
        assert runs.left_over() == [], told
        disk.free()
        assert_recovers(course, runs, clean[after], told)
    assert statuses[0] != 0
    assert statuses[len(ROOM) - 1] == 0, "the sweep does not come to what a run needs"


@dataclass(frozen=True, slots=True)
class Whole:
    """A course with every kind of gate, and what its wheel and package are when nothing goes wrong."""

    kept: KeptCourse
    made: Mapping[str, str]


@pytest.fixture(scope="module")
def whole(disk: Disk, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    shutil.rmtree(disk.course.root, ignore_errors=True)
    course = GeometryCourse.write(disk.course.root)
    course.put("modules.toml", course.text("modules.toml") + 'system = "checks/system"\n')
    course.put(
        "checks/system/test_all.py",
        "from geometry.summary import describe\n\n\ndef test_all() -> None:\n    assert describe\n",
    )
    kept = KeptCourse.of(course, tmp_path_factory.mktemp("kept") / "course")
    ended = disk.runs.run("build")
    assert ended.status == 0, ended.said
    return Whole(kept, {**course.published(), **course.digests("dist")})


OF_MODULES = {
    "convert:areas": "Module areas export validation failed: the system refuses",
    "export:areas": "Module areas export validation failed: the system refuses",
    "import-check:areas": "Module areas export validation failed: The ledger of passed tests cannot be used",
    "test:areas": "Module areas tests failed: The ledger of passed tests cannot be used",
    "publish:areas": "Module areas was not published: ",
}
BETWEEN_MODULES = {
    "integration:test_shapes_areas.py": "The ledger of passed tests cannot be used",
    "system:test_all.py": "The ledger of passed tests cannot be used",
    "build": "Package build failed: the system refuses",
}
"""Tasks, with what is said of each if it finds the disk full."""
ONE_BY_ONE = ("-n", "0")
"""Without threads: else another task may be the one that finds the disk full."""


@pytest.mark.parametrize("task", OF_MODULES)
def test_a_disk_that_is_full_when_a_stage_begins(disk: Disk, clean: Mapping[State, Made], task: str) -> None:
    course, runs = new_course(disk.course.root, STATES[0]), disk.runs
    ended = runs.run(*ONE_BY_ONE, "validate", full_from=(task, disk.place / "ballast"))
    assert ended.status != 0, ended.said
    assert OF_MODULES[task] in ended.said, ended.said
    assert_told(ended, ended.said)
    assert_sound(course, clean, ended.said)
    disk.free()
    assert_recovers(course, runs, clean[STATES[0]], ended.said)


@pytest.mark.parametrize("task", BETWEEN_MODULES)
def test_a_disk_that_is_full_when_a_stage_of_the_package_begins(
    disk: Disk, whole: Whole, clean: Mapping[State, Made], task: str
) -> None:
    runs = disk.runs
    course = whole.kept.anew()
    ended = runs.run(*ONE_BY_ONE, "build", full_from=(task, disk.place / "ballast"))
    assert ended.status != 0, ended.said
    assert BETWEEN_MODULES[task] in ended.said, ended.said
    assert_told(ended, ended.said)
    assert_sound(course, clean, ended.said)
    assert course.digests("dist") == {}, ended.said
    disk.free()
    ended = runs.run("build")
    assert ended.status == 0, ended.said
    assert {**course.published(), **course.digests("dist")} == whole.made


def test_a_report_that_is_too_large_is_not_left_half_written(tmp_path: Path) -> None:
    course = new_course(tmp_path / "course", STATES[0])
    for name in ("01_shapes/shapes", "02_colours/colours"):
        course.edit(f"lessons/{name}_dev.py", "\nassert ", '\nprint("much to tell " * 10_000)\nassert not ')
    pages = [course.root / "build" / "report" / name for name in ("index.html", "junit.xml")]
    with ForkedRuns(course.root, tmp_path / "runs") as runs:
        assert "the report is in build/report/index.html" in runs.run("report").said
        size = pages[0].stat().st_size  # times in it may have a digit more or less
        ended = runs.run("report", largest_file=size - 1000)
        assert "ERROR: build/report/index.html: File too large; raise the limit" in ended.said, ended.said
        assert ended.status == 3
        assert not pages[0].exists()  # the earlier one would be taken for this run's
        assert "Traceback" not in ended.said
        ended = runs.run("report", largest_file=size + 1000)
        assert "the report is in build/report/index.html" in ended.said, ended.said
        assert all(page.exists() for page in pages)


def test_a_full_disk_for_temporary_files_is_done_without(
    disk: Disk, clean: Mapping[State, Made], tmp_path: Path
) -> None:
    # With no room at all another folder is used; modules that write nothing get along with little.
    for room in (0, 4096):
        course = new_course(tmp_path / "course", STATES[0])
        disk.fill(room)
        ended = disk.runs.run(course=course.root, temporary=disk.place)
        assert ended.status == 0, ended.said
        disk.free()
        assert Made.by(course).differs_from(clean[STATES[0]]) == [], ended.said


@pytest.mark.parametrize("largest", [2000, 50_000, 100_000, 150_000, 250_000])
def test_a_limit_on_the_size_of_files(clean: Mapping[State, Made], tmp_path: Path, largest: int) -> None:
    course = new_course(tmp_path / "course", STATES[0])
    with ForkedRuns(course.root, tmp_path / "runs") as runs:
        ended = runs.run(largest_file=largest)
        told = f"at most {largest} bytes; status {ended.status}\n{ended.said}"
        assert_told(ended, told)
        assert_sound(course, clean, told)
        assert_recovers(course, runs, clean[STATES[0]], told)
