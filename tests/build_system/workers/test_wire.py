"""What crosses the border: functions on the way out, plain data on the way back."""

from __future__ import annotations

import os
import pickle
import socket

import pytest

from tinytorch_build.model import Problem, Severity
from tinytorch_build.workers import Job, StagedModule, View
from tinytorch_build.workers.wire import Order, UntrustedResult, framed, loads, order_of, read_frame


class Treacherous:
    """Runs code where it is opened."""

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.system, ("exit 1",)


class OfTheCourse:
    """A class that the build does not have."""


def test_plain_values_and_values_of_the_build_come_back() -> None:
    value = {
        "list": [1, 2.5, None, True, "é", b"\x00", (1,), frozenset({2}), 1j],
        "problem": Problem("check", "message", severity=Severity.WARNING),
    }
    assert loads(pickle.dumps(value, protocol=5)) == value


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Treacherous(), "posix.system"),
        (OfTheCourse(), f"{__name__}.OfTheCourse"),
        (eval, "builtins.eval"),
        (order_of, "tinytorch_build.workers.wire.order_of"),
    ],
)
def test_anything_else_is_refused(value: object, named: str) -> None:
    with pytest.raises(UntrustedResult) as caught:
        loads(pickle.dumps(value))
    assert str(caught.value) == f"{named} is neither a builtin value nor one of tinytorch_build"


def test_an_order_holds_all_that_a_job_says() -> None:
    view = View("pkg", {"pkg.core.a": StagedModule("/a.py", "00")}, "x = 1", "a", {"pkg.core.b": "b"})
    job = Job(abs, (-1,), seconds=3, memory_mb=7, view=view, max_processes=2)
    order = loads(order_of(job, confine=True))
    assert order == Order(order.call, order.token, 3, 7, view, 2, True)
    assert len(order.token) == 16


def test_a_function_that_cannot_travel_is_an_error_of_the_caller() -> None:
    with socket.socket() as unsendable, pytest.raises(TypeError):
        order_of(Job(abs, (unsendable,)), confine=True)


def test_a_frame_that_is_cut_off_is_none() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(framed(b"whole") + framed(b"cut off")[:-1])
        assert read_frame(ours) == b"whole"
        assert read_frame(ours) is None
