"""A course's own checks: plain functions from its `dodo.py`, run in an isolated process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tinytorch_build.model import Limits, Problem
from tinytorch_build.stages.findings import StageFindings, log_of
from tinytorch_build.workers import Job, Workers


@dataclass(frozen=True, slots=True)
class CustomCheckInput:
    """What a course's own check is given: text, since the check runs in another process.

    Attributes:
        module: the module's name.
        source: POSIX path of its literate source from the course's root.
        source_text: what that file holds.
        export_text: the module that was exported from it.
    """

    module: str
    source: str
    source_text: str
    export_text: str


CustomCheck = Callable[[CustomCheckInput], Sequence[Problem]]
"""A function from a module's texts to what is wrong with them."""


def name_of(check: CustomCheck) -> str:
    """What messages call a check."""
    return str(getattr(check, "__qualname__", check))


def run_custom_checks(
    workers: Workers, checks: Sequence[CustomCheck], given: CustomCheckInput, limits: Limits
) -> StageFindings:
    """Run the checks one after another; one that does not come to an end is a problem itself.

    Args:
        workers: the isolated processes.
        checks: the course's checks.
        given: what each of them looks at.
        limits: those of the module; a check gets the time of an import.
    """
    problems: list[Problem] = []
    seconds, output = 0.0, ""
    for check in checks:
        job = Job(_call, (check, given), limits.import_seconds, limits.memory_mb)
        result = workers.run(job)
        seconds += result.seconds
        output += log_of(result.output, result.failure)
        if result.failure is not None:
            problems.append(
                Problem(
                    "custom-check",
                    f"the course's own check {name_of(check)} {result.failure.detail}",
                    given.source,
                    cure="mend the check in dodo.py; the log has its traceback",
                )
            )
        elif result.value is not None:
            problems += result.value
    return StageFindings(tuple(problems), seconds, output)


def _call(check: CustomCheck, given: CustomCheckInput) -> list[Problem]:
    """In the worker: call a check, and see that it says what a check says."""
    found = list(check(given))
    for problem in found:
        if not isinstance(problem, Problem):
            raise TypeError(f"a check returns a list of Problem, but this one holds {problem!r}")
    return found
