"""What is checked of a source before it is converted and exported."""

from __future__ import annotations

from tinytorch_build.checks import Check, run_checks
from tinytorch_build.checks.cells import CELLS
from tinytorch_build.checks.directives import DIRECTIVES
from tinytorch_build.checks.encoding import ENCODING
from tinytorch_build.checks.header import has_readable_header
from tinytorch_build.checks.naming import NAMING
from tinytorch_build.checks.source import SourceUnderCheck
from tinytorch_build.literate import UnreadableSource, document_of
from tinytorch_build.model import CourseModule, Manifest, Problem

BEFORE_EXPORT: tuple[Check[SourceUnderCheck], ...] = (has_readable_header, *DIRECTIVES, *CELLS, *NAMING)
"""The checks of a source whose bytes are sound and whose cells can be told apart."""


def check_before_export(manifest: Manifest, module: CourseModule, raw: bytes) -> list[Problem]:
    """Everything that is wrong with a source, by itself and as the manifest's module.

    Args:
        manifest: the course.
        module: the module whose source it is.
        raw: the bytes of the source.
    """
    for check in ENCODING:
        problems = check(SourceUnderCheck(manifest, module, raw))
        if problems:
            return problems
    try:
        document = document_of(raw, module.source)
    except UnreadableSource as error:
        return [error.problem]
    return run_checks(BEFORE_EXPORT, SourceUnderCheck(manifest, module, raw, document))
