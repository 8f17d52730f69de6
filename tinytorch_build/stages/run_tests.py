"""Test files: pytest runs them in a process of its own, and the verdict is reached outside of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tinytorch_build.checks.stand_ins import check_stand_ins
from tinytorch_build.model import Limits, Problem
from tinytorch_build.stages.expected_tests import expected_tests
from tinytorch_build.stages.findings import Locate, StageFindings, cure_for, first_line, log_of
from tinytorch_build.stages.inside_pytest import run_pytest
from tinytorch_build.stages.session_facts import TestOutcome
from tinytorch_build.stages.verdict import Ground, judge
from tinytorch_build.workers import Failure, FailureKind, Job, View, Workers


@dataclass(frozen=True, slots=True)
class TestsRequest:
    """Test files to be run together.

    Attributes:
        owner: the module that they belong to, or the path of the one file.
        root: the course's root.
        files: their paths from the root.
        view: what can be imported of the package.
        limits: what the process may use.
        locate: from a line of a staged file to a line of its source.
    """

    __test__ = False  # for pytest, which collects by name

    owner: str
    root: Path
    files: tuple[str, ...]
    view: View
    limits: Limits
    locate: Locate


@dataclass(frozen=True, slots=True)
class TestFindings(StageFindings):
    """What a run of test files found.

    Attributes:
        outcomes: what became of each test that ran to its end.
    """

    __test__ = False

    outcomes: tuple[TestOutcome, ...] = ()


def run_test_files(workers: Workers, request: TestsRequest) -> TestFindings:
    """Run test files and say what stands between them and a pass."""
    if not request.files:
        return TestFindings()
    problems = [*_missing(request), *check_stand_ins(request.root, request.files)]
    if problems:
        return TestFindings(tuple(problems))
    expected = {file: expected_tests((request.root / file).read_bytes()) for file in request.files}
    ground = Ground(request.owner, request.root, expected, request.view, request.locate)
    limits = request.limits
    call = (str(request.root), request.files)
    result = workers.run(Job(run_pytest, call, limits.test_seconds, limits.memory_mb, request.view))
    if result.failure is not None:
        problems.append(_ended(ground, result.failure))
        return TestFindings(tuple(problems), result.seconds, log_of(result.output, result.failure))
    facts = result.value
    assert facts is not None
    return TestFindings(tuple(judge(ground, facts)), result.seconds, result.output, facts.outcomes)


def _missing(request: TestsRequest) -> Iterator[Problem]:
    for file in request.files:
        if not (request.root / file).is_file():
            yield Problem("tests-missing", f"the test file {file} does not exist", file)


def _ended(ground: Ground, failure: Failure) -> Problem:
    """The problem of a run whose process brought no result."""
    doing = failure.doing
    own = doing.file if doing and doing.file else next(iter(ground.expected))
    found = ground.blame(failure.frames, own)
    file, line = (found.place.file, found.place.line) if found.place else (own, doing.line if doing else None)
    subject = doing.what.replace("::", ".") if doing else "the run of the tests"
    if failure.kind is FailureKind.RAISED:
        said = first_line(str(failure.error))
        return Problem("tests-not-finished", f"{subject} ended the run by {said}{found.note()}", file, line)
    detail = f"{subject} {failure.detail}{found.note(failure.kind)}"
    return Problem(f"tests-{failure.kind}", detail, file, line, cure_for(failure, "test-seconds"))
