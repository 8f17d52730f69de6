"""Import check: a module is imported alone in a process, from its staged file and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tinytorch_build.model import Limits, Problem, Severity
from tinytorch_build.stages.findings import (
    Locate,
    StageFindings,
    blame,
    cure_for,
    first_line,
    in_file,
    log_of,
    unmet_dependency,
)
from tinytorch_build.stages.inside_import import ImportFacts, Said, import_alone
from tinytorch_build.workers import Failure, FailureKind, Job, View, Workers


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """A module to be imported.

    Attributes:
        module: its name in the manifest.
        dotted: its full import name.
        view: what can be imported of the package; holds the module itself.
        limits: what the process may use.
        locate: from a line of a staged file to a line of its source.
        source: path of the module's source from the course's root.
    """

    module: str
    dotted: str
    view: View
    limits: Limits
    locate: Locate
    source: str


def check_import(workers: Workers, request: ImportRequest) -> StageFindings:
    """Import a module and say what is wrong with it.

    Errors: the import fails, takes too long, or brings down its process; the module comes from another
    place; a name in `__all__` does not resolve. Warnings: it prints or warns while it is imported.
    """
    limits = request.limits
    result = workers.run(
        Job(import_alone, (request.dotted,), limits.import_seconds, limits.memory_mb, request.view)
    )
    if result.failure is not None:
        problems = [_failed(request, result.failure)]
    else:
        assert result.value is not None
        problems = list(_of_facts(request, result.value, result.output))
    return StageFindings(tuple(problems), result.seconds, log_of(result.output, result.failure))


def _failed(request: ImportRequest, failure: Failure) -> Problem:
    """The problem of an import that brought no result."""
    found = blame(failure.frames, in_file(request.source), request.locate)
    unmet = unmet_dependency(failure.error, request.view, request.module, exported=True)
    if unmet is not None:
        check, (message, cure) = "dependency-not-satisfied", unmet
    elif failure.kind is FailureKind.RAISED:
        check, cure = "import-error", ""
        message = f"importing {request.dotted} raises {first_line(str(failure.error))}"
    else:
        check, cure = f"import-{failure.kind}", cure_for(failure, "import-seconds")
        during = (
            f", in {failure.doing.what}," if failure.doing and failure.doing.what != _doing(request) else ""
        )
        message = f"the import of {request.dotted}{during} {failure.detail}"
    file, line = (found.place.file, found.place.line) if found.place else (request.source, None)
    return Problem(check, message + found.note(failure.kind), file, line, cure)


def _doing(request: ImportRequest) -> str:
    return f"the import of {request.dotted}"


def _of_facts(request: ImportRequest, facts: ImportFacts, output: str) -> Iterator[Problem]:
    expected = request.view.modules[request.dotted].path
    if facts.origin != expected:
        message = f"{request.dotted} was imported from {facts.origin}, not from its staged file"
        yield Problem("import-origin", message, request.source)
    if facts.has_odd_all:
        yield Problem("import-all", f"__all__ of {request.dotted} is no list of names", request.source)
    for name in facts.missing:
        yield Problem(
            "import-all",
            f"{request.dotted} names {name!r} in __all__ and does not define it",
            request.source,
            cure="define it in an exported cell, or correct its name",
        )
    yield from _printed(request, facts, output)
    yield from _warned(request, facts)


def _printed(request: ImportRequest, facts: ImportFacts, output: str) -> Iterator[Problem]:
    if not output.strip():
        return
    said = facts.printed or Said(output, ())
    found = blame(said.frames, in_file(request.source), request.locate)
    where = found.origin or found.place
    if where and where.file != request.source:
        return  # another module prints: its own check says so
    yield Problem(
        "import-prints",
        f"importing {request.dotted} prints {first_line(said.text)!r}",
        request.source,
        found.place.line if found.place else None,
        "move it into a cell that is not exported, or into a function",
        Severity.WARNING,
    )


def _warned(request: ImportRequest, facts: ImportFacts) -> Iterator[Problem]:
    for said in facts.warned:
        found = blame(said.frames, in_file(request.source), request.locate)
        if found.place and found.place.file == request.source:
            yield Problem(
                "import-warns",
                f"importing {request.dotted} gives {first_line(said.text)}",
                found.place.file,
                found.place.line,
                severity=Severity.WARNING,
            )
