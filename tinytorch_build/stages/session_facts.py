"""What a worker says about a run of pytest: values only, so that the verdict is reached outside of it."""

from __future__ import annotations

from dataclasses import dataclass

from tinytorch_build.model import Word
from tinytorch_build.workers import Frame, RaisedError


class TestResult(Word):
    """What became of one test."""

    __test__ = False  # for pytest, which collects by name

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    """Its setup or teardown failed."""
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    """It failed, as it says that it must."""
    XPASSED = "xpassed"
    """It passed, though it says that it must fail; it counts neither as a pass nor as a failure."""


@dataclass(frozen=True, slots=True)
class CollectedTest:
    """A test that pytest found.

    Attributes:
        nodeid: pytest's name for it.
        file: POSIX path from the course's root.
        name: classes and function, without parameters: `TestAdd.test_zero`.
        line: 1-based line where it begins, or None.
    """

    nodeid: str
    file: str
    name: str
    line: int | None


@dataclass(frozen=True, slots=True)
class Fault:
    """An exception in a test, in a fixture, or while a file was collected.

    Attributes:
        error: the exception.
        frames: where, innermost last, without pytest's own.
    """

    error: RaisedError
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """What became of one collected test.

    Attributes:
        nodeid: pytest's name for it.
        result: what became of it.
        seconds: wall-clock seconds of all phases.
        fault: why it failed, or None.
        reason: why it was skipped, or expected to fail, or failed without an exception.
        began: whether the function of its name in its file was seen to run.
    """

    __test__ = False

    nodeid: str
    result: TestResult
    seconds: float
    fault: Fault | None = None
    reason: str = ""
    began: bool = True


@dataclass(frozen=True, slots=True)
class CollectionIssue:
    """A file or class that could not be collected, or was skipped as a whole.

    Attributes:
        nodeid: pytest's name for it.
        fault: the exception, or None if it was skipped.
        text: why it was skipped.
    """

    nodeid: str
    fault: Fault | None
    text: str = ""


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """A run of pytest.

    Attributes:
        collected: every test that was found and not deselected.
        outcomes: what became of those that ran, in order.
        deselected: ids of tests that something took out.
        issues: what could not be collected.
        interrupted: what ended the run before its end, such as `pytest.exit`; or None.
        internal: a fault in pytest or in a plugin, such as a conftest.py, or None.
        status: what `pytest.main` returned.
        is_finished: whether pytest went through to its end.
        taken_over: hooks that decide how a test runs and that another than pytest implements, each with the
            file that does.
    """

    collected: tuple[CollectedTest, ...]
    outcomes: tuple[TestOutcome, ...]
    deselected: tuple[str, ...]
    issues: tuple[CollectionIssue, ...]
    interrupted: Fault | None
    internal: Fault | None
    status: int
    is_finished: bool
    taken_over: tuple[tuple[str, str], ...] = ()
