"""The values that cross the border to an isolated process: what to run there, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tinytorch_build.model import Word
from tinytorch_build.workers.view import View

Value = TypeVar("Value")

MAX_PROCESSES = 64
"""How many processes a job may have at once: enough for any test, far too few for a fork bomb."""


@dataclass(frozen=True, slots=True)
class Job(Generic[Value]):
    """A plain function to be called in a process of its own.

    Attributes:
        function: it crosses the border by cloudpickle: by name if `tinytorch_build` or an installed
            distribution holds it, else with its code.
        args: its arguments. What it returns must be made of builtin values and of dataclasses and
            enumerations of `tinytorch_build`; anything else is refused on the way back.
        seconds: wall-clock seconds that it may take.
        memory_mb: mebibytes of private memory that each of its processes may have.
        view: what it may import of the package under construction, or None for nothing special.
        max_processes: how many processes it may have at once, itself included.
    """

    function: Callable[..., Value]
    args: tuple[object, ...] = ()
    seconds: float = 60.0
    memory_mb: int = 2048
    view: View | None = None
    max_processes: int = MAX_PROCESSES


class FailureKind(Word):
    """Why a job has no result."""

    RAISED = "raised"
    """An exception left the function."""
    EXITED = "exited"
    """The process ended by itself: `os._exit`, `sys.exit`, or `exec` of another program."""
    TIMED_OUT = "timed-out"
    KILLED = "killed"
    """A signal ended the process: a crash in native code, or a kill."""
    OUT_OF_MEMORY = "out-of-memory"
    TOO_MANY_PROCESSES = "too-many-processes"
    TAMPERED = "tampered"
    """There is a result, of a process in which code that others rely on had been replaced."""
    NOT_DELIVERED = "not-delivered"
    """There is a result, or there may have been one, but it did not arrive in one piece."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of a traceback.

    Attributes:
        file: the file's path as the code object names it.
        line: 1-based line.
        function: name of the function.
        text: the source line without indentation, or the empty string.
    """

    file: str
    line: int
    function: str
    text: str = ""

    def __str__(self) -> str:
        text = f"\n    {self.text}" if self.text else ""
        return f'  File "{self.file}", line {self.line}, in {self.function}{text}'


@dataclass(frozen=True, slots=True)
class RaisedError:
    """An exception, as data: its class may exist in the worker alone.

    Attributes:
        type: name of its class.
        message: `str()` of it.
        bases: names of its class and of all that it inherits from.
        name: of an ImportError, the full name of the module that it is about.
    """

    type: str
    message: str
    bases: tuple[str, ...] = ()
    name: str | None = None

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


@dataclass(frozen=True, slots=True)
class Activity:
    """What a worker says that it is doing, so that its sudden end can be blamed on something.

    Attributes:
        what: such as the id of a test.
        file: the file that holds it, or None.
        line: 1-based line in `file`, or None.
    """

    what: str
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job has no result, as data.

    Attributes:
        kind: the sort of failure.
        detail: a predicate without a subject: "was killed by SIGSEGV (segmentation fault)".
        error: the exception, if there was one.
        frames: where it happened, innermost last; empty where that cannot be known.
        doing: what the worker said last about what it was doing.
    """

    kind: FailureKind
    detail: str
    error: RaisedError | None = None
    frames: tuple[Frame, ...] = ()
    doing: Activity | None = None

    def __str__(self) -> str:
        trace = [f"Traceback (most recent call last):\n{frame}" for frame in self.frames[:1]]
        trace += [str(frame) for frame in self.frames[1:]]
        during = f" during {self.doing.what}" if self.doing else ""
        return "\n".join([*trace, f"the process{during} {self.detail}"])


@dataclass(frozen=True, slots=True)
class JobResult(Generic[Value]):
    """What became of a job.

    Attributes:
        value: what the function returned; meaningless if there is a failure.
        failure: why there is no value, or None.
        output: what its processes wrote to standard output and standard error, in the order in which it
            arrived; the middle is left out where it was too much.
        seconds: wall-clock seconds that it took.
    """

    value: Value | None
    failure: Failure | None
    output: str = ""
    seconds: float = 0.0
