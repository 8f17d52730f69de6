"""What a report shows beside its values, read from the course: ends of logs, source lines, docstrings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tinytorch_build.layout import Layout
from tinytorch_build.model import CourseModule, Manifest, Problem, Stage
from tinytorch_build.report.outcome import Report
from tinytorch_build.report.overview import GOOD
from tinytorch_build.report.pages.docstrings import Coverage, docstring_coverage

LOG_BYTES = 12_000
"""How much of the end of a log is shown."""

_LARGEST_SOURCE = 4_000_000
_AROUND = 2


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a source.

    Attributes:
        number: counted from 1.
        text: without its end.
        is_it: whether the problem is about this line.
    """

    number: int
    text: str
    is_it: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """What there is beside the report.

    Attributes:
        logs: the end of each log, by its path from the root.
        excerpts: the lines around each problem's line, by file and line.
        docstrings: docstring coverage of each module that has an export.
    """

    logs: Mapping[str, str] = field(default_factory=dict)
    excerpts: Mapping[tuple[str, int], tuple[Line, ...]] = field(default_factory=dict)
    docstrings: Mapping[str, Coverage] = field(default_factory=dict)


def gather(layout: Layout, manifest: Manifest, report: Report) -> Evidence:
    """Read what belongs to a report. What is not there, or is no text, is left out."""
    logs = {task.log: _log_end(layout.root / task.log) for task in report.tasks if task.log}
    coverage = {module.name: _docstrings(layout, module, report) for module in manifest.modules}
    return Evidence(
        {path: text for path, text in logs.items() if text},
        dict(_excerpts(layout.root, report)),
        {name: found for name, found in coverage.items() if found is not None},
    )


def _log_end(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - LOG_BYTES, 0))
            end = file.read(LOG_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""
    if size <= LOG_BYTES:
        return end
    _, _, whole_lines = end.partition("\n")
    return f"… {size - LOG_BYTES} bytes before this are in the file …\n{whole_lines or end}"


def _docstrings(layout: Layout, module: CourseModule, report: Report) -> Coverage | None:
    """Of the export that this run found valid, else of the published one."""
    staged, published = layout.staged(module), layout.published / f"{module.target.replace('.', '/')}.py"
    exported = report.modules[module.name].stages[Stage.EXPORT].outcome in GOOD
    for path in (staged, published) if exported else (published, staged):
        text = _text(path)
        if text is not None:
            return docstring_coverage(text)
    return None


def _excerpts(root: Path, report: Report) -> Iterator[tuple[tuple[str, int], tuple[Line, ...]]]:
    texts: dict[str, list[str]] = {}
    for problem in (*report.problems, *(problem for task in report.tasks for problem in task.problems)):
        if problem.file is None or problem.line is None:
            continue
        if problem.file not in texts:
            texts[problem.file] = _lines_inside(root, problem)
        lines = texts[problem.file]
        if 1 <= problem.line <= len(lines):
            first, last = max(problem.line - _AROUND, 1), min(problem.line + _AROUND, len(lines))
            yield (
                (problem.file, problem.line),
                tuple(
                    Line(number, lines[number - 1], number == problem.line)
                    for number in range(first, last + 1)
                ),
            )


def _lines_inside(root: Path, problem: Problem) -> list[str]:
    """The lines of a problem's file, if it lies in the course; a message may name any path at all."""
    path = root / str(problem.file)
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, ValueError):
        return []
    text = _text(path) if inside else None
    return [] if text is None else text.split("\n")


def _text(path: Path) -> str | None:
    """The text of a file; None if there is none, or none of reasonable size."""
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_SOURCE:
            return None
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return None
