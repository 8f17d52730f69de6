"""From what became of a job to problems: who is to blame, at which line of which source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tinytorch_build.model import Problem
from tinytorch_build.workers import Failure, FailureKind, Frame, RaisedError, View

Locate = Callable[[str, int], tuple[str, int] | None]
"""From path and line of a staged file to path and line of its source; None for any other file."""

CURES = {
    FailureKind.RAISED: "",
    FailureKind.EXITED: "take out the call that ends the process",
    FailureKind.KILLED: "look at what native code or signals it uses; the log has its output",
    FailureKind.OUT_OF_MEMORY: "use less memory, or raise memory-mb of the module in modules.toml",
    FailureKind.TOO_MANY_PROCESSES: "start fewer processes",
    FailureKind.TAMPERED: "leave it as it was; in a test, `monkeypatch` puts back what it replaced",
    FailureKind.NOT_DELIVERED: "see the log; code that tampers with processes or descriptors does this",
}


@dataclass(frozen=True, slots=True)
class StageFindings:
    """What a stage found.

    Attributes:
        problems: errors and warnings.
        seconds: wall-clock seconds that its process took.
        output: what the process printed, for the log, with the traceback of what ended it.
    """

    problems: tuple[Problem, ...] = ()
    seconds: float = 0.0
    output: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A line that a user can go to: path from the course's root, and 1-based line."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Blame:
    """Where a fault shows, and where it was raised.

    Attributes:
        place: the innermost line of what is being checked; if there is none, of any file known.
        text: the line's text, or the empty string.
        origin: the innermost line of any known file, if that is another one.
    """

    place: Place | None
    text: str = ""
    origin: Place | None = None

    def note(self, failure: FailureKind = FailureKind.RAISED) -> str:
        """` (raised in FILE:LINE)`, or ` (at FILE:LINE)` if nothing was raised; nothing if it is `place`."""
        word = "raised in" if failure is FailureKind.RAISED else "at"
        return f" ({word} {self.origin})" if self.origin else ""


def in_file(file: str) -> Callable[[Place], bool]:
    """Whether a place lies in a file."""
    return lambda place: place.file == file


def blame(frames: Sequence[Frame], is_own: Callable[[Place], bool], locate: Locate) -> Blame:
    """The lines that a traceback points at.

    Args:
        frames: innermost last.
        is_own: whether a place lies in what is being checked.
        locate: knows every file of the course that may occur.
    """
    known: list[tuple[Place, str]] = []
    for frame in frames:
        found = locate(frame.file, frame.line)
        if found is not None:
            known.append((Place(*found), frame.text))
    if not known:
        return Blame(None)
    place, text = next((entry for entry in reversed(known) if is_own(entry[0])), known[-1])
    origin = known[-1][0]
    return Blame(place, text, origin if origin != place else None)


def first_line(text: str) -> str:
    """The first line of a text that is not blank, without a full stop at its end."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line.removesuffix(".") if not line.endswith("..") else line


def unmet_dependency(
    error: RaisedError | None, view: View, owner: str, *, exported: bool = False
) -> tuple[str, str] | None:
    """Message and cure for an import of something that is not there; None for any other exception.

    Args:
        error: the exception.
        view: what could be imported of the package.
        owner: the module or file that imports.
        exported: whether it is exported code that imports; tests may use what the package does not need.
    """
    if error is None or error.name is None or "ModuleNotFoundError" not in error.bases:
        return None
    if view.holds(error.name):
        refusal = view.refusal(error.name)
        return f"Module dependencies not satisfied: {refusal.reason}", refusal.cure
    if error.name.endswith("_dev"):
        reason = f"{owner} imports {error.name}, a file of the source folder, which no package holds"
        cure = f"import the module that it exports to, which begins with {view.package}."
    elif "." in error.name:
        top = error.name.partition(".")[0]
        reason = f"{owner} imports {error.name}, which the installed {top} does not have"
        cure = "correct the name, or install the version that has it"
    else:
        reason = f"{owner} imports {error.name}, which is not installed"
        cure = "install it"
        if exported:
            cure += f', and add "{error.name}" to dependencies of [package] in modules.toml'
    return f"Module dependencies not satisfied: {reason}", cure


def cure_for(failure: Failure, seconds_key: str) -> str:
    """What to do about a job that has no result.

    Args:
        failure: why.
        seconds_key: the key of the time limit in modules.toml.
    """
    if failure.kind is FailureKind.TIMED_OUT:
        return f"look for a loop that does not end, or raise {seconds_key} of the module in modules.toml"
    return CURES[failure.kind]


def log_of(output: str, failure: Failure | None) -> str:
    """The output of a process, with the traceback of what ended it."""
    return (
        output
        if failure is None
        else f"{output}{'' if output.endswith(chr(10)) or not output else chr(10)}{failure}\n"
    )
