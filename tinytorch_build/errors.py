"""The exceptions that `tinytorch_build` raises for faults that a user can cure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinytorch_build.model import Problem


class CourseError(Exception):
    """Base of every error whose message is meant for the user; anything else is a bug of ours."""


class ManifestError(CourseError):
    """The manifest cannot be used.

    Attributes:
        problems: everything that is wrong with it, in the order of the file.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        heading = f"modules.toml has {count} problem{'s' if count != 1 else ''}:"
        return "\n".join([heading, *(f"  {problem}".replace("\n", "\n  ") for problem in self.problems)])


class PublishError(CourseError):
    """The package could not be put in place; the one that stood there still stands."""


class WorkerUnavailable(CourseError):
    """No isolated process could be started, so nothing can be said about the code."""
