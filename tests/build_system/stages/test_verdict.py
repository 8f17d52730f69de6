"""The verdict on a run of pytest, without a process: a pass needs everything to be right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch_build.model import Problem
from tinytorch_build.stages.expected_tests import ExpectedTest
from tinytorch_build.stages.session_facts import (
    CollectedTest,
    CollectionIssue,
    Fault,
    SessionFacts,
    TestOutcome,
    TestResult,
)
from tinytorch_build.stages.verdict import Ground, judge
from tinytorch_build.workers import Frame, RaisedError, View

SETTINGS = settings(derandomize=True, deadline=None, database=None)
FILE = "tests/test_a.py"
ROOT = Path("/course")
NAMES = ("test_one", "test_two", "test_three")
FAULT = Fault(
    RaisedError("AssertionError", "assert 1 == 2\n + more"),
    (Frame("/course/tests/test_a.py", 5, "test_two", "assert f() == 2"), Frame("/lib/x.py", 9, "f")),
)


def ground() -> Ground:
    expected = {FILE: [ExpectedTest(name, line) for line, name in enumerate(NAMES, 1)]}
    return Ground("a", ROOT, expected, View("pkg", {}), lambda path, line: None)


def facts(**changes: object) -> SessionFacts:
    """A run in which everything passed."""
    good = SessionFacts(
        collected=tuple(CollectedTest(f"{FILE}::{n}", FILE, n, k) for k, n in enumerate(NAMES, 1)),
        outcomes=tuple(TestOutcome(f"{FILE}::{name}", TestResult.PASSED, 0.1) for name in NAMES),
        deselected=(),
        issues=(),
        interrupted=None,
        internal=None,
        status=0,
        is_finished=True,
    )
    return replace(good, **changes)  # type: ignore[arg-type]  # fields by name, checked at run time


def with_results(*results: TestResult) -> tuple[TestOutcome, ...]:
    outcomes = []
    for name, result in zip(NAMES, results, strict=True):
        is_bad = result in (TestResult.FAILED, TestResult.ERROR)
        outcomes.append(TestOutcome(f"{FILE}::{name}", result, 0.1, FAULT if is_bad else None))
    return tuple(outcomes)


def verdict(given_facts: SessionFacts) -> list[Problem]:
    return list(judge(ground(), given_facts))


def test_a_run_in_which_all_passed() -> None:
    assert verdict(facts()) == []


def test_the_status_does_not_matter() -> None:
    assert verdict(facts(status=5)) == []
    failed = facts(status=0, outcomes=with_results(TestResult.PASSED, TestResult.FAILED, TestResult.PASSED))
    assert verdict(failed) == [Problem("test-failed", "test_two: assert 1 == 2", FILE, 5)]


@SETTINGS
@given(st.tuples(*[st.sampled_from(TestResult)] * 3))
def test_a_pass_is_exactly_no_failure_and_one_pass(
    results: tuple[TestResult, TestResult, TestResult],
) -> None:
    bad = {TestResult.FAILED, TestResult.ERROR}
    passes = TestResult.PASSED in results and not bad & set(results)
    assert (verdict(facts(outcomes=with_results(*results))) == []) is passes


@SETTINGS
@given(st.sets(st.sampled_from(NAMES), min_size=1), st.sets(st.sampled_from(NAMES)), st.booleans())
def test_a_test_that_is_lost_anywhere_is_noticed(lost: set[str], undone: set[str], deselected: bool) -> None:
    whole = facts()
    damaged = facts(
        collected=tuple(test for test in whole.collected if test.name not in lost),
        outcomes=tuple(o for o in whole.outcomes if o.nodeid.partition("::")[2] not in lost | undone),
        deselected=tuple(f"{FILE}::{name}" for name in sorted(lost)) if deselected else (),
    )
    assert verdict(damaged) != []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda: facts(outcomes=facts().outcomes[:1]),
            Problem("tests-not-finished", "2 tests did not run to the end: test_two, test_three", FILE, 2),
        ),
        (
            lambda: facts(is_finished=False, status=3),
            Problem(
                "tests-not-finished",
                "pytest did not begin, or did not end, and returned status 3",
                FILE,
                cure="see the log for what it said",
            ),
        ),
        (
            lambda: facts(issues=(CollectionIssue("tests/test_b.py", FAULT),)),
            Problem("tests-not-collected", "tests/test_b.py cannot be imported: assert 1 == 2", FILE, 5),
        ),
        (
            lambda: facts(interrupted=Fault(RaisedError("Exit", "enough"), ())),
            Problem("tests-not-finished", "the run was ended after 3 of 3 tests: pytest.exit: enough", FILE),
        ),
        (
            lambda: facts(
                outcomes=(*facts().outcomes[:2], TestOutcome(f"{FILE}::test_three", TestResult.FAILED, 0.0))
            ),
            Problem("test-failed", "test_three: it failed", FILE, 3),
        ),
    ],
)
def test_each_way_not_to_pass(change: Callable[[], SessionFacts], problem: Problem) -> None:
    assert verdict(change()) == [problem]
