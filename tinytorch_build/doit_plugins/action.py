"""Between doit and a step: when it is current, and how it is run."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from doit.action import BaseAction
from doit.dependency import UptodateCalculator
from doit.exceptions import TaskError, TaskFailed

from tinytorch_build.doit_plugins.backend import SqliteBackend
from tinytorch_build.errors import CourseError
from tinytorch_build.model import Problem, errors
from tinytorch_build.refusals import Refusal, is_refusal
from tinytorch_build.session import at_work
from tinytorch_build.steps import Step, StepResult, timed


class StepFailed(TaskFailed):  # type: ignore[misc]  # doit has no types
    """A step that found an error; its result reaches the reporter without a traceback."""

    def __init__(self, result: StepResult, seconds: float) -> None:
        super().__init__("\n".join(str(problem) for problem in errors(result.problems)))
        self.result = result
        self.seconds = seconds


class StepBroken(TaskError):  # type: ignore[misc]  # doit has no types
    """A step that ended by an exception: a bug of the build, shown as one."""

    def __init__(self, step: Step, error: BaseException, trace: str) -> None:
        problem = Problem(
            "internal-error",
            f"the build itself failed in {step.task.name}: {type(error).__name__}: {error}",
            cure="please report this with the traceback in the log",
        )
        super().__init__(str(problem))
        self.result = StepResult((problem,), output=trace)
        self.seconds = 0.0


class Freshness(UptodateCalculator):  # type: ignore[misc]  # doit has no types
    """Whether a step is current: same inputs, its outputs as it left them, its passes in the ledger."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self._step = step
        self._dependencies: Any = None
        self.values: dict[str, Any] = {}
        """What the last success saved: inputs, outputs, facts, problems, seconds."""

    def setup(self, dep_manager: Any, tasks_dict: Mapping[str, Any]) -> None:
        super().setup(dep_manager, tasks_dict)
        self._dependencies = dep_manager

    def __call__(self, task: Any, values: dict[str, Any]) -> bool:
        self.values = values
        try:
            current = (
                values.get("inputs") == self._step.inputs()
                and values.get("outputs") == self._step.outputs()
                and self._step.is_backed(values["inputs"])
            )
            if current:
                self._step.recall(values["facts"])
        except (CourseError, OSError):
            return False  # when the step runs, it comes upon the same, and says so
        return current

    def drop_record(self) -> None:
        """Forget the last success before the work begins: a run that is killed must not look current."""
        if self._dependencies is not None:
            self._dependencies.remove(self._step.task.name)

    def restore_record_of(self, task: str) -> None:
        """Keep the last success of a task that is only blocked: it may be current once nothing blocks it.

        Args:
            task: its name. doit tells its database only to those that it asks whether they are current, which
                a blocked one never is; so another one has to speak for it.
        """
        backend = getattr(self._dependencies, "backend", None)
        if isinstance(backend, SqliteBackend):
            backend.restore(task)

    @property
    def knows_database(self) -> bool:
        return self._dependencies is not None


class StepAction(BaseAction):  # type: ignore[misc]  # doit has no types
    """The one action of a task: run its step and turn what it says into doit's terms."""

    def __init__(self, step: Step, freshness: Freshness) -> None:
        self._step = step
        self._freshness = freshness
        self.task: Any = None
        self.out: str | None = None
        self.err: str | None = None
        self.result: Any = None
        self.values: dict[str, Any] = {}

    def __str__(self) -> str:
        return f"step {self._step.task.name}"

    def execute(self, out: Any = None, err: Any = None) -> StepFailed | StepBroken | None:
        try:
            return self._execute()
        except CourseError as error:
            return StepFailed(StepResult((Problem("build", str(error)),)), 0.0)
        except OSError as error:
            if not is_refusal(error):
                return StepBroken(self._step, error, traceback.format_exc())
            problem = Refusal.of(error, self._step.session.layout.root).problem("the system refuses")
            return StepFailed(StepResult((problem,), output=traceback.format_exc()), 0.0)
        except Exception as error:  # every fault of a step ends here, and is shown as ours, not hidden
            return StepBroken(self._step, error, traceback.format_exc())

    def _execute(self) -> StepFailed | None:
        self._step.session.open("doit")  # where another reporter runs than ours, nobody has opened it
        before = self._step.inputs()
        self._freshness.drop_record()
        result, seconds = timed(self._step)
        changed = self._step.changed_files(before)
        if changed and result.passed:
            result = _with_change(result, changed)
        if not result.passed:
            return StepFailed(result, seconds)
        self._step.finish(before, result)
        self.values = {
            "inputs": before,
            "outputs": self._step.outputs(),
            "facts": dict(result.facts),
            "details": dict(result.details),
            "problems": [problem.to_json() for problem in result.problems],
            "seconds": round(seconds, 4),
        }
        return None


class CleanAction(BaseAction):  # type: ignore[misc]  # doit has no types
    """Remove what a step makes, unless a run is under way that may be reading it."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self.task: Any = None

    def __str__(self) -> str:
        names = [self._step.session.layout.relative(path) for path in self._step.writes()]
        return f"remove {', '.join(names) or 'nothing'}"

    def execute(self, out: Any = None, err: Any = None) -> None:
        try:
            with at_work(self._step.session.layout, "doit clean") as told:
                for said in (*told, *self._step.keep_before_clean()):
                    print(said)
                for path in self._step.writes():
                    path.unlink(missing_ok=True)
        except CourseError as error:
            raise SystemExit(f"ERROR: {error}") from None  # doit would print any other and end with status 0
        except OSError as error:
            raise SystemExit(f"ERROR: {Refusal.of(error, self._step.session.layout.root)}") from None


def changed_meanwhile(changed: Sequence[str], how: str) -> Problem:
    """The problem of files that somebody has saved during the run."""
    return Problem("changed-meanwhile", f"{', '.join(changed)} changed {how}", cure="run the command again")


def _with_change(result: StepResult, changed: list[str]) -> StepResult:
    problem = changed_meanwhile(changed, "while it was being checked")
    return StepResult((*result.problems, problem), output=result.output, details=result.details)
