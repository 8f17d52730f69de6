"""Inline cells: the code cells of a source run in one process, from the first to the last."""

from __future__ import annotations

from dataclasses import dataclass

from tinytorch_build.literate import Document
from tinytorch_build.model import Limits, Problem
from tinytorch_build.stages.findings import (
    Blame,
    Locate,
    Place,
    StageFindings,
    blame,
    cure_for,
    first_line,
    log_of,
    unmet_dependency,
)
from tinytorch_build.stages.inside_cells import CodeCell, run_cells
from tinytorch_build.workers import Failure, FailureKind, Job, View, Workers


@dataclass(frozen=True, slots=True)
class CellsRequest:
    """The cells of a module to be run.

    Attributes:
        module: the module's name in the manifest.
        source: path of its source from the course's root.
        cells: the code cells to run, in the order of the source.
        view: what can be imported of the package.
        limits: what the process may use.
        locate: from a line of a staged file to a line of its source.
    """

    module: str
    source: str
    cells: tuple[CodeCell, ...]
    view: View
    limits: Limits
    locate: Locate


def runnable_cells(document: Document) -> tuple[CodeCell, ...]:
    """The code cells of a source that are to be run: those without `#| eval: false`."""
    return tuple(CodeCell(cell.source, cell.line) for cell in document.code_cells if cell.evaluated)


def run_inline_cells(workers: Workers, request: CellsRequest) -> StageFindings:
    """Run cells top to bottom in one namespace; the first that fails is a problem, and ends the run."""
    if not request.cells:
        return StageFindings()
    limits = request.limits
    call = (request.source, request.cells)
    result = workers.run(Job(run_cells, call, limits.test_seconds, limits.memory_mb, request.view))
    problems: tuple[Problem, ...] = ()
    if result.failure is not None:
        problems = (_failed(request, result.failure),)
    elif result.value != len(request.cells):
        message = f"{result.value} of {len(request.cells)} cells ran to their end"
        problems = (Problem("inline-cell", message, request.source),)
    return StageFindings(problems, result.seconds, log_of(result.output, result.failure))


def _failed(request: CellsRequest, failure: Failure) -> Problem:
    found = _blame(request, failure)
    cure = ""
    unmet = unmet_dependency(failure.error, request.view, request.module)
    if unmet is not None:
        check, (message, cure) = "dependency-not-satisfied", unmet
    elif failure.kind is FailureKind.RAISED:
        check = "inline-cell"
        text = found.text or _text_at(request, found.place.line if found.place else 0)
        message = f"{first_line(str(failure.error))}, at `{text}`"
    else:
        check, cure = f"inline-cell-{failure.kind}", cure_for(failure, "test-seconds")
        at = f", at `{found.text}`" if found.text else ""
        message = f"{failure.doing.what if failure.doing else 'the run of the cells'} {failure.detail}{at}"
    file, line = (found.place.file, found.place.line) if found.place else (request.source, None)
    return Problem(check, message + found.note(failure.kind), file, line, cure)


def _blame(request: CellsRequest, failure: Failure) -> Blame:
    """The line of a cell that failed; where no traceback says so, the first line of the cell."""

    def locate(file: str, line: int) -> tuple[str, int] | None:
        return (file, line) if file == request.source else request.locate(file, line)

    doing = failure.doing
    lines = _lines_of_cell(request, doing.line if doing else None)
    found = blame(failure.frames, lambda place: place.file == request.source and place.line in lines, locate)
    if found.place is None and doing and doing.file and doing.line:
        return Blame(Place(doing.file, doing.line))
    if found.place is not None and found.place.file == request.source and not found.text:
        return Blame(found.place, _text_at(request, found.place.line), found.origin)  # a crash leaves no text
    return found


def _lines_of_cell(request: CellsRequest, line: int | None) -> range:
    """The lines of the cell that begins at some line."""
    cell = next((cell for cell in request.cells if cell.line == line), None)
    return range(cell.line, cell.line + cell.source.count("\n") + 1) if cell else range(0)


def _text_at(request: CellsRequest, line: int) -> str:
    for cell in request.cells:
        lines = cell.source.split("\n")
        if cell.line <= line < cell.line + len(lines):
            return lines[line - cell.line].strip()
    return ""
