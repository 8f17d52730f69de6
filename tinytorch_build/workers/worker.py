"""What happens inside a worker process: the call is made, and its value or failure is put into words."""

from __future__ import annotations

import contextlib
import linecache
import os
import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import cloudpickle

from tinytorch_build.workers import limits, view
from tinytorch_build.workers.job import Failure, FailureKind, Frame
from tinytorch_build.workers.wire import VALUE, Request, failure_payload

FRAMES_AT_EACH_END = 20
"""Frames kept of the beginning and of the end of a traceback: a deep recursion has thousands."""
OWN_FOLDER = str(Path(__file__).parent)


def perform(request: Request) -> bytes:
    """Make the call of a request, in this process, which is spent afterwards: the reply's payload.

    Raises:
        SystemExit: the call asked for the end of the process.
    """
    limits.settle_in(Path(request.folder))
    limits.hide_folders(request.hidden)
    limits.seed_generators()
    if request.view is not None:
        view.install(request.view)
    sys.modules["__main__"] = types.ModuleType("__main__")
    process = os.getpid()
    limits.limit_resources(request.memory_mb)
    try:
        payload = _call(request.call)
    except SystemExit:
        raise
    except BaseException as error:  # KeyboardInterrupt and the like too: the code is not to be trusted
        payload = failure_payload(_failure_of(error))
    if os.getpid() != process:  # a fork of the course's own that came back from the call
        os._exit(1)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # it may have been closed or replaced by anything
            stream.flush()
    return payload


def _call(call: bytes) -> bytes:
    function: Callable[..., object]
    args: tuple[Any, ...]
    function, args = pickle.loads(call)
    value = function(*args)
    try:
        return VALUE + cloudpickle.dumps(value)
    except MemoryError:
        raise
    except Exception as error:  # whatever pickling raises, it means that the value cannot travel
        message = f"the result cannot be pickled: {type(error).__name__}: {error}"
        return failure_payload(Failure(FailureKind.NOT_DELIVERED, message))


def _failure_of(error: BaseException) -> Failure:
    """An exception as a failure."""
    out_of_memory = isinstance(error, MemoryError)
    frames = _frames(error.__traceback__)
    if isinstance(error, SyntaxError) and error.filename is not None and error.lineno is not None:
        text = (error.text or linecache.getline(error.filename, error.lineno)).strip()
        frames += (Frame(error.filename, error.lineno, "<module>", text),)
    name = getattr(error, "name", None)
    return Failure(
        FailureKind.OUT_OF_MEMORY if out_of_memory else FailureKind.RAISED,
        _message(error),
        type(error).__name__,
        frames,
        name if isinstance(name, str) else "",
    )


def _message(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.msg:
        return str(error.msg)  # without "(file, line 3)", which the last frame says
    try:
        return str(error)
    except Exception:  # a class of the course's with a faulty __str__
        return "<the exception cannot be printed>"


def _frames(trace: TracebackType | None) -> tuple[Frame, ...]:
    """The traceback below our own call, outermost first."""
    steps: list[tuple[FrameType, int]] = []
    while trace is not None:
        if not _is_ours(trace.tb_frame.f_code.co_filename):
            steps.append((trace.tb_frame, trace.tb_lineno or trace.tb_frame.f_lineno or 1))
        trace = trace.tb_next
    if len(steps) > 2 * FRAMES_AT_EACH_END:
        steps = steps[:FRAMES_AT_EACH_END] + steps[-FRAMES_AT_EACH_END:]
    return tuple(_frame(frame, line) for frame, line in steps)


def _is_ours(file: str) -> bool:
    return file.startswith((OWN_FOLDER, "<frozen importlib"))


def _frame(frame: FrameType, line: int) -> Frame:
    code = frame.f_code
    text = linecache.getline(code.co_filename, line, frame.f_globals).strip()
    return Frame(code.co_filename, line, code.co_name, text)


def exited(status: int) -> Failure:
    """The failure of a process that ended by itself."""
    return Failure(
        FailureKind.EXITED,
        f"ended by itself with exit status {status} before it delivered a result (os._exit, sys.exit or exec?)",
    )


def status_of(error: SystemExit) -> int:
    """The exit status that a SystemExit asks for."""
    if error.code is None:
        return 0
    return error.code if isinstance(error.code, int) else 1
