"""Percent format: where the cells of a `.py` file begin and end, and what they hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tinytorch_build.literate.document import Cell, CellKind, directives_of

_LEXEME = re.compile(
    r'''(?P<comment>\#[^\n]*)
    | (?P<string> """(?:[^"\\]++|\\.|"(?!""))*+"""
                | \'\'\'(?:[^'\\]++|\\.|'(?!''))*+\'\'\'
                | "(?:[^"\\\n]++|\\.)*+"?
                | '(?:[^'\\\n]++|\\.)*+'? )''',
    re.VERBOSE | re.DOTALL,
)
_MARKER = re.compile(r"#\s*(?:%%(?P<options>%*\s.*)?|<codecell>\s*|In\[[0-9 ]*\]:?\s*)$")
_PROSE = re.compile(r"\[(markdown|md|raw)\]")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)$")
_QUOTED = re.compile(r"""\s*[rR]?(?="{3}|'{3})""")
_ENCODING = re.compile(r"[ \t\f]*#.*?coding[:=]")


@dataclass(frozen=True, slots=True)
class Marker:
    """A comment that jupytext takes for the beginning of a cell, also an indented one.

    Attributes:
        line: 1-based line of the file.
        indented: whether blanks stand before it.
        options: what follows `# %%`.
    """

    line: int
    indented: bool
    options: str

    @property
    def kind(self) -> CellKind:
        title = re.split(r"[={]", self.options)[0]
        found = _PROSE.search(title)
        if found is None:
            return "code"
        return "raw" if found[1] == "raw" else "markdown"


def comments(text: str) -> Iterator[tuple[int, str, str]]:
    """Every comment: its 1-based line, what stands before it in the line, and the comment itself.

    A scanner of our own, since `tokenize` stops at the first Jupyter magic, and elsewhere in every Python.
    """
    line, counted = 1, 0
    for lexeme in _LEXEME.finditer(text):
        if lexeme["comment"] is None:
            continue
        line += text.count("\n", counted, lexeme.start())
        counted = lexeme.start()
        yield line, text[text.rfind("\n", 0, counted) + 1 : counted], lexeme["comment"]


def lines_in_strings(text: str) -> frozenset[int]:
    """The 1-based lines that begin inside a string."""
    found: set[int] = set()
    line, counted = 1, 0
    for lexeme in _LEXEME.finditer(text):
        line += text.count("\n", counted, lexeme.start())
        counted = lexeme.start()
        found.update(line + 1 + further for further in range(lexeme[0].count("\n")))
    return frozenset(found)


def markers(text: str) -> Iterator[Marker]:
    """Every comment that begins a cell for jupytext; none of those lines that stand in a string."""
    for line, before, comment in comments(text):
        if not before.strip() and (found := _MARKER.match(comment)):
            yield Marker(line, bool(before), (found["options"] or "").strip())


def is_percent(text: str) -> bool:
    """Whether jupytext reads this `.py` file in percent format, by its header or else by its look."""
    lines = text.split("\n")
    header = "\n".join(lines[: header_length(lines)])
    if "text_representation:" in header:
        return re.search(r"format_name:\s*['\"]?(percent|hydrogen)\b", header) is not None
    return any(
        not before and re.match(r"# ?%%(\s|$)|# (<codecell>|In\[[0-9 ]*\])", comment)
        for _, before, comment in comments(text)
    )


def header_length(lines: Sequence[str]) -> int:
    """How many lines at the top belong to the file and to jupytext's YAML header, not to a cell."""
    start = 0
    if lines[0].startswith("#!"):
        start = 1
    if len(lines) > start and _ENCODING.match(lines[start]):
        start += 1
    if len(lines) <= start or _uncommented(lines[start]).rstrip() != "---" or lines[start][:1] != "#":
        return start
    for index in range(start + 1, len(lines)):
        if not lines[index].startswith("#"):
            break
        if _uncommented(lines[index]).rstrip() == "---":
            return index + 1
    return start


def read_percent(text: str) -> tuple[Cell, ...]:
    """The cells of a file in percent format.

    Cells are divided at markers in the first column. jupytext divides at indented ones too, in the middle of
    a block; here they stay comments, so that the difference shows.

    Args:
        text: the file, with `\\n` for line ends.
    """
    lines = text.split("\n")
    body = header_length(lines)
    marks = [mark for mark in markers(text) if not mark.indented and mark.line > body]
    cells = []
    first = marks[0].line - 1 if marks else len(lines)
    if any(line.strip() for line in lines[body:first]):
        cells.append(_code_cell(None, lines, body, first))
    for mark, end in _extents(lines, marks):
        make = _code_cell if mark.kind == "code" else _prose_cell
        cells.append(make(mark, lines, mark.line, end))
    return tuple(cells)


def _extents(lines: Sequence[str], marks: Sequence[Marker]) -> Iterator[tuple[Marker, int]]:
    """Each marker that begins a cell, with the number of lines before the next one.

    A ``` block in prose may hold lines like `# %% a Mermaid comment`, which begin nothing.
    """
    position = 0
    while position < len(marks):
        mark = marks[position]
        position += 1
        fenced = frozenset() if mark.kind == "code" else _fenced_lines(lines, mark.line)
        while position < len(marks) and marks[position].line in fenced:
            position += 1
        yield mark, marks[position].line - 1 if position < len(marks) else len(lines)


def _fenced_lines(lines: Sequence[str], start: int) -> frozenset[int]:
    """1-based lines in ``` blocks of the cell that begins after `start` lines, if closed among comments."""
    inside: set[int] = set()
    found: set[int] = set()
    fence: str | None = None
    for number, line in enumerate(lines[start:], start + 1):
        if line.strip() and not line.startswith("#"):
            break
        text = _uncommented(line)
        if fence is not None:
            inside.add(number)
            if _closes(text, fence):
                found |= inside
                fence = None
        elif _MARKER.match(line):
            break
        elif opening := _opening(text):
            fence, inside = opening, set()
    return frozenset(found)


def _open_fence(lines: Sequence[str], start: int, end: int) -> int | None:
    """1-based line of a ``` that opens in these lines and is closed further down in the file only."""
    fence: tuple[int, str] | None = None
    for number, line in enumerate(lines[start:end], start + 1):
        text = _uncommented(line)
        if fence is None:
            opening = _opening(text)
            fence = (number, opening) if opening else None
        elif _closes(text, fence[1]):
            fence = None
    if fence is None or not any(_closes(_uncommented(line), fence[1]) for line in lines[end:]):
        return None
    return fence[0]


def _opening(text: str) -> str | None:
    found = _FENCE.match(text)
    if found is None or (found[1][0] == "`" and "`" in found[2]):
        return None
    return found[1]


def _closes(text: str, fence: str) -> bool:
    found = _FENCE.match(text)
    return found is not None and found[1].startswith(fence) and not found[2].strip()


def _code_cell(mark: Marker | None, lines: Sequence[str], start: int, end: int) -> Cell:
    source = "\n".join(lines[start:end]).rstrip("\n\t ")
    return Cell(
        "code",
        source,
        start + 1,
        tuple(directives_of(source, start + 1)),
        mark.line if mark else None,
        mark.options if mark else "",
    )


def _prose_cell(mark: Marker, lines: Sequence[str], start: int, end: int) -> Cell:
    raw = "\n".join(lines[start:end]).rstrip("\n\t ")
    quoted = _QUOTED.match(raw)
    source, line, stray = _quoted(raw, quoted.end()) if quoted else _commented(raw)
    written = tuple(directives_of(raw, start + 1))
    return Cell(
        mark.kind,
        source,
        start + line,
        written or tuple(directives_of(source, start + line)),
        mark.line,
        mark.options,
        None if stray is None else start + stray,
        None if quoted else _open_fence(lines, start, end),
    )


def _quoted(raw: str, begin: int) -> tuple[str, int, int | None]:
    """Prose in triple quotes: the text, its line in `raw` (from 1), the line of anything after the quotes."""
    lexeme = _LEXEME.match(raw, begin)
    closed = lexeme is not None and lexeme.end() - begin >= 6
    end = lexeme.end() if lexeme is not None and closed else len(raw)
    inner = raw[begin + 3 : end - 3 if closed else end]
    skipped = inner.startswith("\n")
    line = 1 + raw.count("\n", 0, begin) + skipped
    rest = raw[end:]
    stray = None
    if rest.strip():
        stray = 1 + raw.count("\n", 0, end + len(rest) - len(rest.lstrip()))
    return inner[skipped:].removesuffix("\n"), line, stray


def _commented(raw: str) -> tuple[str, int, int | None]:
    """Prose in comments: the text, its line in `raw` (always 1), and the first line that is no comment."""
    lines = raw.split("\n")
    stray = next(
        (
            number
            for number, line in enumerate(lines, 1)
            if line.strip() and not line.lstrip().startswith("#")
        ),
        None,
    )
    return "\n".join(_uncommented(line) for line in lines), 1, stray


def _uncommented(line: str) -> str:
    return line.removeprefix("# ") if line.startswith("# ") else line.removeprefix("#")
