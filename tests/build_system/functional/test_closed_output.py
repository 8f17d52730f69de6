"""A run whose words nobody takes: a full disk behind standard output, a pager that is left, a closed descriptor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.build_system.functional.course_states import write_course
from tests.build_system.geometry_course import GeometryCourse

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")

DOIT = [sys.executable, "-m", "doit"]


@pytest.fixture
def course(tmp_path: Path) -> GeometryCourse:
    return write_course(tmp_path / "course")


def is_whole(course: GeometryCourse) -> bool:
    return len([path for path in course.digests("geometry") if path.endswith(".py")]) == 6


def test_a_full_disk_behind_standard_output_fails_the_run_which_goes_on(course: GeometryCourse) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ended = subprocess.run(
            DOIT, cwd=course.root, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60
        )
    assert ended.returncode == 3
    assert ended.stderr == (
        "ERROR: standard output: No space left on device; make room there, and run the command again\n"
    )
    assert is_whole(course)


def test_whoever_leaves_the_pager_ends_the_run(course: GeometryCourse) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        DOIT, cwd=course.root, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )
    os.close(writing)
    assert ended.stderr == "interrupted; the package is as the last complete step left it\n"
    assert ended.returncode != 0
    assert not is_whole(course)
    again = course.doit()
    assert again.returncode == 0, again.stdout
    assert is_whole(course)


def test_a_closed_standard_output_is_nothing_to_fail_by(course: GeometryCourse) -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *DOIT]
    ended = subprocess.run(
        command, cwd=course.root, stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert is_whole(course)


def test_a_notebook_command_says_so_too(course: GeometryCourse) -> None:
    assert course.doit().returncode == 0
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "tinytorch_build", "notebook", "diff", "shapes"],
            cwd=course.root,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert ended.returncode == 3
    assert ended.stderr.startswith("ERROR: standard output: No space left on device")
