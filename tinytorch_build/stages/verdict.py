"""The verdict on a run of pytest: a pure function of what was found in the files and what the worker says.

Nothing here is a matter of an exit status. A run passes if pytest came to its end, every test that stands in
the files was collected, every collected test has an outcome, none failed, and in every file one passed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinytorch_build.model import Problem
from tinytorch_build.stages.expected_tests import ExpectedTest
from tinytorch_build.stages.findings import Blame, Locate, blame, first_line, in_file, unmet_dependency
from tinytorch_build.stages.session_facts import (
    CollectedTest,
    CollectionIssue,
    Fault,
    SessionFacts,
    TestOutcome,
    TestResult,
)
from tinytorch_build.workers import Frame, View

MESSAGE_ONLY = ("AssertionError", "Failed")
"""Exceptions whose message says it all: a failed assertion, and `pytest.fail`."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What the verdict is about.

    Attributes:
        owner: the module or file that the tests belong to.
        root: the course's root.
        expected: the tests that stand in each file, by its path from the root.
        view: what could be imported of the package.
        locate: from a line of a staged file to a line of its source.
    """

    owner: str
    root: Path
    expected: Mapping[str, Sequence[ExpectedTest]]
    view: View
    locate: Locate

    def blame(self, frames: Sequence[Frame], own: str) -> Blame:
        """The lines of tests and sources that a traceback points at."""

        def locate(file: str, line: int) -> tuple[str, int] | None:
            path = Path(file)
            if path.is_absolute() and path.is_relative_to(self.root):
                relative = path.relative_to(self.root).as_posix()
                if relative in self.expected or path.name == "conftest.py":
                    return relative, line
            return self.locate(file, line)

        return blame(frames, in_file(own), locate)


def judge(ground: Ground, facts: SessionFacts) -> Iterator[Problem]:
    """Everything that stands between a run of pytest and a pass."""
    yield from _of_session(ground, facts)
    for issue in facts.issues:
        if issue.fault is not None:
            file = _file_of(issue.nodeid)
            yield _faulty(ground, issue.fault, f"{file} cannot be imported", "tests-not-collected", file)
    yield from _of_outcomes(ground, facts)
    yield from _of_expectations(ground, facts)
    yield from _of_passes(ground, facts)


def _of_session(ground: Ground, facts: SessionFacts) -> Iterator[Problem]:
    if facts.interrupted is not None:
        progress = f"after {len(facts.outcomes)} of {_count(len(facts.collected), 'test')}"
        subject = f"the run was ended {progress}"
        yield _faulty(ground, facts.interrupted, subject, "tests-not-finished", _only_file(ground))
    if facts.internal is not None:
        subject = "the run of the tests broke off"
        yield _faulty(ground, facts.internal, subject, "tests-not-finished", _only_file(ground))
    elif not facts.is_finished:
        message = f"pytest did not begin, or did not end, and returned status {facts.status}"
        yield Problem("tests-not-finished", message, _only_file(ground), cure="see the log for what it said")
    for hook, file in facts.taken_over:
        message = f"{file} takes over how tests run ({hook}), so what they say proves nothing"
        yield Problem("tests-taken-over", message, file, cure="use fixtures, which run around a test")
    if facts.deselected:
        names = ", ".join(_short(nodeid) for nodeid in facts.deselected)
        message = f"something deselected {_count(len(facts.deselected), 'test')}: {names}"
        yield Problem(
            "tests-deselected", message, _file_of(facts.deselected[0]), cure="look for it in conftest.py"
        )


def _of_outcomes(ground: Ground, facts: SessionFacts) -> Iterator[Problem]:
    tests = {test.nodeid: test for test in facts.collected}
    for outcome in facts.outcomes:
        if outcome.result in (TestResult.FAILED, TestResult.ERROR):
            yield _failed(ground, outcome, tests.get(outcome.nodeid))
    yield from _of_bodies(ground, facts, tests)
    have = {outcome.nodeid for outcome in facts.outcomes}
    lost = [test for test in facts.collected if test.nodeid not in have]
    if lost and facts.interrupted is None:
        names = ", ".join(_short(test.nodeid) for test in lost)
        message = f"{_count(len(lost), 'test')} did not run to the end: {names}"
        yield Problem("tests-not-finished", message, lost[0].file, lost[0].line)


def _of_bodies(ground: Ground, facts: SessionFacts, tests: Mapping[str, CollectedTest]) -> Iterator[Problem]:
    """Passes of tests that stand in the files and whose bodies nobody has seen running."""
    expected = {(file, test.name) for file, found in ground.expected.items() for test in found}
    for outcome in facts.outcomes:
        test = tests.get(outcome.nodeid)
        if outcome.result is not TestResult.PASSED or outcome.began or test is None:
            continue
        if (test.file, test.name) in expected and not facts.taken_over:
            message = f"{_short(outcome.nodeid)} counts as passed, but its body never ran"
            yield Problem("test-not-run", message, test.file, test.line, "look for what replaces it")


def _failed(ground: Ground, outcome: TestOutcome, test: CollectedTest | None) -> Problem:
    name = _short(outcome.nodeid)
    if outcome.result is TestResult.ERROR:
        name += " (in its setup or teardown)"
    file = test.file if test else _file_of(outcome.nodeid)
    if outcome.fault is None:
        reason = first_line(outcome.reason) or "it failed"
        return Problem("test-failed", f"{name}: {reason}", file, test.line if test else None)
    return _faulty(ground, outcome.fault, name, "test-failed", file, test.line if test else None)


def _faulty(
    ground: Ground, fault: Fault, subject: str, check: str, file: str | None, line: int | None = None
) -> Problem:
    """The problem that an exception makes, at the line of the test file that it went through."""
    found = ground.blame(fault.frames, file or "")
    if found.place is not None:
        file, line = found.place.file, found.place.line
    unmet = unmet_dependency(fault.error, ground.view, ground.owner)
    if unmet is not None:
        return Problem("dependency-not-satisfied", unmet[0] + found.note(), file, line, unmet[1])
    error = fault.error
    said = error.message if error.type in MESSAGE_ONLY and error.message else str(error)
    if error.type == "Exit":
        said = f"pytest.exit: {error.message}"
    if error.type in MESSAGE_ONLY and not error.message and found.text:
        said = found.text
    return Problem(check, f"{subject}: {first_line(said)}{found.note()}", file, line)


def _of_expectations(ground: Ground, facts: SessionFacts) -> Iterator[Problem]:
    collected = {(test.file, test.name) for test in facts.collected}
    out = {_file_of(nodeid) for nodeid in facts.deselected}
    broken = {_file_of(issue.nodeid) for issue in facts.issues}
    for file, tests in ground.expected.items():
        for test in tests:
            if test.shadows is not None:
                message = f"{test.name} is defined twice, so the one in line {test.shadows} never runs"
                yield Problem("test-defined-twice", message, file, test.line, "give one of them another name")
            elif (file, test.name) not in collected and file not in out | broken and facts.is_finished:
                message = f"{test.name} stands in the file but pytest did not collect it"
                yield Problem(
                    "tests-not-collected", message, file, test.line, "see the log for a warning of pytest"
                )


def _of_passes(ground: Ground, facts: SessionFacts) -> Iterator[Problem]:
    if facts.interrupted is not None or facts.internal is not None or not facts.is_finished:
        return  # said already, and the reason for this
    for file in ground.expected:
        results = Counter(o.result for o in facts.outcomes if _file_of(o.nodeid) == file)
        faults = [issue for issue in facts.issues if _file_of(issue.nodeid) == file]
        if results[TestResult.PASSED] or results[TestResult.FAILED] or results[TestResult.ERROR]:
            continue
        if any(issue.fault is not None for issue in faults):
            continue
        yield Problem(
            "no-test-passed",
            f"no test of {file} passed: {_instead(results, faults)}",
            file,
            cure="a test file counts only if at least one of its tests runs and passes",
        )


def _instead(results: Counter[TestResult], issues: Sequence[CollectionIssue]) -> str:
    if issues:
        return f"it was skipped as a whole ({first_line(issues[0].text)})"
    counts = [f"{count} {result}" for result, count in sorted(results.items())]
    return ", ".join(counts) or "none was run"


def _only_file(ground: Ground) -> str | None:
    return next(iter(ground.expected)) if len(ground.expected) == 1 else None


def _file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _short(nodeid: str) -> str:
    return nodeid.partition("::")[2].replace("::", ".") or nodeid


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
