"""Checks: small functions, each of which looks at one thing and returns the problems it finds.

To add a check, write a function that takes the value under check and returns a list of `Problem`, and put it
into the list of its moment:

    def no_print(export: ExportUnderCheck) -> list[Problem]: ...     # in a module of this folder
    AFTER_EXPORT = (..., no_print)                                   # in after_export.py

`before_export.BEFORE_EXPORT` holds the checks of a source, `after_export.AFTER_EXPORT` those of an export.
Both values make problems by their `problem` method, which knows the file and, for an export, turns the line
into that of the source. A check's name is in kebab-case; its message says in one sentence without a full stop
what was found, and its cure what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from tinytorch_build.model import Problem

Subject = TypeVar("Subject")
Subject_contra = TypeVar("Subject_contra", contravariant=True)


class Check(Protocol[Subject_contra]):
    """A function that looks at one thing."""

    def __call__(self, subject: Subject_contra, /) -> list[Problem]:
        """The problems found; none if all is well. Neither prints nor raises for what the user can cure."""


def run_checks(checks: Iterable[Check[Subject]], subject: Subject) -> list[Problem]:
    """The problems that some checks find, in the order of their lines; those without a line come first."""
    found = [problem for check in checks for problem in check(subject)]
    return sorted(found, key=lambda problem: problem.line or 0)
