"""Failures as data, with messages that say what happened."""

from __future__ import annotations

import signal

import pytest

from tinytorch_build.workers import Failure, FailureKind, Frame, RaisedError
from tinytorch_build.workers.failures import (
    BUILD_FOLDER,
    MAX_FRAMES,
    failure_of,
    failure_of_exit,
    frames_of,
    frames_of_crash,
    plain_text,
    timed_out,
)
from tinytorch_build.workers.job import Activity


class Mute(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no")


class Sly(str):
    """A string of the course's making."""


def caught(code: str, name: str = "cell.py") -> BaseException:
    try:
        exec(compile(code, name, "exec"), {})
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("status", "kind", "detail"),
    [
        (
            0,
            FailureKind.EXITED,
            "ended by itself with exit status 0 before it delivered a result (os._exit, sys.exit or exec?)",
        ),
        (-signal.SIGSEGV, FailureKind.KILLED, "was killed by SIGSEGV (segmentation fault)"),
        (
            -signal.SIGKILL,
            FailureKind.KILLED,
            "was killed by SIGKILL (by itself, or by the system for want of memory)",
        ),
        (-signal.SIGUSR1, FailureKind.KILLED, "was killed by SIGUSR1"),
        (-50, FailureKind.KILLED, "was killed by signal 50"),
    ],
)
def test_an_exit_without_a_result(status: int, kind: FailureKind, detail: str) -> None:
    assert failure_of_exit(status, "") == Failure(kind, detail)


def test_an_exception_with_its_place() -> None:
    failure = failure_of(caught("def f():\n    return 1 / 0\nf()"), 100)
    assert failure == Failure(
        FailureKind.RAISED,
        "raised ZeroDivisionError: division by zero",
        RaisedError(
            "ZeroDivisionError",
            "division by zero",
            ("ZeroDivisionError", "ArithmeticError", "Exception", "BaseException"),
        ),
        (Frame(__file__, failure.frames[0].line, "caught", failure.frames[0].text), *failure.frames[1:]),
    )
    assert failure.frames[1:] == (Frame("cell.py", 3, "<module>"), Frame("cell.py", 2, "f"))


def test_a_syntax_error_is_placed_where_the_code_is_wrong() -> None:
    error = caught("x = 1\ny = = 2\n", "core/a.py")
    assert frames_of(error)[-1] == Frame("core/a.py", 2, "<syntax>", "y = = 2")


def test_leaving_by_sys_exit() -> None:
    failure = failure_of(caught("import sys; sys.exit('bye')"), 100)
    assert (failure.kind, failure.detail) == (
        FailureKind.EXITED,
        "called sys.exit('bye') before it delivered a result",
    )


def test_want_of_memory() -> None:
    failure = failure_of(caught("raise MemoryError"), 300)
    assert (failure.kind, failure.detail) == (FailureKind.OUT_OF_MEMORY, "needed more than 300 MB of memory")


def test_an_import_error_says_which_module() -> None:
    error = failure_of(caught("import no_such_module"), 100).error
    assert error is not None
    assert (error.type, error.name) == ("ModuleNotFoundError", "no_such_module")


def test_of_a_deep_recursion_both_ends_are_kept() -> None:
    frames = frames_of(caught("def f(n): return f(n + 1)\n\nf(0)"))
    assert len(frames) == MAX_FRAMES
    assert frames[1] == Frame("cell.py", 3, "<module>")
    assert frames[-1].function == "f"


def test_text_is_made_safe_to_write() -> None:
    assert plain_text(Mute()) == "<its __str__ raises RuntimeError>"
    assert plain_text("\udc80") == "\\udc80"
    assert len(plain_text("x" * 1_000_000)) == 10_000
    assert type(plain_text(Sly("sly"))) is str


def test_the_trace_of_a_crash_names_lines() -> None:
    trace = (
        "Fatal Python error: Segmentation fault\n\nCurrent thread 0x1 (most recent call first):\n"
        '  File "/course/staging/a.py", line 7 in crash\n'
        '  File "/course/tests/test_a.py", line 3 in test_a\n'
        '  File "<frozen importlib._bootstrap>", line 241 in _call_with_frames_removed\n'
        f'  File "{BUILD_FOLDER}workers/inside.py", line 9 in _call\n'
        '  File "<string>", line 5 in <module>\n'
    )
    frames = (Frame("/course/tests/test_a.py", 3, "test_a"), Frame("/course/staging/a.py", 7, "crash"))
    assert frames_of_crash(trace) == frames
    assert timed_out(20, trace) == Failure(
        FailureKind.TIMED_OUT, "took longer than 20 s and was stopped", frames=frames
    )


def test_a_failure_prints_itself_as_a_traceback() -> None:
    failure = Failure(
        FailureKind.RAISED,
        "raised ValueError: no",
        frames=(Frame("a.py", 1, "f", "g()"), Frame("b.py", 2, "g")),
        doing=Activity("the import of a"),
    )
    assert str(failure) == (
        "Traceback (most recent call last):\n"
        '  File "a.py", line 1, in f\n    g()\n'
        '  File "b.py", line 2, in g\n'
        "the process during the import of a raised ValueError: no"
    )
