"""A line of attempts, each of which rests on those before it: the first that fails ends the line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tinytorch_build.model import Problem

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


class AttemptFailed(Exception):
    """An attempt found something that keeps students from working.

    Attributes:
        problems: what it found.
        output: what the program said that found it.
    """

    def __init__(self, *problems: Problem, output: str = "") -> None:
        super().__init__(problems[0].message)
        self.problems = problems
        self.output = output


class NotApplicable(Exception):
    """There is nothing to attempt; the message says why."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Something to try.

    Attributes:
        what: it in a few words, as the report shows it.
        act: tries it, and returns a remark on how it went.
    """

    what: str
    act: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of an attempt.

    Attributes:
        what: the attempt in a few words.
        outcome: `passed`, `failed`, or `skipped` if one before it failed or there was nothing to try.
        seconds: wall-clock time that it took.
        note: a remark, or why it was skipped.
    """

    what: str
    outcome: str
    seconds: float
    note: str

    def to_json(self) -> Mapping[str, Any]:
        return {
            "what": self.what,
            "outcome": self.outcome,
            "seconds": round(self.seconds, 3),
            "note": self.note,
        }


@dataclass
class Line:
    """What became of a line of attempts.

    Attributes:
        tried: each attempt, in order.
        problems: what the one that failed found.
        output: what it said.
    """

    tried: list[Tried] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    output: str = ""


def attempt_all(attempts: Iterable[Attempt]) -> Line:
    """Try one thing after the other; what comes after a failure, or after nothing to try, is skipped."""
    line = Line()
    why = ""
    for attempt in attempts:
        if why:
            line.tried.append(Tried(attempt.what, SKIPPED, 0.0, why))
            continue
        began = time.perf_counter()
        try:
            outcome, note = PASSED, attempt.act()
        except NotApplicable as reason:
            outcome, note, why = SKIPPED, str(reason), str(reason)
        except AttemptFailed as failure:
            outcome, note = FAILED, str(failure)
            why = f"because this failed: {attempt.what}"
            line.problems += failure.problems
            line.output = failure.output
        line.tried.append(Tried(attempt.what, outcome, time.perf_counter() - began, note))
    return line
