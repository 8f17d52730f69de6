"""The values that the page shows, worked out from a report: everything but the HTML. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinytorch_build.graph import closures
from tinytorch_build.model import CourseModule, Manifest, Outcome, Problem, Severity
from tinytorch_build.plan import Plan, TestFile
from tinytorch_build.report import sentences
from tinytorch_build.report.outcome import ModuleReport, Report, TaskReport
from tinytorch_build.report.overview import Section, headline, overview, package_task
from tinytorch_build.report.pages.docstrings import Coverage
from tinytorch_build.report.pages.evidence import Evidence, Line
from tinytorch_build.report.pages.graph_drawing import Drawing, Measures, draw

WIDE = Measures()
"""For a screen that has room for a drawing and what is chosen in it, side by side."""
NARROW = Measures(columns=3, box_width=106, box_height=44, gap=8, lane_gap=6, lane_width=3, row_gap=34)
"""For a phone of 360 pixels."""

MOST_PROBLEMS = 100
"""How many problems of one task are shown; the others are counted, and are in `report.json`."""


@dataclass(frozen=True, slots=True)
class ShownProblem:
    """A problem with the lines of its source."""

    problem: Problem
    excerpt: tuple[Line, ...]

    @property
    def is_error(self) -> bool:
        return self.problem.severity is Severity.ERROR


@dataclass(frozen=True, slots=True)
class ShownTask:
    """A row of a table of tasks.

    Attributes:
        title: the stage, or the file of tests.
        outcome: what became of it.
        seconds: how long its last execution took.
        blocked_by: the failed tasks at the root.
        problems: the first of its problems.
        more: how many problems there are beyond these.
        log: the path of what the code under test printed.
        log_end: its end.
    """

    title: str
    outcome: Outcome
    seconds: float
    blocked_by: tuple[str, ...]
    problems: tuple[ShownProblem, ...]
    more: int
    log: str
    log_end: str

    @property
    def has_more_to_say(self) -> bool:
        return bool(self.problems or self.log_end)


@dataclass(frozen=True, slots=True)
class Relations:
    """What a module has to do with others, each list in course order.

    Attributes:
        needs: the modules that it declares.
        needs_through: what these need and it does not declare itself.
        needed_by: the modules that declare it.
        needed_through: what needs it only through these.
        blocked_by: failed modules at the root of its being blocked.
        blocks: modules that are blocked by it.
        waits_for: published modules that have not passed with its new version.
    """

    needs: tuple[str, ...]
    needs_through: tuple[str, ...]
    needed_by: tuple[str, ...]
    needed_through: tuple[str, ...]
    blocked_by: tuple[str, ...]
    blocks: tuple[str, ...]
    waits_for: tuple[str, ...]

    @property
    def above(self) -> tuple[str, ...]:
        return (*self.needs, *self.needs_through)

    @property
    def below(self) -> tuple[str, ...]:
        return (*self.needed_by, *self.needed_through)


@dataclass(frozen=True, slots=True)
class ShownModule:
    """A module.

    Attributes:
        index: its place in course order, from 0: what elements of the page are called by.
        module: as the manifest declares it.
        state: an outcome's name, or `held`.
        word: the state in a word or two.
        published: whether the package holds it as its source is now.
        relations: to other modules.
        tasks: its stages, the test files that are its gates, and what steps of the whole package found in it.
        docstrings: None if there is no export.
        changes: of its public names since the last release.
        unused: modules that it declares and never imports.
    """

    index: int
    module: CourseModule
    state: str
    word: str
    published: bool
    relations: Relations
    tasks: tuple[ShownTask, ...]
    docstrings: Coverage | None
    changes: tuple[Mapping[str, Any], ...]
    unused: tuple[str, ...]

    @property
    def seconds(self) -> float:
        return sum(task.seconds for task in self.tasks)

    def count(self, severity: str) -> int:
        """How many problems of a severity are shown."""
        return sum(shown.problem.severity == severity for task in self.tasks for shown in task.problems)


@dataclass(frozen=True, slots=True)
class Page:
    """Everything on the page, in its order."""

    package: str
    version: str
    headline: str
    state: Outcome
    counts: str
    finished: str
    sections: tuple[Section, ...]
    problems: tuple[ShownProblem, ...]
    drawings: Mapping[str, Drawing]
    modules: Mapping[str, ShownModule]
    test_files: tuple[ShownTask, ...]
    package_tasks: tuple[ShownTask, ...]
    against: str | None
    changes: tuple[Mapping[str, Any], ...]
    boundaries: Mapping[str, Mapping[str, Sequence[str]]]
    files: tuple[Mapping[str, Any], ...]
    installer: str
    steps: tuple[Mapping[str, Any], ...]


def make_page(manifest: Manifest, plan: Plan, report: Report, evidence: Evidence) -> Page:
    """The page of a report."""
    shown = _Shown(manifest, report, evidence)
    depends = {module.name: module.depends_on for module in manifest.modules}
    api, build = package_task(report, "compatibility"), package_task(report, "build")
    verify = package_task(report, "verify")
    return Page(
        package=manifest.package.name,
        version=manifest.package.version,
        headline=headline(report),
        state=report.outcome,
        counts=sentences.counts(report),
        finished=f"{report.finished:%Y-%m-%d %H:%M %Z}" if report.finished else "",
        sections=overview(manifest, plan, report),
        problems=tuple(map(shown.problem, report.problems)),
        drawings={"wide": draw(depends, WIDE), "narrow": draw(depends, NARROW)},
        modules=shown.modules(),
        test_files=tuple(shown.task(file.file.path, file.task) for file in report.test_files),
        package_tasks=tuple(shown.task(stage.value, task) for stage, task in report.package.items()),
        against=api.details.get("against"),
        changes=tuple(api.details.get("changes", ())),
        boundaries=package_task(report, "boundaries").details.get("modules", {}),
        files=tuple(build.details.get("files", ())),
        installer=verify.details.get("installer", ""),
        steps=tuple(verify.details.get("steps", ())),
    )


class _Shown:
    """Turns the values of one report into what is shown of them."""

    def __init__(self, manifest: Manifest, report: Report, evidence: Evidence) -> None:
        self.manifest = manifest
        self.report = report
        self.evidence = evidence
        self.closures = closures({module.name: module.depends_on for module in manifest.modules})
        self.needed_by: dict[str, list[str]] = {module.name: [] for module in manifest.modules}
        for name, needs in self.closures.items():
            for need in needs:
                self.needed_by[need].append(name)
        self.blocks: dict[str, list[str]] = {module.name: [] for module in manifest.modules}
        for name, module in report.modules.items():
            for blamed in module.blocked_by:
                self.blocks[blamed].append(name)
        self.details = package_task(report, "boundaries").details.get("modules", {})
        self.changes = package_task(report, "compatibility").details.get("changes", ())

    def problem(self, problem: Problem) -> ShownProblem:
        place = (problem.file or "", problem.line or 0)
        return ShownProblem(problem, self.evidence.excerpts.get(place, ()))

    def task(self, title: str, task: TaskReport) -> ShownTask:
        first, others = task.problems[:MOST_PROBLEMS], task.problems[MOST_PROBLEMS:]
        return ShownTask(
            title,
            task.outcome,
            task.seconds,
            task.blocked_by,
            tuple(map(self.problem, first)),
            len(others),
            task.log,
            self.evidence.logs.get(task.log, ""),
        )

    def modules(self) -> dict[str, ShownModule]:
        return {
            module.name: self._module(index, module) for index, module in enumerate(self.manifest.modules)
        }

    def _module(self, index: int, module: CourseModule) -> ShownModule:
        report = self.report.modules[module.name]
        state, word = state_of(report)
        return ShownModule(
            index=index,
            module=module,
            state=state,
            word=word,
            published=report.published,
            relations=self._relations(module),
            tasks=(*self._tasks(module.name, report), *self._of_the_whole(module)),
            docstrings=self.evidence.docstrings.get(module.name),
            changes=tuple(change for change in self.changes if change["module"] == module.name),
            unused=tuple(self.details.get(module.name, {}).get("unused", ())),
        )

    def _tasks(self, name: str, report: ModuleReport) -> Iterator[ShownTask]:
        for stage, task in report.stages.items():
            if stage.value == "publish":  # its gates come before it
                yield from (
                    self.task(gate.path, task_of) for gate, task_of in self._gates() if gate.owner == name
                )
            yield self.task(stage.value, task)

    def _of_the_whole(self, module: CourseModule) -> Iterator[ShownTask]:
        """What the steps of the whole package have found in a module's source."""
        for stage, task in self.report.package.items():
            found = tuple(problem for problem in task.problems if problem.file == module.source)
            if found:
                yield self.task(stage.value, TaskReport(task.outcome, problems=found))

    def _gates(self) -> Iterator[tuple[TestFile, TaskReport]]:
        yield from ((file.file, file.task) for file in self.report.test_files)

    def _relations(self, module: CourseModule) -> Relations:
        name, names = module.name, self.manifest.by_name
        needed_by = tuple(other for other in self.needed_by[name] if name in names[other].depends_on)
        direct, report = frozenset(needed_by), self.report.modules[name]
        return Relations(
            needs=module.depends_on,
            needs_through=tuple(need for need in self.closures[name] if need not in module.depends_on),
            needed_by=needed_by,
            needed_through=tuple(other for other in self.needed_by[name] if other not in direct),
            blocked_by=report.blocked_by,
            blocks=tuple(self.blocks[name]),
            waits_for=report.waits_for,
        )


def state_of(module: ModuleReport) -> tuple[str, str]:
    """The name of a module's state, and the words for it."""
    if module.outcome is Outcome.PASSED and module.waits_for:
        return "held", "held back"
    return module.outcome.value, module.outcome.value.replace("-", " ")
