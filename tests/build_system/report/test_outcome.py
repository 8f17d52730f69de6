"""From what became of tasks to the report, and its form as JSON."""

from __future__ import annotations

from tests.build_system.builders import manifest_of
from tinytorch_build.model import Outcome, Problem, Severity, Stage
from tinytorch_build.plan import TestFile, TestKind, make_plan
from tinytorch_build.report import TaskReport, assemble
from tinytorch_build.report.sentences import summary

MANIFEST = manifest_of({"a": [], "b": ["a"]})
FILE = TestFile("tests/integration/test_ab.py", "test_ab.py", TestKind.INTEGRATION, ("a", "b"))
PLAN = make_plan(MANIFEST, [FILE])
PROBLEM = Problem("syntax", "it is wrong", "a.py", 3, "mend it")


def every(name: str, outcome: Outcome = Outcome.UP_TO_DATE) -> dict[str, TaskReport]:
    return {f"{stage}:{name}": TaskReport(outcome) for stage in Stage}


def test_everything_up_to_date_is_passed() -> None:
    tasks = {**every("a"), **every("b"), FILE.task: TaskReport(Outcome.RAN, 0.5)}
    report = assemble(MANIFEST, PLAN, tasks, {"a", "b"})
    assert report.outcome is Outcome.PASSED
    assert [module.outcome for module in report.modules.values()] == [Outcome.PASSED, Outcome.PASSED]
    assert summary(PLAN, report, [], "demo") == (
        "modules: 2 passed; 1 tasks ran, 10 up to date; 0.0 s\n"
        "demo/ holds 2 of 2 modules as their sources are now"
    )


def test_what_was_not_reached_is_not_run() -> None:
    report = assemble(MANIFEST, PLAN, every("a"), set())
    assert report.modules["b"].outcome is Outcome.NOT_RUN
    assert report.outcome is Outcome.PASSED


def test_a_blocked_module_names_the_module_at_the_root() -> None:
    tasks = {
        "convert:a": TaskReport(Outcome.FAILED, 0.1, (PROBLEM,)),
        "import-check:b": TaskReport(Outcome.BLOCKED, blocked_by=("convert:a",)),
    }
    report = assemble(MANIFEST, PLAN, tasks, {"a"})
    assert report.modules["a"].outcome is Outcome.FAILED
    assert report.modules["b"].outcome is Outcome.BLOCKED
    assert report.modules["b"].blocked_by == ("a",)
    said = summary(PLAN, report, ["convert:a"], "demo").splitlines()
    assert said[:2] == ["b is blocked by a", "Package validation requires these tests to pass: convert:a"]
    assert said[-1] == ("nothing that failed, or has not been checked, has reached demo/")


def test_a_failure_of_the_whole_does_not_say_that_what_is_published_is_not() -> None:
    tasks = {
        **every("a"),
        **every("b"),
        FILE.task: TaskReport(Outcome.RAN),
        "compatibility": TaskReport(Outcome.FAILED, problems=(PROBLEM,)),
    }
    report = assemble(MANIFEST, PLAN, tasks, {"a", "b"})
    assert report.outcome is Outcome.FAILED
    assert summary(PLAN, report, ["compatibility"], "demo").splitlines()[-1] == (
        "demo/ holds 2 of 2 modules as their sources are now"
    )


def test_a_failed_gate_fails_its_module() -> None:
    tasks = {
        **every("a"),
        **every("b"),
        FILE.task: TaskReport(Outcome.FAILED),
        "publish:b": TaskReport(Outcome.BLOCKED, blocked_by=(FILE.task,)),
    }
    report = assemble(MANIFEST, PLAN, tasks, set())
    assert report.modules["b"].outcome is Outcome.FAILED
    assert report.modules["b"].blocked_by == ()


def test_the_json_form() -> None:
    warning = Problem("docs", "no docstring", "b.py", 1, "write one", Severity.WARNING)
    tasks = {"convert:a": TaskReport(Outcome.FAILED, 0.12345, (PROBLEM,)), FILE.task: TaskReport(Outcome.RAN)}
    data = assemble(MANIFEST, PLAN, tasks, {"b"}, problems=[warning], seconds=2.0).to_json()
    assert data["schema"] == 1
    assert data["outcome"] == "failed"
    assert list(data["modules"]) == ["a", "b"]
    assert data["modules"]["a"]["stages"]["convert"] == {
        "outcome": "failed",
        "seconds": 0.123,
        "problems": [
            {
                "check": "syntax",
                "severity": "error",
                "file": "a.py",
                "line": 3,
                "message": "it is wrong",
                "cure": "mend it",
            }
        ],
    }
    assert data["modules"]["b"]["published"] is False
    assert data["modules"]["b"]["waits_for"] == []
    assert data["integration"] == {
        "tests/integration/test_ab.py": {
            "outcome": "ran",
            "seconds": 0.0,
            "problems": [],
            "modules": ["a", "b"],
        }
    }
    assert Problem.from_json(data["problems"][0]) == warning


def test_a_run_that_did_not_come_to_its_end_has_not_passed() -> None:
    report = assemble(MANIFEST, PLAN, every("a"), {"a"}, wanted=[*every("a"), "convert:b"])
    assert report.outcome is Outcome.FAILED


def test_published_is_said_of_sources_that_were_looked_at() -> None:
    report = assemble(MANIFEST, PLAN, every("a"), {"a", "b"})
    assert [module.published for module in report.modules.values()] == [True, False]


def test_a_module_that_waits_says_for_what() -> None:
    report = assemble(MANIFEST, PLAN, every("a"), set(), held={"a": ("b",)})
    said = summary(PLAN, report, [], "demo")
    assert "the new version of a is held back until b has passed with it" in said
