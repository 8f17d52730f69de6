"""What the build has written, and something else has spoilt: it is made anew or explained, and never believed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.build_system.functional.course_states import STATES, Made, write, write_course
from tests.build_system.functional.forked_runs import ForkedRuns
from tests.build_system.geometry_course import GeometryCourse, KeptCourse

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")

FILES = [
    "build/doit.sqlite3",
    "build/ledger.sqlite3",
    "build/run.lock",
    "build/run.lock.holder",
    "build/publish.lock",
    "build/report/report.json",
    "build/notebooks/01_shapes/shapes_dev.ipynb",
    "build/converted/lessons/01_shapes/shapes_dev.py",
    "build/staging/geometry/base/shapes.py",
    "build/objects",
    "geometry/modules.lock",
    "geometry/__init__.py",
    "geometry/base/shapes.py",
    "modules.lock",
]

BELIEVED = ["build/doit.sqlite3", "build/ledger.sqlite3", "build/objects", "geometry/modules.lock"]
"""What a verdict could rest on."""


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def fill_with_garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 40)


def write_other_json(path: Path) -> None:
    path.write_text('[{"what": 1, "pid": "x", "cells": null}, ' + "[" * 3000, encoding="utf-8")


def make_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").write_bytes(b"x")


def make_a_broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere") / "file")


DAMAGES = [empty, cut, fill_with_garbage, write_other_json, make_a_folder, make_a_broken_link]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedRuns]:
    folder = tmp_path_factory.mktemp("damaged")
    with ForkedRuns(folder / "course", folder / "runs") as found:
        yield found


@pytest.fixture(scope="module")
def kept(runs: ForkedRuns, tmp_path_factory: pytest.TempPathFactory) -> KeptCourse:
    """A course that has been built, as it lies where each run will find it."""
    course = write_course(runs.course)
    ended = runs.run()
    assert ended.status == 0, ended.said
    (course.root / "build" / "run.lock.holder").write_text(
        '{"what": "doit", "pid": 4194305, "since": "2020-01-01 00:00:00"}', encoding="utf-8"
    )
    return KeptCourse.of(course, tmp_path_factory.mktemp("kept") / "course")


@pytest.fixture(scope="module")
def sound(kept: KeptCourse) -> Made:
    return Made.by(GeometryCourse(kept.copy))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_made_anew_or_explained(
    runs: ForkedRuns, kept: KeptCourse, sound: Made, name: str, damage: Callable[[Path], None]
) -> None:
    course = kept.anew()
    path = course.root / name
    if path.is_dir():
        path = sorted(path.iterdir())[0]
    damage(path)
    ended = runs.run()
    assert "Traceback" not in ended.said, ended.said
    assert "report this" not in ended.said, ended.said
    assert course.digests("geometry") == sound.package or ended.status != 0
    if ended.status != 0:
        assert "move it out of the way; the build makes what it needs" in ended.said.replace("\n", " ")
        assert path.relative_to(course.root).as_posix() in ended.said
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        ended = runs.run()
    assert ended.status == 0, ended.said
    assert Made.by(course).differs_from(sound) == [], ended.said


@pytest.mark.parametrize("name", BELIEVED)
def test_what_is_damaged_does_not_hide_a_fault(
    runs: ForkedRuns, kept: KeptCourse, sound: Made, name: str
) -> None:
    course = kept.anew()
    path = course.root / name
    cut(sorted(path.iterdir())[0] if path.is_dir() else path)
    course.edit("lessons/03_areas/areas_dev.py", "square.side * square.side", "square.side + square.side")
    ended = runs.run()
    assert ended.status != 0, ended.said
    assert "Module areas tests failed" in ended.said
    assert course.digests("geometry") == sound.package
    write(course, STATES[0].files())
    ended = runs.run()
    assert ended.status == 0, ended.said
    assert Made.by(course).differs_from(sound) == [], ended.said
