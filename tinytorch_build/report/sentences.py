"""The sentences of the interface: what the user reads when a task fails and when a run ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tinytorch_build.model import Outcome, PackageStage, Problem, Severity, Stage, errors
from tinytorch_build.plan import Plan, PlannedTask
from tinytorch_build.report.outcome import Report, TaskReport

WORDS = {
    Outcome.RAN: "ok",
    Outcome.PASSED: "passed",
    Outcome.UP_TO_DATE: "up to date",
    Outcome.FAILED: "FAILED",
    Outcome.BLOCKED: "blocked",
    Outcome.NOT_RUN: "not run",
}


def failures(task: PlannedTask, report: TaskReport) -> str:
    """Every error of a failed task as a sentence with place and cure, and the path of its log."""
    said = [failure(task, problem) for problem in errors(report.problems)]
    return "\n".join([*said, f"    log  {report.log}"] if report.log else said)


def failure(task: PlannedTask, problem: Problem) -> str:
    """A problem as the sentence that names its module or test file, with place and cure."""
    return with_place(problem, heading(task, problem))


def heading(task: PlannedTask, problem: Problem) -> str:
    """A problem as the sentence that names its module or test file."""
    if task.stage in (Stage.CONVERT, Stage.EXPORT, Stage.IMPORT_CHECK):
        return f"Module {task.module} export validation failed: {problem.message}"
    if task.stage is Stage.TEST:
        return f"Module {task.module} tests failed: {problem.message}"
    if task.stage is Stage.PUBLISH:
        return f"Module {task.module} was not published: {problem.message}"
    if task.package_stage is PackageStage.BUILD:
        return f"Package build failed: {problem.message}"
    if task.package_stage is PackageStage.VERIFY:
        return f"Package verification failed: {problem.message}"
    return problem.message


def with_place(problem: Problem, heading: str) -> str:
    """A sentence with the place, the check and the cure of a problem in lines below it."""
    lines = [heading]
    if problem.place:
        lines.append(f"    at   {problem.place}  [{problem.check}]")
    if problem.cure:
        lines.append(f"    cure {problem.cure}")
    return "\n".join(lines)


def task_line(task: PlannedTask, report: TaskReport) -> str:
    """One line for one event: subject, stage, what became of it, how long it took."""
    if task.test_file is not None:
        subject, step = task.test_file.name, task.test_file.kind.value
    elif task.package_stage is not None:
        subject, step = "package", task.package_stage.value
    else:
        subject, step = task.module or task.name, task.stage.value if task.stage else ""
    time = f"{report.seconds:7.2f} s" if report.outcome in (Outcome.RAN, Outcome.FAILED) else ""
    word = WORDS[report.outcome]
    if report.blocked_by:
        word += f" by {', '.join(report.blocked_by)}"
    return f"{subject:<24} {step:<13} {word:<11} {time}".rstrip()


def warnings(report: Report) -> Iterator[Problem]:
    """Every warning of a run, once."""
    seen = dict.fromkeys(
        problem
        for problems in (report.problems, *(task.problems for task in report.tasks))
        for problem in problems
        if problem.severity is Severity.WARNING
    )
    yield from seen


def summary(plan: Plan, report: Report, failed: Sequence[str], package: str) -> str:
    """The last words of a run: what passed, what failed, what is blocked and by what."""
    return "\n".join(_summary_lines(plan, report, failed, package))


def _summary_lines(plan: Plan, report: Report, failed: Sequence[str], package: str) -> Iterator[str]:
    for problem in warnings(report):
        yield with_place(problem, f"warning: {problem.message}")
    for problem in errors(report.problems):
        yield with_place(problem, problem.message)
    for name, module in report.modules.items():
        if module.waits_for:
            verb = "has" if len(module.waits_for) == 1 else "have"
            waits = ", ".join(module.waits_for)
            yield f"the new version of {name} is held back until {waits} {verb} passed with it"
    for name, module in report.modules.items():
        if module.outcome is Outcome.BLOCKED:
            yield f"{name} is blocked by {', '.join(module.blocked_by)}"
    for file in report.test_files:
        if file.task.outcome is Outcome.BLOCKED:
            yield f"{file.file.path} is blocked by {', '.join(file.task.blocked_by)}"
    build = report.package.get(PackageStage.BUILD)
    blocking: tuple[str, ...] = ()
    if build is not None and build.outcome in (Outcome.BLOCKED, Outcome.FAILED):
        yield "Integration failed, blocking release"
        blocking = build.blocked_by
    unproven = [name for name in failed if plan.by_name[name].package_stage is None or name in blocking]
    if unproven:
        yield f"Package validation requires these tests to pass: {', '.join(unproven)}"
    yield counts(report)
    current = sum(module.published for module in report.modules.values())
    if report.outcome is Outcome.FAILED and not _modules_are_sound(report):
        yield f"nothing that failed, or has not been checked, has reached {package}/"
    elif current:
        yield f"{package}/ holds {_of_those(report, current)} as their sources are now"
    if build is not None and build.outcome in (Outcome.RAN, Outcome.UP_TO_DATE):
        yield from (f"made {file['path']}" for file in build.details["files"])
        yield "Package build successful, all modules integrated"
    verify = report.package.get(PackageStage.VERIFY)
    if verify is not None and verify.outcome in (Outcome.RAN, Outcome.UP_TO_DATE):
        yield "Ready for student testing"
    elif verify is not None and verify.outcome is Outcome.FAILED:
        yield "Not ready for student testing"


def _of_those(report: Report, current: int) -> str:
    """`3 of 4 modules`; if the run has not looked at all of them, it can only speak of the others."""
    looked_at = sum(module.was_looked_at for module in report.modules.values())
    if looked_at == len(report.modules):
        return f"{current} of {looked_at} modules"
    return f"{current} of the {looked_at} modules that this run looked at"


def _modules_are_sound(report: Report) -> bool:
    """Whether every module passed and is published, so that a failure is of the package as a whole."""
    modules = report.modules.values()
    return not errors(report.problems) and all(
        module.outcome is Outcome.PASSED and module.published for module in modules
    )


def counts(report: Report) -> str:
    """`5 modules passed; 12 tasks ran, 13 up to date, in 3.2 s`."""
    outcomes = (Outcome.PASSED, Outcome.FAILED, Outcome.BLOCKED, Outcome.NOT_RUN)
    modules = [
        f"{count} {WORDS[outcome].lower()}"
        for outcome in outcomes
        if (count := sum(module.outcome is outcome for module in report.modules.values()))
    ]
    tasks = f"{report.count(Outcome.RAN)} tasks ran, {report.count(Outcome.UP_TO_DATE)} up to date"
    return f"modules: {', '.join(modules) or 'none'}; {tasks}; {report.seconds:.1f} s"
