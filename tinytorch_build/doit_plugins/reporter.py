"""doit's reporter of a course: opens and closes the session, shows the run, and writes the report."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import FrameType, TracebackType
from typing import Any, TextIO

from doit.exceptions import InvalidTask

from tinytorch_build.doit_plugins.action import Freshness, changed_meanwhile
from tinytorch_build.doit_plugins.course_task import CourseTask
from tinytorch_build.errors import CourseError
from tinytorch_build.files import withdraw, write_atomically
from tinytorch_build.model import Outcome, Problem, Severity, errors
from tinytorch_build.plan import REPORT, PlannedTask
from tinytorch_build.refusals import Refusal
from tinytorch_build.report.outcome import Report, TaskReport, assemble, write_report
from tinytorch_build.report.terminal import display_for
from tinytorch_build.run_lock import CourseBusy
from tinytorch_build.session import Session
from tinytorch_build.steps import Step, StepResult
from tinytorch_build.steps.meanwhile import saved_meanwhile

DOES_NOT_COUNT = "this run does not count; the reason is told above"


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
        self._wanted: list[str] = []
        self._page_is_wanted = False
        self._all: Mapping[str, Any] = {}
        self._ignored: list[str] = []
        self._speaker: Freshness | None = None
        self._restore: Callable[[], None] = _nothing
        self._outside: BaseException | None = None
        self._began = time.perf_counter()
        self.report: Report | None = None

    # -- the run as a whole

    def initialize(self, tasks: Mapping[str, Any], selected: Iterable[str]) -> None:
        """The run begins: take the course's lock and put right what an earlier run left half done."""
        self._all = tasks
        self._outside = sys.exception()
        self._session = next((CourseTask.of(task).session for task in tasks.values() if task.meta), None)
        if self._session is None:
            return
        try:
            self._open(self._session, tasks, selected)
        except CourseBusy as error:
            raise InvalidTask(str(error)) from error
        except (CourseError, OSError) as error:
            withdraw(self._session.layout.report)  # an earlier run's must not be taken for this one's
            with contextlib.suppress(OSError):
                self._session.close()
            raise InvalidTask(_told(error, self._session)) from error
        self._opened = True
        self._restore = _end_cleanly_on_signals()
        if errors(self._problems):  # which are told when the run ends, at once
            raise InvalidTask(f"{self._session.manifest.package.name}/ cannot be published to")
        for problem in self._problems:
            self._display.say(str(problem))
        self._display.begin(self._session.plan, self._wanted)

    def complete_run(self) -> None:
        """The run is over, if only by an interruption: write the report, end the workers, free the lock.

        Raises:
            InvalidTask: the report could not be written, or the run not be shown; doit ends with status 3.
        """
        session = self._session
        if session is None or not self._opened:
            return
        refused: list[str] = []
        try:
            self._report_on(session, refused)
        except (CourseError, OSError) as error:
            withdraw(session.layout.report)
            refused.append(_told(error, session))
        finally:
            try:
                session.close()
            except OSError as error:
                refused.append(_told(error, session))
            self._restore()
        if self._display.refused is not None:
            refused.append(f"standard output: {Refusal.of(self._display.refused, session.layout.root)}")
        if refused and sys.exception() is self._outside:  # else something else ends the run
            raise InvalidTask("\nERROR: ".join(dict.fromkeys(refused)))

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
        """The user has told doit to ignore the task, or one that it needs; it stays `not run`."""
        self._ignored.append(task.name)

    def add_failure(self, task: Any, fail: Any) -> None:
        planned = _planned(task)
        if planned is None:
            self._foreign_failure(task, fail)
            return
        if type(fail).__name__ == "UnmetDependency":
            self._restore_record(task.name)
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
            TaskReport(Outcome.FAILED, fail.seconds, tuple(result.problems), log=log, details=result.details),
        )

    def cleanup_error(self, exception: Any) -> None:
        self._display.say(exception.get_msg())

    def teardown_task(self, task: Any) -> None:
        """No task of a course has a teardown."""

    # -- inside

    def _open(self, session: Session, tasks: Mapping[str, Any], selected: Iterable[str]) -> None:
        """Open the session, and see which tasks the run comes to."""
        self._problems += session.open(" ".join(["doit", *sys.argv[1:]]))
        reached = _reached(tasks, selected)
        self._wanted = [task.name for task in session.plan.tasks if _counts(task, reached)]
        self._page_is_wanted = REPORT in reached
        # An earlier run's must not be taken for this one's, should this one be killed.
        session.layout.report.unlink(missing_ok=True)
        if self._page_is_wanted:
            session.layout.page.unlink(missing_ok=True)
            session.layout.junit.unlink(missing_ok=True)

    def _has_worked(self) -> bool:
        """Whether a task was executed: a run that only looked is over before anybody can save a file."""
        return any(report.outcome is Outcome.RAN for report in self._tasks.values())

    def _checked(self) -> Iterator[tuple[Step, Mapping[str, str]]]:
        """The steps that are through, each with its inputs as they were then."""
        for task in self._all.values():
            if task.meta:
                course_task = CourseTask.of(task)
                name = course_task.step.task.name
                outcome = self._tasks[name].outcome if name in self._tasks else Outcome.NOT_RUN
                if outcome is Outcome.RAN:
                    yield course_task.step, course_task.action.values["inputs"]
                elif outcome is Outcome.UP_TO_DATE:
                    yield course_task.step, course_task.freshness.values["inputs"]

    def _report_on(self, session: Session, refused: list[str]) -> None:
        """Put the report together, write and show it; what makes it worthless is added to `refused`."""
        saved = saved_meanwhile(session, self._checked()) if self._has_worked() else ()
        if saved:
            how = "while the run went on; what was checked is what stood there before"
            problem = changed_meanwhile(saved, how)
            self._problems.append(problem)
            refused.append(DOES_NOT_COUNT)
        if self._ignored:
            problem = _ignored_problem(self._all, self._ignored)
            self._problems.append(problem)
            refused.append(DOES_NOT_COUNT)
        report = assemble(
            session.manifest,
            session.plan,
            self._tasks,
            session.published_as_staged().difference(module.name for module in session.changed_since()),
            wanted=self._wanted,
            held=session.held,
            problems=self._problems,
            seconds=time.perf_counter() - self._began,
            finished=datetime.now(UTC),
        )
        self.report = report
        try:
            write_report(session.layout.report, report)
        except OSError as error:
            problem = Refusal.of(error, session.layout.root).problem("the report could not be written")
            refused.append(str(problem))
            self.report = replace(report, outcome=Outcome.FAILED, problems=(*report.problems, problem))
            withdraw(session.layout.report)
        failed = [name for name, task in self._tasks.items() if task.outcome is Outcome.FAILED]
        self._display.end(session.plan, report, failed, session.manifest.package.name)
        if self._page_is_wanted:
            self._write_pages(session, report)

    def _write_pages(self, session: Session, report: Report) -> None:
        from tinytorch_build.report.overview import in_text, overview
        from tinytorch_build.report.pages.files import write_pages  # other runs do not pay for it

        paths = write_pages(session.layout, session.manifest, session.plan, report)
        self._display.say("\n" + in_text(overview(session.manifest, session.plan, report)))
        self._display.say(f"the report is in {', '.join(session.relative(path) for path in paths)}")

    def _foreign_failure(self, task: Any, fail: Any) -> None:
        """A task of the course's own `dodo.py` has failed; a group that is only blocked says nothing."""
        if not task.actions and type(fail).__name__ == "UnmetDependency":
            return
        output = "".join(action.err or action.out or "" for action in task.actions).strip()
        said = f"task {task.name} failed: {fail.get_msg().strip()}"
        problem = Problem(
            "doit", f"{said}\n{output}" if output else said, cure="it is a task of dodo.py itself"
        )
        self._problems.append(problem)
        self._display.say(problem.message)

    def _restore_record(self, blocked: str) -> None:
        """What failed was asked whether it is current, so there is always one that knows the database."""
        if self._speaker is None:
            carried = (CourseTask.of(task).freshness for task in self._all.values() if task.meta)
            self._speaker = next((freshness for freshness in carried if freshness.knows_database), None)
        if self._speaker is not None:
            self._speaker.restore_record_of(blocked)

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
        try:
            write_atomically(path, text.encode("utf-8", errors="replace"))
        except OSError as error:
            refusal = Refusal.of(error, self._session.layout.root)
            problem = refusal.problem(f"the log of {planned.name} could not be written")
            self._problems.append(replace(problem, severity=Severity.WARNING))
            return ""
        return self._session.layout.relative(path)


def _told(error: CourseError | OSError, session: Session) -> str:
    return str(Refusal.of(error, session.layout.root) if isinstance(error, OSError) else error)


def _planned(task: Any) -> PlannedTask | None:
    return CourseTask.of(task).step.task if task.meta else None


def _remembered(values: Mapping[str, Any], outcome: Outcome) -> TaskReport:
    return TaskReport(
        outcome,
        values["seconds"],
        tuple(Problem.from_json(problem) for problem in values["problems"]),
        details=values["details"],
    )


def _reached(tasks: Mapping[str, Any], selected: Iterable[str]) -> set[str]:
    """The names of the tasks that a run of `selected` comes to."""
    waiting, seen = list(selected), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen and name in tasks:
            seen.add(name)
            waiting.extend(tasks[name].task_dep)
    return seen


def _counts(task: PlannedTask, reached: set[str]) -> bool:
    """Whether a run that comes to these tasks should have something to say of this one."""
    return task.name in reached and not task.is_goal


def _ignored_problem(tasks: Mapping[str, Any], ignored: Collection[str]) -> Problem:
    """That nothing can be said of tasks which doit was told to ignore, and of those that need them."""
    told = [name for name in ignored if not set(tasks[name].task_dep) & set(ignored)]
    return Problem(
        "ignored",
        f"doit has been told to ignore {', '.join(told)}, so nothing was done that needs it",
        cure=f"`doit forget {' '.join(told)}`, and run the command again",
    )


def _nothing() -> None:
    """There is nothing to restore."""


def _end_cleanly_on_signals() -> Callable[[], None]:
    """SIGTERM, and SIGHUP of a terminal that is closed, end a run as Ctrl-C does; none shows a traceback.

    Returns:
        what puts things back as they were, unless the run is just ending that way.
    """
    if threading.current_thread() is not threading.main_thread():
        return _nothing

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    hook_before = sys.excepthook
    numbers = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    handlers_before = {
        number: signal.signal(number, interrupt)
        for number in numbers
        if signal.getsignal(number) is not signal.SIG_IGN  # as `nohup` sets it
    }

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            print("interrupted; the package is as the last complete step left it", file=sys.stderr)
        else:
            hook_before(kind, error, trace)

    def restore() -> None:
        if not isinstance(sys.exception(), KeyboardInterrupt):
            for number, handler in handlers_before.items():
                signal.signal(number, handler)
            sys.excepthook = hook_before

    sys.excepthook = hook
    return restore
