"""The outcome of a run as values: per task, per module, per test file, and as a whole."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tinytorch_build.files import write_atomically
from tinytorch_build.model import Manifest, Outcome, PackageStage, Problem, Stage, errors
from tinytorch_build.plan import Plan, PlannedTask, TestFile, TestKind, task_name

SCHEMA = 1
"""Version of `report.json`'s form; raised when a reader of the old form would go wrong."""


@dataclass(frozen=True, slots=True)
class TaskReport:
    """What became of one task.

    Attributes:
        outcome: ran, up to date, failed, blocked or not run.
        seconds: wall-clock time of its last execution; 0 if it was never executed.
        problems: what it found, also when it was up to date and found it in an earlier run.
        blocked_by: the failed tasks at the root, if it is blocked.
        log: path from the course's root of what the code under test printed, if it failed and printed.
        details: what it has to show beside its problems, as JSON; each stage of the package has its own.
    """

    outcome: Outcome
    seconds: float = 0.0
    problems: tuple[Problem, ...] = ()
    blocked_by: tuple[str, ...] = ()
    log: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {
            "outcome": self.outcome.value,
            "seconds": round(self.seconds, 3),
            "problems": [problem.to_json() for problem in self.problems],
        }
        if self.blocked_by:
            data["blocked_by"] = list(self.blocked_by)
        if self.log:
            data["log"] = self.log
        if self.details:
            data["details"] = dict(self.details)
        return data


NOT_RUN = TaskReport(Outcome.NOT_RUN)


@dataclass(frozen=True, slots=True)
class ModuleReport:
    """What became of one module.

    Attributes:
        outcome: passed, failed, blocked or not run.
        blocked_by: the modules at the root, if it is blocked.
        published: whether what stands in the package is what the source holds now; false if this run has not
            looked at the source.
        waits_for: published modules that have not passed with its new version, which is therefore held back.
        stages: the module's tasks.
    """

    outcome: Outcome
    blocked_by: tuple[str, ...]
    published: bool
    waits_for: tuple[str, ...]
    stages: Mapping[Stage, TaskReport]

    @property
    def was_looked_at(self) -> bool:
        """Whether the run came to the module's source, and to its export."""
        outcomes = {self.stages[stage].outcome for stage in (Stage.CONVERT, Stage.EXPORT)}
        return Outcome.NOT_RUN not in outcomes

    def to_json(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome.value,
            "blocked_by": list(self.blocked_by),
            "published": self.published,
            "waits_for": list(self.waits_for),
            "stages": {stage.value: report.to_json() for stage, report in self.stages.items()},
        }


@dataclass(frozen=True, slots=True)
class TestFileReport:
    """What became of one file of inter-module tests."""

    __test__ = False

    file: TestFile
    task: TaskReport

    def to_json(self) -> dict[str, Any]:
        return {**self.task.to_json(), "modules": list(self.file.modules)}


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to.

    Attributes:
        outcome: passed or failed.
        modules: every module of the course, in course order.
        test_files: every file of inter-module tests.
        package: what was done with the package as a whole.
        problems: what concerns the package as a whole.
        seconds: wall-clock time of the run.
        finished: when it was over; None if that is not known.
    """

    outcome: Outcome
    modules: Mapping[str, ModuleReport] = field(default_factory=dict)
    test_files: Sequence[TestFileReport] = ()
    package: Mapping[PackageStage, TaskReport] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    seconds: float = 0.0
    finished: datetime | None = None

    @property
    def tasks(self) -> Iterator[TaskReport]:
        for module in self.modules.values():
            yield from module.stages.values()
        for file in self.test_files:
            yield file.task
        yield from self.package.values()

    def count(self, outcome: Outcome) -> int:
        """How many tasks had this outcome."""
        return sum(task.outcome is outcome for task in self.tasks)

    def to_json(self) -> dict[str, Any]:
        """The form of `build/report/report.json`."""
        data: dict[str, Any] = {
            "schema": SCHEMA,
            "outcome": self.outcome.value,
            "finished": self.finished.isoformat(timespec="seconds") if self.finished else None,
            "seconds": round(self.seconds, 3),
            "problems": [problem.to_json() for problem in self.problems],
            "modules": {name: module.to_json() for name, module in self.modules.items()},
        }
        for kind in TestKind:
            data[kind.value] = {
                file.file.path: file.to_json() for file in self.test_files if file.file.kind is kind
            }
        data["package"] = {stage.value: task.to_json() for stage, task in self.package.items()}
        return data


def assemble(
    manifest: Manifest,
    plan: Plan,
    tasks: Mapping[str, TaskReport],
    published: Collection[str],
    *,
    wanted: Collection[str] = (),
    held: Mapping[str, tuple[str, ...]] | None = None,
    problems: Sequence[Problem] = (),
    seconds: float = 0.0,
    finished: datetime | None = None,
) -> Report:
    """The report of a run.

    Args:
        manifest: the course.
        plan: its tasks.
        tasks: what became of each task that the run came to.
        published: the modules whose staged export stands in the package.
        wanted: the tasks that the run should have come to; one that it did not come to fails it.
        held: modules whose new version is held back, each with the modules that it waits for.
        problems: what concerns the package as a whole.
        seconds: wall-clock time of the run.
        finished: when it was over.
    """
    modules = {
        module.name: _module_report(
            plan, module.name, tasks, module.name in published, (held or {}).get(module.name, ())
        )
        for module in manifest.modules
    }
    files = [
        TestFileReport(task.test_file, tasks.get(task.name, NOT_RUN))
        for task in plan.tasks
        if task.test_file is not None
    ]
    package: dict[PackageStage, TaskReport] = {
        task.package_stage: tasks.get(task.name, NOT_RUN)
        for task in plan.tasks
        if task.package_stage is not None
    }
    failed = (
        bool(errors(problems))
        or any(task.outcome in (Outcome.FAILED, Outcome.BLOCKED) for task in tasks.values())
        or not set(wanted) <= tasks.keys()
    )
    outcome = Outcome.FAILED if failed else Outcome.PASSED
    return Report(outcome, modules, files, package, tuple(problems), seconds, finished)


def _module_report(
    plan: Plan, name: str, tasks: Mapping[str, TaskReport], published: bool, waits_for: tuple[str, ...]
) -> ModuleReport:
    stages = {stage: tasks.get(task_name(stage, name), NOT_RUN) for stage in Stage}
    blocked_by = dict.fromkeys(
        blamed
        for report in stages.values()
        for task in report.blocked_by
        for blamed in [blamed_module(plan.by_name[task])]
        if blamed is not None
    )
    outcomes = {report.outcome for report in stages.values()}
    if Outcome.FAILED in outcomes or name in blocked_by:
        outcome = Outcome.FAILED  # blocked by itself: an integration test that is this module's gate
    elif Outcome.BLOCKED in outcomes:
        outcome = Outcome.BLOCKED
    elif Outcome.NOT_RUN in outcomes:
        outcome = Outcome.NOT_RUN
    else:
        outcome = Outcome.PASSED
    others = tuple(blamed for blamed in blocked_by if blamed != name)
    looked_at = {stages[Stage.CONVERT].outcome, stages[Stage.EXPORT].outcome}
    exported = looked_at <= {Outcome.RAN, Outcome.UP_TO_DATE}
    return ModuleReport(outcome, others, published and exported, waits_for, stages)


def blamed_module(task: PlannedTask) -> str | None:
    """The module that a failed task speaks for: its own, or the one whose gate the test file is."""
    return task.module if task.test_file is None else task.test_file.owner


def write_report(path: Path, report: Report) -> None:
    """Write `report.json`.

    Raises:
        OSError: it cannot be written; an earlier one still stands.
    """
    text = json.dumps(report.to_json(), indent=2, ensure_ascii=False)
    write_atomically(path, text.encode("utf-8", errors="replace") + b"\n")
