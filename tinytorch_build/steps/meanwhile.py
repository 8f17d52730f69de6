"""What somebody has saved while a run went on: the run has checked what stood there before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tinytorch_build.session import Session
from tinytorch_build.steps.base import GateStep, Step
from tinytorch_build.test_files import find_test_files


def saved_meanwhile(session: Session, checked: Iterable[tuple[Step, Mapping[str, str]]]) -> list[str]:
    """The files that a run rests on and that are not as it has read them.

    Args:
        session: the run.
        checked: the steps that are through, each with its inputs as they were before its work.

    Returns:
        paths from the course's root; tests that came or went are among them.

    Raises:
        CourseError: the course's tests cannot be found any more.
        OSError: a folder cannot be read.
    """
    found = [*session.changed_declarations(), *(module.source for module in session.changed_since())]
    for step, before in checked:
        if isinstance(step, GateStep):
            found += step.changed_files(before)
    planned = {task.test_file.path for task in session.plan.tasks if task.test_file is not None}
    found += sorted(planned ^ {file.path for file in find_test_files(session.manifest)})
    return list(dict.fromkeys(found))
