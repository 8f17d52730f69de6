"""The five things that whoever signs off a package wants to know, each as a state and a few sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tinytorch_build.model import Manifest, Outcome, Severity, Stage, errors
from tinytorch_build.plan import Plan, PlannedTask, TestKind
from tinytorch_build.report import sentences
from tinytorch_build.report.outcome import NOT_RUN, Report, TaskReport

EXPORT_STAGES = (Stage.CONVERT, Stage.EXPORT, Stage.IMPORT_CHECK)
"""What makes a module's export valid."""

GOOD = (Outcome.PASSED, Outcome.RAN, Outcome.UP_TO_DATE)
"""What a task can come to that lets others build on it."""


@dataclass(frozen=True, slots=True)
class Section:
    """One of the five.

    Attributes:
        title: what it is about.
        state: passed, failed, blocked or not run.
        sentence: what it came to.
        lines: what there is to know beyond that.
    """

    title: str
    state: Outcome
    sentence: str
    lines: tuple[str, ...] = ()


def overview(manifest: Manifest, plan: Plan, report: Report) -> tuple[Section, ...]:
    """Export validation, integration, dependency graph, build and usability, in this order."""
    seen = _Overview(manifest, plan, report)
    return (seen.exports(), seen.integration(), seen.graph(), seen.build(), seen.usability())


def headline(report: Report) -> str:
    """The one sentence that comes before all others."""
    if _built_but_not_ready(report):
        return "Package build successful, but not ready for student testing"
    if report.outcome is Outcome.FAILED:
        return "Integration failed, blocking release"
    if package_task(report, "verify").outcome in GOOD:
        return "Ready for student testing"
    if package_task(report, "build").outcome in GOOD:
        return "Package build successful, all modules integrated"
    passed = sum(module.outcome is Outcome.PASSED for module in report.modules.values())
    return f"{passed} of {len(report.modules)} modules passed; the package has not been built"


def _built_but_not_ready(report: Report) -> bool:
    """Whether everything up to the build is in order, and only the trial of what was built is not."""
    built, tried = package_task(report, "build").outcome, package_task(report, "verify").outcome
    return built in GOOD and tried is Outcome.FAILED


def in_text(sections: Iterable[Section]) -> str:
    """The sections as lines for a terminal."""
    said = []
    for section in sections:
        said.append(f"{section.title + ':':<32}{sentences.WORDS[section.state]}")
        said += [f"    {line}" for line in (section.sentence, *section.lines)]
    return "\n".join(said)


def package_task(report: Report, stage: str) -> TaskReport:
    """What became of a step of the package as a whole; `not run` if the plan has no such step."""
    return next((task for name, task in report.package.items() if name.value == stage), NOT_RUN)


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """What several outcomes come to together; `not run` if there are none."""
    found = {Outcome.PASSED if outcome in GOOD else outcome for outcome in outcomes}
    order = (Outcome.FAILED, Outcome.BLOCKED, Outcome.NOT_RUN, Outcome.PASSED)
    return next((outcome for outcome in order if outcome in found), Outcome.NOT_RUN)


class _Overview:
    """One report, asked five times."""

    def __init__(self, manifest: Manifest, plan: Plan, report: Report) -> None:
        self.manifest = manifest
        self.plan = plan
        self.report = report

    def exports(self) -> Section:
        of_modules = {
            name: worst(module.stages[stage].outcome for stage in EXPORT_STAGES)
            for name, module in self.report.modules.items()
        }
        state = worst(of_modules.values())
        done = f"{_of(of_modules.values())} modules"
        if state is Outcome.PASSED:
            sentence = f"{done} are exported as their sources stand, and each can be imported alone"
        else:
            sentence = f"{done} have a valid export"
        return Section(
            "Export validation", state, sentence, (*self._failures(EXPORT_STAGES), *self._blocked(of_modules))
        )

    def _blocked(self, of_modules: dict[str, Outcome]) -> Iterator[str]:
        by: dict[tuple[str, ...], list[str]] = {}
        for name, outcome in of_modules.items():
            if outcome is Outcome.BLOCKED:
                by.setdefault(self.report.modules[name].blocked_by, []).append(name)
        for blamed, names in by.items():
            yield f"blocked by {', '.join(blamed)}: {', '.join(names)}"

    def integration(self) -> Section:
        """The modules' own tests, and the tests between modules."""
        own = [module.stages[Stage.TEST].outcome for module in self.report.modules.values()]
        said = [f"{_of(own)} modules passed their own tests"]
        outcomes = list(own)
        for kind in TestKind:
            files = [file.task.outcome for file in self.report.test_files if file.file.kind is kind]
            outcomes += files
            if files:
                said.append(f"{kind} {_of(files)}")
        failed = (*self._failures((Stage.TEST,)), *self._file_failures())
        return Section("Integration results", worst(outcomes), ", ".join(said), failed)

    def _file_failures(self) -> Iterator[str]:
        for task in self.plan.tasks:
            if task.test_file is not None:
                file = next(file for file in self.report.test_files if file.file == task.test_file)
                yield from _headings(task, file.task)

    def _failures(self, stages: Iterable[Stage]) -> Iterator[str]:
        wanted = tuple(stages)
        for task in self.plan.tasks:
            if task.module is not None and task.stage in wanted:
                yield from _headings(task, self.report.modules[task.module].stages[task.stage])

    def graph(self) -> Section:
        task = package_task(self.report, "boundaries")
        modules = self.manifest.modules
        edges = sum(len(module.depends) for module in modules)
        declared = f"{len(modules)} modules, {edges} declared dependencies, no cycle"
        state = worst([task.outcome])
        if state is Outcome.PASSED:
            sentence = f"{declared}; the package imports what modules.toml allows, and nothing else"
        elif state is Outcome.NOT_RUN:
            sentence = f"{declared}; the imports of the package have not been compared with them"
        else:
            sentence = declared
        return Section(
            "Dependency graph", state, sentence, (*self._package_lines("boundaries"), *self._unused(task))
        )

    def _unused(self, task: TaskReport) -> Iterator[str]:
        """Of a module that declares all, what it does not import is no news."""
        for name, module in task.details.get("modules", {}).items():
            if module["unused"] and not self.manifest.declares_all(self.manifest[name]):
                yield f"{name} declares and does not import: {', '.join(module['unused'])}"

    def build(self) -> Section:
        api, build = package_task(self.report, "compatibility"), package_task(self.report, "build")
        state = Outcome.FAILED if api.outcome is Outcome.FAILED else worst([build.outcome])
        lines = [*self._package_lines("compatibility"), *self._package_lines("build"), *_compared(api)]
        if state is Outcome.PASSED:
            sentence = "Package build successful, all modules integrated"
            lines += [f"made {file['path']}" for file in build.details.get("files", ())]
        elif state is Outcome.NOT_RUN:
            sentence = "the package has not been built"
        elif build.outcome is Outcome.FAILED:
            sentence = "the package could not be built"
        else:
            sentence = "Integration failed, blocking release"
            if build.blocked_by:
                tests = ", ".join(build.blocked_by)
                lines.append(f"Package validation requires these tests to pass: {tests}")
        return Section("Package build", state, sentence, tuple(lines))

    def usability(self) -> Section:
        task = package_task(self.report, "verify")
        state = worst([task.outcome])
        sentence = {
            Outcome.PASSED: "Ready for student testing",
            Outcome.FAILED: f"not ready for student testing: {_why_not_ready(task)}",
            Outcome.BLOCKED: f"not ready for student testing: blocked by {', '.join(task.blocked_by)}",
        }.get(state, "nobody has installed and tried the package yet; `doit verify` does")
        steps = (
            f"{step['what']}: {step['outcome']}" + (f" ({step['note']})" if step.get("note") else "")
            for step in task.details.get("steps", ())
        )
        return Section("Student usability", state, sentence, (*self._package_lines("verify"), *steps))

    def _package_lines(self, stage: str) -> Iterator[str]:
        for task in self.plan.tasks:
            if task.package_stage is not None and task.package_stage.value == stage:
                found = package_task(self.report, stage)
                yield from _headings(task, found)
                yield from (p.message for p in found.problems if p.severity is Severity.WARNING)


def _why_not_ready(task: TaskReport) -> str:
    found = errors(task.problems)
    if found and all(problem.check == "no-network" for problem in found):
        return "it could not be tried, since no package index was reached"
    failed = [step["what"] for step in task.details.get("steps", ()) if step["outcome"] == "failed"]
    return f"this failed: {', '.join(failed)}" if failed else "it could not be tried"


def _headings(task: PlannedTask, report: TaskReport) -> Iterator[str]:
    if report.outcome is Outcome.FAILED:
        yield from (sentences.heading(task, problem) for problem in errors(report.problems))


def _compared(task: TaskReport) -> Iterator[str]:
    """How the package differs from the last release."""
    against = task.details.get("against")
    if against:
        kinds = [change["kind"] for change in task.details["changes"]]
        counts = [f"{kinds.count(kind)} {kind}" for kind in ("added", "changed", "removed")]
        yield f"names since {against}: {', '.join(counts)}"
    elif task.outcome in GOOD:
        yield "there is no earlier release to compare names with"


def _of(outcomes: Iterable[Outcome]) -> str:
    """`3 of 4`."""
    found = list(outcomes)
    return f"{sum(outcome in GOOD for outcome in found)} of {len(found)}"
