"""Modules in rows, each below everything that it needs, in an order in which few lines cross. Pure.

Source: K. Sugiyama, S. Tagawa, M. Toda, "Methods for visual understanding of hierarchical system
structures", IEEE Trans. SMC 11(2), 1981: layers by the longest path, lanes where a line passes a row, and
barycentres to order each row. The number of boxes in a row is bounded as in E. Coffman, R. Graham, "Optimal
scheduling for two-processor systems", Acta Informatica 1, 1972, so that two hundred modules that need one do
not stand side by side. Lines from one module share a lane, as branches share a trunk; lines that lead to one
module alone share one, as brooks share a river.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from tinytorch_build.graph import Depends, closures


class Kind(Enum):
    """What stands in a row."""

    BOX = auto()
    """A module."""
    FROM = auto()
    """The lane by which lines from a module pass the row."""
    INTO = auto()
    """The lane by which lines to a module pass the row, from modules that only this one needs."""


class Item(NamedTuple):
    """One place in a row."""

    module: str
    row: int
    kind: Kind


Row = tuple[Item, ...]

_SWEEPS = 24
"""Passes of reordering; graphs of courses settle within ten."""


@dataclass(frozen=True)
class Layers:
    """A graph in rows.

    Attributes:
        rows: from the top; each from left to right, boxes and lanes.
        row_of: the row of each module's box, in course order.
        edges: from what is needed to what needs it, after transitive reduction.
    """

    rows: tuple[Row, ...]
    row_of: Mapping[str, int]
    edges: tuple[tuple[str, str], ...]

    def box(self, name: str) -> Item:
        """Where a module stands."""
        return Item(name, self.row_of[name], Kind.BOX)

    @cached_property
    def ways(self) -> Mapping[tuple[str, str], tuple[Item, ...]]:
        """What each line passes from box to box, both included."""
        return {edge: (self.box(edge[0]), *lanes) for edge, lanes in _lanes(self.row_of, self.edges)}

    @cached_property
    def above(self) -> Mapping[Item, tuple[Item, ...]]:
        """What lines come from, in the row above, for each item."""
        found: dict[Item, dict[Item, None]] = {item: {} for row in self.rows for item in row}
        for way in self.ways.values():
            for upper, lower in pairwise(way):
                found[lower][upper] = None
        return {item: tuple(others) for item, others in found.items()}

    @cached_property
    def below(self) -> Mapping[Item, tuple[Item, ...]]:
        """Where lines go, in the row below, for each item."""
        found: dict[Item, list[Item]] = {item: [] for item in self.above}
        for lower, uppers in self.above.items():
            for upper in uppers:
                found[upper].append(lower)
        return {item: tuple(others) for item, others in found.items()}

    def crossings(self) -> int:
        """How many pairs of lines cross."""
        return _crossings(self.rows, self.below)


def arrange(depends: Depends, columns: int) -> Layers:
    """Put modules in rows of at most `columns` boxes, each below what it needs.

    Args:
        depends: every module in course order, with the modules that it declares, all declared above it.
        columns: the most boxes in a row, at least 1.
    """
    needs = reduced(depends)
    row_of = _rows_of(needs, columns)
    edges = tuple((need, name) for name, declared in needs.items() for need in declared)
    found = [Item(name, row, Kind.BOX) for name, row in row_of.items()]
    found += [item for _, lanes in _lanes(row_of, edges) for item in lanes]
    rows: list[dict[Item, None]] = [{} for _ in range(max(row_of.values(), default=-1) + 1)]
    for item in found:
        rows[item.row][item] = None
    return _untangled(Layers(tuple(map(tuple, rows)), row_of, edges))


def _lanes(
    row_of: Mapping[str, int], edges: Sequence[tuple[str, str]]
) -> Iterator[tuple[tuple[str, str], tuple[Item, ...]]]:
    """For each line the lanes that it takes, and the box that it ends in."""
    lines_from = Counter(need for need, _ in edges)
    for need, name in edges:
        owner, kind = (name, Kind.INTO) if lines_from[need] == 1 else (need, Kind.FROM)
        between = range(row_of[need] + 1, row_of[name])
        yield (need, name), (*(Item(owner, row, kind) for row in between), Item(name, row_of[name], Kind.BOX))


def reduced(depends: Depends) -> dict[str, tuple[str, ...]]:
    """The dependencies without those that follow from others (the transitive reduction).

    What is declared and also reached through something else that is declared is left out; the closures stay
    the same.
    """
    reached = {name: frozenset(names) for name, names in closures(depends).items()}
    return {
        name: tuple(
            need
            for need in dict.fromkeys(declared)
            if not any(need in reached[other] for other in declared if other != need)
        )
        for name, declared in depends.items()
    }


def _rows_of(needs: Depends, columns: int) -> dict[str, int]:
    """The first row below everything that a module needs which still has room for it."""
    row_of: dict[str, int] = {}
    boxes: dict[int, int] = {}
    for name, declared in needs.items():
        row = max((row_of[need] + 1 for need in declared), default=0)
        while boxes.get(row, 0) >= columns:
            row += 1
        row_of[name] = row
        boxes[row] = boxes.get(row, 0) + 1
    return row_of


def _untangled(layers: Layers) -> Layers:
    """The best of some orders that barycentres lead to, going down and up in turn."""
    best, fewest = layers, layers.crossings()
    above, below = layers.above, layers.below  # they do not depend on the order
    rows = list(layers.rows)
    for sweep in range(_SWEEPS):
        if fewest == 0:
            break
        down = sweep % 2 == 0
        order = range(1, len(rows)) if down else range(len(rows) - 2, -1, -1)
        for row in order:
            fixed = rows[row - 1] if down else rows[row + 1]
            rows[row] = _by_barycentre(rows[row], above if down else below, _positions(fixed))
        found = Layers(tuple(rows), layers.row_of, layers.edges)
        crossings = _crossings(rows, below)
        if crossings < fewest:
            best, fewest = found, crossings
    return best


def _crossings(rows: Sequence[Row], below: Mapping[Item, Sequence[Item]]) -> int:
    return sum(_inversions(_ends(upper, below, _positions(lower))) for upper, lower in pairwise(rows))


def _by_barycentre(row: Row, neighbours: Mapping[Item, Sequence[Item]], place: Mapping[Item, int]) -> Row:
    """A row, ordered by the mean place of each item's neighbours; one that has none keeps its own place."""

    def centre(indexed: tuple[int, Item]) -> float:
        index, item = indexed
        places = [place[other] for other in neighbours[item]]
        return sum(places) / len(places) if places else float(index)

    return tuple(item for _, item in sorted(enumerate(row), key=centre))


def _positions(row: Row) -> dict[Item, int]:
    return {item: index for index, item in enumerate(row)}


def _ends(upper: Row, below: Mapping[Item, Sequence[Item]], place: Mapping[Item, int]) -> list[int]:
    """Where the lines of a row end, from left to right by their beginnings."""
    return [end for item in upper for end in sorted(place[other] for other in below[item])]


def _inversions(values: Sequence[int]) -> int:
    """How many pairs stand in the wrong order: lines that cross.

    Source: W. Barth, M. Jünger, P. Mutzel, "Simple and efficient bilayer cross counting", Graph Drawing 2002.
    """
    seen: list[int] = []
    count = 0
    for value in values:
        count += len(seen) - bisect_right(seen, value)
        insort(seen, value)
    return count
