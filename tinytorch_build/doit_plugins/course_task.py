"""What a doit task of a course carries: its step, and the two objects that tie the step to doit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinytorch_build.doit_plugins.action import CleanAction, Freshness, StepAction
from tinytorch_build.plan import PlannedTask
from tinytorch_build.session import Session
from tinytorch_build.steps import Step, step_for

_META = "tinytorch_build"


@dataclass(frozen=True, slots=True)
class CourseTask:
    """A step and its ties to doit; found again in a doit task's `meta`."""

    session: Session
    step: Step
    freshness: Freshness
    action: StepAction

    def __repr__(self) -> str:
        return f"<{self.step.task.name} of {self.session.layout.root}>"

    @classmethod
    def of(cls, task: Any) -> CourseTask:
        """What a doit task carries.

        Raises:
            KeyError: it is no task of a course.
        """
        carried = task.meta[_META]
        assert isinstance(carried, cls)
        return carried

    @classmethod
    def make(cls, session: Session, planned: PlannedTask) -> CourseTask:
        step = step_for(session, planned)
        freshness = Freshness(step)
        return cls(session, step, freshness, StepAction(step, freshness))

    def to_doit(self) -> dict[str, Any]:
        """The dictionary from which doit makes its task."""
        basename, _, name = self.step.task.name.partition(":")
        named = {"name": name} if name else {}
        return {
            "basename": basename,
            **named,
            "doc": self.step.task.doc,
            "actions": [self.action],
            "file_dep": [str(path) for path in self.step.reads()],
            "targets": [str(path) for path in self.step.writes()],
            "task_dep": list(self.step.task.needs),
            "uptodate": [self.freshness],
            "clean": [CleanAction(self.step)],
            "meta": {_META: self},
        }
