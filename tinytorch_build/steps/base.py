"""A task as a step: what goes in, what it leaves behind, what it does."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tinytorch_build.files import digest_of
from tinytorch_build.model import CourseModule, Problem, errors
from tinytorch_build.plan import PlannedTask
from tinytorch_build.session import Session
from tinytorch_build.steps.guard import changes, watched


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step came to.

    Attributes:
        problems: what it found; one error is enough to fail it.
        facts: what later steps of the same and of later runs want to know of it.
        output: what the code under test printed, for the log.
        details: what it has to show beside its problems, as JSON; the report holds it.
    """

    problems: tuple[Problem, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    output: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not errors(self.problems)


class Step(ABC):
    """One task, seen from the build: doit asks it whether it is current, and runs it if not.

    `inputs` is the only description of what a step depends on: the fingerprint is its digest, and an
    explanation of why a step runs is the difference between two of them, so the two cannot drift apart.
    """

    runs_course_code = False

    def __init__(self, session: Session, task: PlannedTask) -> None:
        self.session = session
        self.task = task

    @abstractmethod
    def inputs(self) -> dict[str, str]:
        """Everything that goes into the step: a name for each, and its digest or plain value."""

    @abstractmethod
    def run(self) -> StepResult:
        """Do the work. Problems are returned; an exception is a bug of the build."""

    def outputs(self) -> dict[str, str]:
        """The files that the step leaves behind, with their digests: compared on the next run."""
        return {}

    def reads(self) -> tuple[Path, ...]:
        """Files that doit shall know the step reads."""
        return ()

    def writes(self) -> tuple[Path, ...]:
        """Files that doit shall know the step makes."""
        return ()

    def keep_before_clean(self) -> Iterator[str]:
        """Put aside what people have written where the step writes; sentences that say where it is kept."""
        yield from ()

    def is_backed(self, inputs: Mapping[str, str]) -> bool:
        """Whether what the step has put into the ledger for these inputs is still there."""
        return True

    def recall(self, facts: Mapping[str, str]) -> None:  # noqa: B027  # most steps need not
        """Take over the facts of an earlier run of this step, which is still current."""

    def finish(self, inputs: Mapping[str, str], result: StepResult) -> None:  # noqa: B027
        """Called after a success, with the inputs as they were before the work."""

    def changed_files(self, before: Mapping[str, str]) -> list[str]:
        """Names of inputs that are not what they were when the step began."""
        now = self.inputs()
        return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


class ModuleStep(Step):
    """A step that works for one module."""

    def __init__(self, session: Session, task: PlannedTask, module: CourseModule) -> None:
        super().__init__(session, task)
        self.module = module


class GateStep(Step):
    """A step that runs tests; a pass is recorded in the ledger under the fingerprint of its inputs."""

    runs_course_code = True

    def is_backed(self, inputs: Mapping[str, str]) -> bool:
        return self.session.ledger.holds(self.task.name, digest_of(dict(inputs)))

    def finish(self, inputs: Mapping[str, str], result: StepResult) -> None:
        self.session.ledger.record_gate(self.task.name, digest_of(dict(inputs)))


def timed(step: Step) -> tuple[StepResult, float]:
    """Run a step; its result, with what course code has changed meanwhile, and the seconds that it took."""
    began = time.perf_counter()
    before = watched(step.session) if step.runs_course_code else None
    try:
        result = step.run()
    except BaseException:
        if before is not None:
            list(changes(step.session, before, step.task.name))  # puts right what course code has changed
        raise
    if before is not None:
        found = tuple(changes(step.session, before, step.task.name))
        result = replace(result, problems=(*result.problems, *found))
    return result, time.perf_counter() - began
