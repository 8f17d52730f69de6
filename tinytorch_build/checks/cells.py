"""Checks of a source's cells: whether jupytext divides it where its author did, and each is Python."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tinytorch_build.checks.source import ParsedCell, SourceUnderCheck
from tinytorch_build.literate import Cell, parse_code
from tinytorch_build.literate.percent import markers
from tinytorch_build.model import Problem

_OPTION = re.compile(r"\b(active|cell_type|language|nbdev|run_control)\b\"?\s*[=:]|\b(active-[\w-]+)")
_MARKER_LINE = re.compile(r"#\s*%%(\s|$)")
_REACH = 6
"""How many cells a block that was cut by `# %%` lines may span to be recognised as one."""


def cells_parse(source: SourceUnderCheck) -> list[Problem]:
    """Every code cell is Python, but for Jupyter commands; no `# %%` cuts a block or statement in two."""
    blocks = list(_cut_blocks(source))
    marks = {cell.marker for block in blocks for cell in block[1:]}
    cut = {cell.line for block in blocks for cell in block}
    problems = [
        source.problem(
            "cell-marker-in-block",
            "this `# %%` ends a cell in the middle of a block, and nbdev drops what follows",
            mark,
            "take it out, or write the lines below it as a block of their own",
        )
        for mark in marks
    ]
    problems += [
        _syntax_error(source, parsed, parsed.error)
        for parsed in source.code
        if parsed.error is not None and parsed.cell.line not in cut
    ]
    return problems


def _cut_blocks(source: SourceUnderCheck) -> Iterator[Sequence[Cell]]:
    """Groups of neighbouring cells that are Python together, while one of them alone is not."""
    if not source.path.endswith(".py"):
        return
    lines, cells = source.text.split("\n"), source.cells
    broken = {parsed.cell.line for parsed in source.code if parsed.error is not None}
    broken.update(
        cell.line for cell in cells if cell.stray is not None and lines[cell.stray - 1][:1].isspace()
    )
    for index in (index for index, cell in enumerate(cells) if cell.line in broken):
        backward = ((start, index) for start in range(index - 1, max(index - _REACH, 0) - 1, -1))
        forward = ((index, end) for end in range(index + 1, min(index + _REACH, len(cells))))
        for start, end in (*backward, *forward):
            if cells[start].kind == "code" and _parse_together(cells, start, end, lines):
                yield cells[start : end + 1]
                break


def _parse_together(cells: Sequence[Cell], start: int, end: int, lines: Sequence[str]) -> bool:
    following = cells[end + 1].marker if end + 1 < len(cells) else None
    last = len(lines) if following is None else following - 1
    try:
        parse_code("\n".join(lines[cells[start].line - 1 : last]))
    except SyntaxError:
        return False
    return True


def _syntax_error(source: SourceUnderCheck, parsed: ParsedCell, error: SyntaxError) -> Problem:
    cell = parsed.cell
    line = cell.line + (error.lineno or 1) - 1
    swallowed = [
        cell.line + offset for offset, text in enumerate(cell.source.split("\n")) if _MARKER_LINE.match(text)
    ]
    cure = ""
    if swallowed:
        cure = f"close the string that the `# %%` of line {swallowed[0]} has become a part of"
    # Python counts the lines that its message names from the top of the cell.
    reason = re.sub(r"(?<=\bline )\d+", lambda number: str(cell.line + int(number[0]) - 1), error.msg)
    return source.problem("syntax-error", f"this cell is not valid Python: {reason}", line, cure)


def no_marker_is_indented(source: SourceUnderCheck) -> list[Problem]:
    """jupytext begins a cell at an indented `# %%` too, in the middle of whatever stands around it."""
    if source.document is None or not source.path.endswith(".py"):
        return []
    inside = [range(cell.line, cell.last_line + 1) for cell in source.cells if cell.kind == "code"]
    return [
        source.problem(
            "cell-marker-in-block",
            "this indented comment ends a cell in the middle of a block, and nbdev drops what follows",
            mark.line,
            "take it out, or reword it",
        )
        for mark in markers(source.text)
        if mark.indented and any(mark.line in lines for lines in inside)
    ]


def prose_holds_no_code(source: SourceUnderCheck) -> list[Problem]:
    """Code in a cell of prose, or between its ``` and the next one, is prose to jupytext."""
    cut = {cell.line for block in _cut_blocks(source) for cell in block}
    problems = []
    for cell in source.cells:
        if cell.stray is not None and cell.line not in cut:
            message = "jupytext takes this line for prose, as it does all text of a markdown cell"
            cure = "write `# %%` above it, so that it becomes a code cell"
            problems.append(source.problem("code-in-prose", message, cell.stray, cure))
        if cell.open_fence is not None:
            message = (
                "the code block that opens here is not closed, so jupytext takes the cells below for prose"
            )
            cure = "close it in the same cell"
            problems.append(source.problem("code-in-prose", message, cell.open_fence, cure))
    return problems


def exported_cells_hold_no_magics(source: SourceUnderCheck) -> list[Problem]:
    """A Jupyter command is no Python: nbdev writes it into the module as it stands."""
    return [
        source.problem(
            "magic-in-export",
            "a Jupyter command in an exported cell would break the module",
            line,
            "move it into a cell without `#| export`",
        )
        for parsed in source.exported
        for line in parsed.magics
    ]


def options_change_no_cell(source: SourceUnderCheck) -> list[Problem]:
    """Options in a `# %%` line can turn a cell into another kind, or export it where no reader sees it."""
    problems = []
    for cell in source.cells:
        found = _OPTION.search(cell.options)
        if found:
            message = f"the option `{found[1] or found[2]}` of this cell changes what becomes of it unseen"
            cure = "take it out, and say it by a directive such as `#| export` or `#| eval: false`"
            problems.append(source.problem("cell-option", message, cell.marker or cell.line, cure))
    return problems


CELLS = (
    cells_parse,
    no_marker_is_indented,
    prose_holds_no_code,
    exported_cells_hold_no_magics,
    options_change_no_cell,
)
