"""What is checked of an export before it is imported."""

from __future__ import annotations

from tinytorch_build.checks import Check, run_checks
from tinytorch_build.checks.dependencies import (
    declared_modules_are_used,
    imports_are_declared,
    inline_imports_are_declared,
    versions_are_met,
)
from tinytorch_build.checks.export import ExportUnderCheck
from tinytorch_build.checks.fallbacks import imports_are_plain, missing_modules_are_not_hidden
from tinytorch_build.checks.fidelity import check_fidelity
from tinytorch_build.checks.lint import compiles, names_are_sound
from tinytorch_build.checks.public import (
    names_are_its_own,
    provides_what_it_promises,
    public_names_have_docstrings,
)
from tinytorch_build.checks.third_party import third_party_imports_are_declared
from tinytorch_build.model import Problem

__all__ = ["AFTER_EXPORT", "ExportUnderCheck", "check_after_export", "check_fidelity"]

AFTER_EXPORT: tuple[Check[ExportUnderCheck], ...] = (
    names_are_sound,
    missing_modules_are_not_hidden,
    imports_are_plain,
    imports_are_declared,
    inline_imports_are_declared,
    versions_are_met,
    third_party_imports_are_declared,
    provides_what_it_promises,
    names_are_its_own,
    declared_modules_are_used,
    public_names_have_docstrings,
)
"""The checks of an export that compiles."""


def check_after_export(export: ExportUnderCheck) -> list[Problem]:
    """Everything that is wrong with an export, by itself and beside the other modules.

    Args:
        export: the export, with the manifest, its source, and the names that are taken.

    Raises:
        RuffError: ruff could not be run.
    """
    return compiles(export) or run_checks(AFTER_EXPORT, export)
