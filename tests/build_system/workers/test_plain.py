"""The way without `fork`: the same answers from a Python of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinytorch_build.workers import Activity, Failure, FailureKind, Job, Workers


@pytest.fixture(scope="module")
def plain(course_root: Path) -> Iterator[Workers]:
    with Workers(course_root, preload=("numpy",), fork=False) as workers:
        yield workers


def surroundings() -> list[str]:
    """What a job sees around it."""
    return [os.getcwd(), str(Path.home()), *sys.path, *os.listdir()]


def failure(plain: Workers, code: str, *, seconds: float = 30.0) -> Failure:
    found = plain.run(Job(exec, (code, {}), seconds=seconds, memory_mb=300)).failure
    assert found is not None
    return found


def test_a_value_comes_back_with_the_output(plain: Workers) -> None:
    result = plain.run(Job(print, ("hello",)))
    assert (result.value, result.failure, result.output) == (None, None, "hello\n")


def test_it_has_folders_of_its_own(plain: Workers) -> None:
    seen = plain.run(Job(surroundings)).value
    assert seen is not None
    assert str(Path(__file__).resolve().parents[3]) not in seen
    assert not Path(seen[0]).exists()


@pytest.mark.parametrize(
    ("code", "kind", "detail"),
    [
        (
            "import os; os._exit(0)",
            FailureKind.EXITED,
            "ended by itself with exit status 0 before it delivered a result (os._exit, sys.exit or exec?)",
        ),
        ("1 / 0", FailureKind.RAISED, "raised ZeroDivisionError: division by zero"),
        ("b'x' * (1 << 30)", FailureKind.OUT_OF_MEMORY, "needed more than 300 MB of memory"),
        (
            "import ctypes; ctypes.string_at(0)",
            FailureKind.KILLED,
            "was killed by SIGSEGV (segmentation fault)",
        ),
    ],
)
def test_failures_are_the_same(plain: Workers, code: str, kind: FailureKind, detail: str) -> None:
    found = failure(plain, code)
    assert (found.kind, found.detail) == (kind, detail)


def test_the_exit_handlers_are_part_of_the_job(plain: Workers) -> None:
    found = failure(plain, "import atexit, os; atexit.register(os._exit, 0)")
    assert (found.kind, found.doing) == (FailureKind.EXITED, Activity("its exit handlers"))


def test_a_loop_is_stopped(plain: Workers) -> None:
    assert failure(plain, "while True: pass", seconds=0.1) == Failure(
        FailureKind.TIMED_OUT, "took longer than 0.1 s and was stopped"
    )
