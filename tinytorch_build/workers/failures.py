"""Exceptions, exit statuses and crash traces turned into `Failure` values."""

from __future__ import annotations

import importlib
import linecache
import os
import re
import signal
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from tinytorch_build.workers.job import Failure, FailureKind, Frame, RaisedError

MAX_FRAMES = 60
MAX_MESSAGE = 10_000
BUILD_FOLDER = str(Path(__file__).resolve().parents[1]) + os.sep
IMPORT_FOLDER = str(Path(importlib.__file__).parent) + os.sep
"""Frames of our own code, and of Python's import system, are none of the user's business."""

DAMAGED = 70
"""Exit status of a worker in which our own code no longer works."""

_TRACE_LINE = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)$', re.MULTILINE)

_MEANINGS = {
    "SIGSEGV": "segmentation fault",
    "SIGBUS": "access outside of memory",
    "SIGABRT": "abort",
    "SIGFPE": "arithmetic fault in native code",
    "SIGILL": "illegal instruction",
    "SIGKILL": "by itself, or by the system for want of memory",
}


def plain_text(text: object) -> str:
    """`str()` of anything, made safe: exactly a `str`, not too long, and possible to write as UTF-8."""
    try:
        said = str(text)
    except BaseException as error:  # whatever a class of the course does in its __str__
        said = f"<its __str__ raises {type(error).__name__}>"
    return str.encode(said[:MAX_MESSAGE], "utf-8", "backslashreplace").decode()


def failure_of(error: BaseException, memory_mb: int) -> Failure:
    """The failure of a job that an exception left.

    Args:
        error: the exception, with its traceback.
        memory_mb: the limit of memory that was in force.
    """
    raised = raised_error(error)
    frames = frames_of(error)
    if isinstance(error, SystemExit):
        detail = f"called sys.exit({plain_text(repr(error.code))}) before it delivered a result"
        return Failure(FailureKind.EXITED, detail, raised, frames)
    if isinstance(error, MemoryError):
        return replace(out_of_memory(memory_mb), error=raised, frames=frames)
    return Failure(FailureKind.RAISED, f"raised {raised}", raised, frames)


def raised_error(error: BaseException) -> RaisedError:
    """An exception as data."""
    name = error.name if isinstance(error, ImportError) else None
    message = error.msg if isinstance(error, SyntaxError) else error
    return RaisedError(
        type=plain_text(type(error).__name__),
        message=plain_text(message),
        bases=tuple(plain_text(base.__name__) for base in type(error).__mro__[:-1]),
        name=None if name is None else plain_text(name),
    )


def frames_of(error: BaseException) -> tuple[Frame, ...]:
    """Where an exception was raised, innermost last, without our own frames and Python's import machinery.

    Of a SyntaxError the place of the faulty code is the innermost frame. Of a deep recursion the middle is
    left out.
    """
    frames = list(_traceback_frames(error.__traceback__))
    if isinstance(error, SyntaxError) and error.filename is not None:
        text = plain_text((error.text or "").strip())
        frames.append(Frame(plain_text(error.filename), error.lineno or 1, "<syntax>", text))
    if len(frames) > MAX_FRAMES:
        frames = frames[: MAX_FRAMES // 2] + frames[-MAX_FRAMES // 2 :]
    return tuple(frames)


def _traceback_frames(trace: TracebackType | None) -> Iterator[Frame]:
    for frame, line in traceback.walk_tb(trace):
        code = frame.f_code
        if is_machinery(code.co_filename):
            continue
        text = linecache.getline(code.co_filename, line, frame.f_globals).strip()
        yield Frame(plain_text(code.co_filename), line, plain_text(code.co_name), plain_text(text))


def is_machinery(file: str) -> bool:
    """Whether a file is part of the build or of Python's import system."""
    return file.startswith((BUILD_FOLDER, IMPORT_FOLDER, "<frozen importlib"))


def frames_of_crash(trace: str) -> tuple[Frame, ...]:
    """The frames that `faulthandler` wrote at a crash, or when asked where the process is; innermost last."""
    found: list[Frame] = []
    for match in reversed(list(_TRACE_LINE.finditer(trace))):
        if match["file"].startswith(BUILD_FOLDER):
            found.clear()  # what lies further out is how the server came here
        elif not is_machinery(match["file"]):
            found.append(Frame(match["file"], int(match["line"]), match["function"]))
    return tuple(found)


def failure_of_exit(status: int, trace: str) -> Failure:
    """The failure of a worker that ended without handing over a result.

    Args:
        status: its exit status; negative for the signal that killed it.
        trace: what `faulthandler` wrote.
    """
    if status == DAMAGED:
        return not_delivered("did such damage to Python or its descriptors that no result could be delivered")
    if status >= 0:
        detail = (
            f"ended by itself with exit status {status} before it delivered a result "
            "(os._exit, sys.exit or exec?)"
        )
        return Failure(FailureKind.EXITED, detail)
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    meaning = f" ({_MEANINGS[name]})" if name in _MEANINGS else ""
    return Failure(FailureKind.KILLED, f"was killed by {name}{meaning}", frames=frames_of_crash(trace))


def timed_out(seconds: float, trace: str) -> Failure:
    """The failure of a job that took too long."""
    detail = f"took longer than {seconds:g} s and was stopped"
    return Failure(FailureKind.TIMED_OUT, detail, frames=frames_of_crash(trace))


def out_of_memory(limit_mb: int) -> Failure:
    """The failure of a job that needed too much memory."""
    return Failure(FailureKind.OUT_OF_MEMORY, f"needed more than {limit_mb} MB of memory")


def too_many_processes(limit: int) -> Failure:
    """The failure of a job that started too many processes."""
    return Failure(
        FailureKind.TOO_MANY_PROCESSES, f"started more than {limit} processes at once and was stopped"
    )


def tampered(what: str) -> Failure:
    """The failure of a job that has replaced what is not its own.

    Args:
        what: its full name: "_pytest.python.Function.runtest".
    """
    return Failure(
        FailureKind.TAMPERED, f"replaced {what}, which is not its own, so its result proves nothing"
    )


def not_delivered(why: str) -> Failure:
    """The failure of a job whose result did not arrive.

    Args:
        why: a predicate: "delivered a result of more than 64 MB".
    """
    return Failure(FailureKind.NOT_DELIVERED, why)
