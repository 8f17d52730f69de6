"""Writes a notebook's edits into a source in percent format, cell by cell; all other bytes stay."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tinytorch_build.literate.document import CellKind
from tinytorch_build.literate.percent import read_percent
from tinytorch_build.notebooks.cells import NotebookCell

_MARKERS: Mapping[CellKind, str] = {"code": "# %%", "markdown": "# %% [markdown]", "raw": "# %% [raw]"}


@dataclass(frozen=True, slots=True)
class Segment:
    """The lines of a source that one cell takes: its marker, its text, and the blank lines below.

    Attributes:
        kind: what the cell holds.
        marker: the `# %%` line with its line end, or the empty string for code above the first marker.
        body: the lines of its text, line ends included.
        tail: the blank lines below.
    """

    kind: CellKind
    marker: str
    body: str
    tail: str

    @property
    def text(self) -> str:
        return f"{self.marker}{self.body}{self.tail}"


def apply_edits(source: str, before: Sequence[NotebookCell], after: Sequence[NotebookCell]) -> str | None:
    """A source with the edits of its notebook.

    Args:
        source: the source in percent format, with `\\n` for line ends.
        before: the notebook's cells as they were made from this source.
        after: its cells now.

    Returns:
        the source whose notebook holds the cells `after`, or None if they cannot be written in this format
        (a line of the text that looks like the beginning of a cell, say).
    """
    head, segments = _segments(source)
    if len(segments) != len(before):
        return None
    old = dict(zip((id(cell) for cell in before), segments, strict=True))
    new = [
        _rendered(cell, old[id(origin)] if origin is not None else None, origin)
        for cell, origin in origins(before, after)
    ]
    return head + "".join(_joined(new, bool(head)))


def _segments(source: str) -> tuple[str, list[Segment]]:
    """What stands above the first cell, and the segment of each cell that is not empty."""
    lines = source.splitlines(keepends=True)
    cells = read_percent(source)
    starts = [(cell.marker or cell.line) - 1 for cell in cells]
    head = "".join(lines[: starts[0]]) if starts else source
    segments: list[Segment] = []
    for cell, start, end in zip(cells, starts, [*starts[1:], len(lines)], strict=True):
        own = lines[start:end]
        marker = own.pop(0) if cell.marker is not None else ""
        blank = len(own)
        while blank and not own[blank - 1].strip():
            blank -= 1
        segment = Segment(cell.kind, marker, "".join(own[:blank]), "".join(own[blank:]))
        if cell.source.strip():
            segments.append(segment)
        elif segments:  # an empty cell is no notebook cell; its lines stay with the one above
            above = segments[-1]
            segments[-1] = Segment(above.kind, above.marker, above.body, above.tail + segment.text)
        else:
            head += segment.text
    return head, segments


def origins(
    before: Sequence[NotebookCell], after: Sequence[NotebookCell]
) -> Iterator[tuple[NotebookCell, NotebookCell | None]]:
    """Each cell with the one that it has come from, by its id or else by its place; None for new ones."""
    by_id = {cell.id: cell for cell in before if cell.id}
    found: dict[int, NotebookCell] = {}
    taken: set[int] = set()
    for position, cell in enumerate(after):
        origin = by_id.get(cell.id) if cell.id else None
        if origin is not None and origin.kind == cell.kind and id(origin) not in taken:
            found[position] = origin
            taken.add(id(origin))
    matcher = difflib.SequenceMatcher(
        None, [cell.content for cell in before], [cell.content for cell in after], autojunk=False
    )
    for _, start, end, begin, stop in matcher.get_opcodes():
        for origin, position in zip(before[start:end], range(begin, stop), strict=False):
            if position not in found and id(origin) not in taken and origin.kind == after[position].kind:
                found[position] = origin
                taken.add(id(origin))
    for position, cell in enumerate(after):
        yield cell, found.get(position)


def _rendered(cell: NotebookCell, old: Segment | None, origin: NotebookCell | None) -> Segment:
    if old is None:
        return Segment(cell.kind, f"{_MARKERS[cell.kind]}\n", f"{_body(cell)}\n", "\n")
    if origin is not None and origin.content == cell.content:
        return old
    return Segment(cell.kind, old.marker, f"{_edited_body(cell, old)}\n", old.tail)


def _body(cell: NotebookCell) -> str:
    if cell.kind == "code":
        return cell.source
    return "\n".join(f"# {line}" if line else "#" for line in cell.source.split("\n"))


def _edited_body(cell: NotebookCell, old: Segment) -> str:
    """Prose that stood in triple quotes stays in them."""
    if cell.kind != "code":
        for quotes in ('"""', "'''"):
            text = old.body.strip()
            if text.startswith(quotes) and text.endswith(quotes) and quotes not in cell.source:
                return f"{quotes}\n{cell.source}\n{quotes}"
    return _body(cell)


def _joined(segments: Sequence[Segment], has_head: bool) -> Iterator[str]:
    """The segments' texts, each in lines of its own, and code without a marker only at the very top."""
    for position, segment in enumerate(segments):
        marker = segment.marker
        if not marker and (position or (has_head and not segment.body)):
            marker = f"{_MARKERS[segment.kind]}\n"
        body = segment.body
        if position + 1 < len(segments) and not (body + segment.tail).endswith("\n"):
            body += "\n"
        tail = segment.tail
        if position + 1 < len(segments) and not tail:
            tail = "\n"
        yield f"{marker}{body}{tail}"
