"""What must hold after a run with hostile modules, for each file of this folder to ask in tests of its own."""

from __future__ import annotations

from tests.build_system.functional.hostile.yard import FIRST, LAST, Hostile, Yard
from tinytorch_build.model import Outcome


def assert_verdict(yard: Yard, case: Hostile) -> None:
    """The module failed, for the reason that names what happened."""
    found = yard.problems(case.name)
    assert [problem.check for problem in found] == list(case.checks), found
    assert case.message in found[-1].message
    assert yard.report.modules[case.name].outcome is Outcome.FAILED


def assert_nobody_else_is_the_worse(yard: Yard) -> None:
    """The other modules pass, no file has changed, and nothing is left behind."""
    assert yard.report.outcome is Outcome.FAILED
    for name in (FIRST, LAST):
        assert yard.report.modules[name].outcome is Outcome.PASSED, yard.said
        assert {f"import-check:{name}", f"test:{name}"} <= yard.ran()
    assert yard.changed == set()
    assert yard.left_behind == []
