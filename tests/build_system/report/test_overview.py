"""The five sections, on a terminal and on the page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.build_system.report.pages.reports import MANIFEST, PLAN, failing, ready, task_reports
from tinytorch_build.model import Outcome, PackageStage, Problem
from tinytorch_build.report import Report, TaskReport, assemble, sentences
from tinytorch_build.report.overview import headline, in_text, overview, worst

NOTHING = assemble(MANIFEST, PLAN, {}, ())


def said(report: Report) -> dict[str, tuple[Outcome, tuple[str, ...]]]:
    sections = overview(MANIFEST, PLAN, report)
    return {section.title: (section.state, (section.sentence, *section.lines)) for section in sections}


def with_package(report: Report, stage: PackageStage, **changes: Any) -> Report:
    return replace(report, package={**report.package, stage: replace(report.package[stage], **changes)})


def test_a_course_that_is_ready() -> None:
    report = ready()
    assert headline(report) == "Ready for student testing"
    assert {state for state, _ in said(report).values()} == {Outcome.PASSED}
    assert said(report)["Student usability"][1][:2] == (
        "Ready for student testing",
        "install the wheel: passed",
    )
    assert "import everything: passed (16 modules)" in said(report)["Student usability"][1]
    assert said(report)["Package build"][1][0] == "Package build successful, all modules integrated"
    assert "made dist/demo-0.1.0.tar.gz" in said(report)["Package build"][1]
    assert "names since v0.1.0: 1 added, 1 changed, 0 removed" in said(report)["Package build"][1]
    assert "dense declares and does not import: layers" in said(report)["Dependency graph"][1]


def test_a_course_that_fails() -> None:
    report = failing()
    assert headline(report) == "Integration failed, blocking release"
    assert said(report)["Export validation"] == (
        Outcome.FAILED,
        (
            "7 of 16 modules have a valid export",
            "Module layers export validation failed: `np` is not defined",
            "blocked by layers: dense, spatial, attention, training, compression, benchmarking, mlops, capstone",
        ),
    )
    assert said(report)["Integration results"] == (
        Outcome.BLOCKED,
        ("7 of 16 modules passed their own tests, integration 0 of 1, system 0 of 1, validation 0 of 1",),
    )
    assert said(report)["Package build"] == (
        Outcome.BLOCKED,
        (
            "Integration failed, blocking release",
            "Package validation requires these tests to pass: import-check:layers",
        ),
    )
    assert said(report)["Student usability"] == (
        Outcome.BLOCKED,
        ("not ready for student testing: blocked by import-check:layers",),
    )


def test_what_was_not_run_is_not_called_good() -> None:
    assert {state for state, _ in said(NOTHING).values()} == {Outcome.NOT_RUN}
    assert headline(NOTHING) == "0 of 16 modules passed; the package has not been built"
    assert headline(with_package(NOTHING, PackageStage.BUILD, outcome=Outcome.RAN)) == (
        "Package build successful, all modules integrated"
    )


def test_a_failed_integration_test_is_named() -> None:
    problem = Problem("test-failed", "Found integration issue between Module layers and dense: it broke")
    task = "integration:test_dense_layers.py"
    tasks = {**task_reports(), task: TaskReport(Outcome.FAILED, 0.1, (problem,))}
    state, lines = said(assemble(MANIFEST, PLAN, tasks, ()))["Integration results"]
    assert state is Outcome.FAILED
    assert problem.message in lines


def test_a_broken_interface_blocks_the_build() -> None:
    broken = Problem("api-removed", "`Tensor.flip` was removed", "src/01_tensor/tensor_dev.py", 40)
    report = with_package(ready(), PackageStage.COMPATIBILITY, outcome=Outcome.FAILED, problems=(broken,))
    report = with_package(report, PackageStage.BUILD, outcome=Outcome.BLOCKED, blocked_by=("compatibility",))
    state, lines = said(report)["Package build"]
    assert state is Outcome.FAILED
    assert lines[0] == "Integration failed, blocking release"
    assert any("`Tensor.flip` was removed" in line for line in lines)
    assert "Package validation requires these tests to pass: compatibility" in lines


def not_verified(problem: Problem, *failed: str) -> Report:
    """Everything was built, and the trial of it found a problem at some steps."""
    steps = [{"what": what, "outcome": "failed", "note": problem.message} for what in failed]
    return replace(
        with_package(
            ready(),
            PackageStage.VERIFY,
            outcome=Outcome.FAILED,
            problems=(problem,),
            details={"installer": "uv", "steps": steps},
        ),
        outcome=Outcome.FAILED,
    )


def test_a_package_that_does_not_work_when_installed_was_built_all_the_same() -> None:
    report = not_verified(Problem("import", "it cannot be imported"), "import everything that it holds")
    assert headline(report) == "Package build successful, but not ready for student testing"
    state, lines = said(report)["Student usability"]
    assert state is Outcome.FAILED
    assert lines[0] == "not ready for student testing: this failed: import everything that it holds"
    assert "Package verification failed: it cannot be imported" in lines
    assert said(report)["Package build"][0] is Outcome.PASSED
    assert sentences.summary(PLAN, report, ["verify"], "demo").splitlines()[-2:] == [
        "Package build successful, all modules integrated",
        "Not ready for student testing",
    ]


def test_without_a_network_nothing_is_said_of_what_was_not_tried() -> None:
    report = not_verified(Problem("no-network", "uv reached no package index"), "install the wheel")
    assert said(report)["Student usability"][1][0] == (
        "not ready for student testing: it could not be tried, since no package index was reached"
    )
    missing = not_verified(Problem("no-wheel", "a.whl is not in dist/"))
    assert said(missing)["Student usability"][1][0] == "not ready for student testing: it could not be tried"


def test_in_text_each_section_has_a_line_and_what_belongs_to_it() -> None:
    lines = in_text(overview(MANIFEST, PLAN, failing())).splitlines()
    titles = [line for line in lines if not line.startswith(" ")]
    assert titles == [
        "Export validation:              FAILED",
        "Integration results:            blocked",
        "Dependency graph:               blocked",
        "Package build:                  blocked",
        "Student usability:              blocked",
    ]


def test_the_worst_of_several() -> None:
    assert worst([]) is Outcome.NOT_RUN
    assert worst([Outcome.RAN, Outcome.UP_TO_DATE]) is Outcome.PASSED
    assert worst([Outcome.RAN, Outcome.NOT_RUN]) is Outcome.NOT_RUN
    assert worst([Outcome.NOT_RUN, Outcome.BLOCKED]) is Outcome.BLOCKED
    assert worst([Outcome.BLOCKED, Outcome.FAILED]) is Outcome.FAILED
