"""doit's reporter of a course: opens and closes the session, shows the run, and writes the report."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from types import FrameType, TracebackType
from typing import Any, TextIO

from doit.exceptions import InvalidTask

from tinytorch_build.doit_plugins.course_task import CourseTask
from tinytorch_build.errors import CourseError
from tinytorch_build.files import write_atomically
from tinytorch_build.model import Outcome, Problem, errors
from tinytorch_build.plan import PlannedTask
from tinytorch_build.report.outcome import Report, TaskReport, assemble
from tinytorch_build.report.terminal import display_for
from tinytorch_build.session import Session
from tinytorch_build.steps import StepResult


class CourseReporter:
    """A doit reporter (entry point `doit.REPORTER`). doit calls it from worker threads, too."""

    desc = "modules by stages, with causes and cures (tinytorch-build)"

    def __init__(self, outstream: TextIO, options: Mapping[str, Any]) -> None:
        self._display = display_for(outstream)
        self._mutex = threading.RLock()
        self._session: Session | None = None
        self._opened = False
        self._tasks: dict[str, TaskReport] = {}
        self._problems: list[Problem] = []
        self._began = time.perf_counter()
        self.report: Report | None = None

    # -- the run as a whole

    def initialize(self, tasks: Mapping[str, Any], selected: Iterable[str]) -> None:
        """The run begins: take the course's lock and put right what an earlier run left half done."""
        self._session = next((CourseTask.of(task).session for task in tasks.values() if task.meta), None)
        if self._session is None:
            return
        try:
            self._problems += self._session.open(" ".join(["doit", *sys.argv[1:]]))
        except CourseError as error:
            raise InvalidTask(str(error)) from error
        self._opened = True
        _end_cleanly_on_signals()
        for problem in self._problems:
            self._display.say(str(problem))
        self._display.begin(self._session.plan, _wanted(self._session, tasks, selected))

    def complete_run(self) -> None:
        """The run is over, if only by an interruption: write the report, end the workers, free the lock."""
        session = self._session
        if session is None or not self._opened:
            return
        try:
            self.report = assemble(
                session.manifest,
                session.plan,
                self._tasks,
                session.published_as_staged(),
                self._problems,
                time.perf_counter() - self._began,
            )
            text = json.dumps(self.report.to_json(), indent=2, ensure_ascii=False)
            write_atomically(session.layout.report, text.encode() + b"\n")
            failed = [name for name, report in self._tasks.items() if report.outcome is Outcome.FAILED]
            package = session.manifest.package.name
            self._display.end(session.plan, self.report, failed, package)
        finally:
            session.close()

    def runtime_error(self, message: str) -> None:
        """The run could not begin or go on."""
        self._display.say(f"ERROR: {message}")

    # -- one task

    def get_status(self, task: Any) -> None:
        """doit is about to see whether the task is current."""

    def execute_task(self, task: Any) -> None:
        planned = _planned(task)
        if planned is not None:
            self._display.started(planned)

    def add_success(self, task: Any) -> None:
        if task.meta:
            self._keep(task, _remembered(CourseTask.of(task).action.values, Outcome.RAN))

    def skip_uptodate(self, task: Any) -> None:
        if task.meta:
            self._keep(task, _remembered(CourseTask.of(task).freshness.values, Outcome.UP_TO_DATE))

    def skip_ignore(self, task: Any) -> None:
        """The user has told doit to ignore the task; it stays `not run` in the report."""

    def add_failure(self, task: Any, fail: Any) -> None:
        planned = _planned(task)
        if planned is None:
            return
        if type(fail).__name__ == "UnmetDependency":
            self._keep(task, TaskReport(Outcome.BLOCKED, blocked_by=self._roots(planned)))
            return
        result = getattr(fail, "result", None)
        if result is None:  # doit's own word, such as a file that it could not read
            problem = Problem("doit", fail.get_msg().strip())
            self._keep(task, TaskReport(Outcome.FAILED, problems=(problem,)))
            return
        log = self._write_log(planned, result)
        self._keep(
            task,
            TaskReport(Outcome.FAILED, fail.seconds, tuple(result.problems), notes=result.notes, log=log),
        )

    def cleanup_error(self, exception: Any) -> None:
        self._display.say(exception.get_msg())

    def teardown_task(self, task: Any) -> None:
        """No task of a course has a teardown."""

    # -- inside

    def _keep(self, task: Any, report: TaskReport) -> None:
        planned = CourseTask.of(task).step.task
        with self._mutex:
            self._tasks[planned.name] = report
        self._display.finished(planned, report)

    def _roots(self, planned: PlannedTask) -> tuple[str, ...]:
        failed = [name for name, report in self._tasks.items() if report.outcome is Outcome.FAILED]
        assert self._session is not None
        return self._session.plan.root_causes(planned.name, failed)

    def _write_log(self, planned: PlannedTask, result: StepResult) -> str:
        """Keep what the code under test printed; the path of the log from the root, or nothing."""
        assert self._session is not None
        if not result.output.strip():
            return ""
        path = self._session.layout.log(planned.name)
        text = "\n".join([*(str(problem) for problem in errors(result.problems)), "", result.output])
        write_atomically(path, text.encode("utf-8", errors="replace"))
        return self._session.layout.relative(path)


def _planned(task: Any) -> PlannedTask | None:
    return CourseTask.of(task).step.task if task.meta else None


def _remembered(values: Mapping[str, Any], outcome: Outcome) -> TaskReport:
    return TaskReport(
        outcome,
        values["seconds"],
        tuple(Problem.from_json(problem) for problem in values["problems"]),
        notes=tuple(values["notes"]) if outcome is Outcome.RAN else (),
    )


def _wanted(session: Session, tasks: Mapping[str, Any], selected: Iterable[str]) -> list[str]:
    """The names of the course's tasks that a run of `selected` comes to."""
    waiting, seen = list(selected), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen and name in tasks:
            seen.add(name)
            waiting.extend(tasks[name].task_dep)
    return [task.name for task in session.plan.tasks if task.name in seen and not task.is_goal]


def _end_cleanly_on_signals() -> None:
    """SIGTERM ends a run as Ctrl-C does, and neither shows a traceback."""
    if threading.current_thread() is not threading.main_thread():
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            print("interrupted; the package is as the last complete step left it", file=sys.stderr)
        else:
            before(kind, error, trace)

    sys.excepthook = hook
