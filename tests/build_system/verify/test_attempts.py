"""A line of attempts: in order, ended by the first failure, with what was not tried named."""

from __future__ import annotations

import pytest

from tinytorch_build.model import Problem
from tinytorch_build.verify.attempts import Attempt, AttemptFailed, NotApplicable, attempt_all


def fails() -> str:
    raise AttemptFailed(Problem("import", "no such module"), output="traceback")


def does_not_apply() -> str:
    raise NotApplicable("there is no git")


def test_what_comes_after_a_failure_is_skipped() -> None:
    line = attempt_all(
        [Attempt("install", lambda: "by pip"), Attempt("import", fails), Attempt("test", lambda: "12 tests")]
    )
    assert [(tried.what, tried.outcome, tried.note) for tried in line.tried] == [
        ("install", "passed", "by pip"),
        ("import", "failed", "no such module"),
        ("test", "skipped", "because this failed: import"),
    ]
    assert line.problems == [Problem("import", "no such module")]
    assert line.output == "traceback"


def test_what_does_not_apply_is_no_failure() -> None:
    line = attempt_all([Attempt("clone", does_not_apply), Attempt("install", lambda: "by pip")])
    assert [(tried.outcome, tried.note) for tried in line.tried] == [("skipped", "there is no git")] * 2
    assert line.problems == []


def test_other_exceptions_are_faults_of_ours_and_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        attempt_all([Attempt("divide", lambda: str(1 // 0))])
