"""A dependency graph as boxes and curves with coordinates, ready for SVG. Pure and deterministic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tinytorch_build.graph import Depends
from tinytorch_build.report.pages.layers import Item, Kind, Layers, Row, arrange

Point = tuple[float, float]
"""x and y."""

_PASSES = 16
"""How often rows are pulled towards their neighbours above and below, in turn."""


@dataclass(frozen=True, slots=True)
class Measures:
    """Sizes of a drawing, in CSS pixels.

    Attributes:
        columns: the most boxes in a row.
        box_width: width of a module's box.
        box_height: height of a module's box.
        lane_width: room for the lines that pass a row between boxes.
        gap: room beside a box.
        lane_gap: room between two lanes.
        row_gap: room between rows, in which lines change sides.
        margin: room around the drawing, for the ring around a box that has the focus.
    """

    columns: int = 5
    box_width: int = 132
    box_height: int = 46
    lane_width: int = 4
    gap: int = 14
    lane_gap: int = 8
    row_gap: int = 42
    margin: int = 6


@dataclass(frozen=True, slots=True)
class Box:
    """A module in the drawing; `x` and `y` are its upper left corner."""

    name: str
    x: float
    y: float
    width: int
    height: int
    row: int


@dataclass(frozen=True, slots=True)
class Curve:
    """A line from what is needed down to what needs it.

    Attributes:
        need: the module that is needed.
        module: the module that needs it.
        points: the ends of its pieces, from the top: within a row a piece is straight, between rows it bends.
    """

    need: str
    module: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of one line or of several that run together, so that it is drawn once.

    Attributes:
        path: in SVG's path language.
        edges: the lines that it is part of, each as what is needed and what needs it.
    """

    path: str
    edges: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """Boxes in course order, and the curves between them."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    curves: tuple[Curve, ...]

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The curves, cut where they meet and part."""
        edges: dict[tuple[Point, Point], list[tuple[str, str]]] = {}
        for curve in self.curves:
            for ends in pairwise(curve.points):
                edges.setdefault(ends, []).append((curve.need, curve.module))
        return tuple(Piece(_path(ends), tuple(parts)) for ends, parts in edges.items())


def draw(depends: Depends, measures: Measures | None = None) -> Drawing:
    """Draw a graph in layers: a module stands below everything that it needs.

    Dependencies that follow from others are not drawn.

    Args:
        depends: every module in course order, with the modules that it declares, all declared above it.
        measures: sizes.
    """
    sizes = measures or Measures()
    layers = arrange(depends, sizes.columns)
    placing = _Placing(layers, sizes)
    centre = placing.centres()
    step = sizes.box_height + sizes.row_gap
    boxes = tuple(
        Box(
            name,
            round(centre[layers.box(name)] - sizes.box_width / 2, 1),
            sizes.margin + row * step,
            sizes.box_width,
            sizes.box_height,
            row,
        )
        for name, row in layers.row_of.items()
    )
    curves = tuple(
        Curve(need, name, tuple(_points(way, centre, sizes))) for (need, name), way in layers.ways.items()
    )
    height = 2 * sizes.margin + max(len(layers.rows) * step - sizes.row_gap, 0)
    return Drawing(round(placing.width) + 2 * sizes.margin, height, boxes, curves)


def _points(way: Sequence[Item], centre: Mapping[Item, float], sizes: Measures) -> Iterator[Point]:
    """From the lower edge of the first box, through lanes, to the upper edge of the last."""
    step = sizes.box_height + sizes.row_gap
    for item in way:
        x, top = round(centre[item], 1), sizes.margin + item.row * step
        if item != way[0]:
            yield x, float(top)
        if item != way[-1]:
            yield x, float(top + sizes.box_height)


class _Placing:
    """Where items stand in their rows: near the mean of their neighbours, in order, with room between."""

    def __init__(self, layers: Layers, sizes: Measures) -> None:
        self.layers = layers
        self.sizes = sizes
        self.width = max((self._offsets(row)[1] for row in layers.rows), default=0.0)
        """As wide as the widest row; the others find room within it."""

    def centres(self) -> dict[Item, float]:
        """The x of every item's centre, from the left edge with its margin."""
        centre: dict[Item, float] = {}
        for row in self.layers.rows:
            offsets, taken = self._offsets(row)
            spare = (self.width - taken) / 2
            centre.update({item: spare + offset for item, offset in zip(row, offsets, strict=True)})
        for index in range(_PASSES):
            down = index % 2 == 0
            neighbours = self.layers.above if down else self.layers.below
            for row in self.layers.rows if down else reversed(self.layers.rows):
                centre.update(self._pulled(row, neighbours, centre))
        return {item: x + self.sizes.margin for item, x in centre.items()}

    def _pulled(
        self, row: Row, neighbours: Mapping[Item, Sequence[Item]], centre: Mapping[Item, float]
    ) -> dict[Item, float]:
        """A row as near as its order and room allow to the mean of its neighbours (least squares)."""
        offsets, taken = self._offsets(row)
        wanted = []
        for item, offset in zip(row, offsets, strict=True):
            others = [centre[other] for other in neighbours[item]] or [centre[item]]
            wanted.append(sum(others) / len(others) - offset)
        shifts = nearest_increasing(wanted)
        room = self.width - taken
        return {
            item: offset + min(max(shift, 0.0), room)
            for item, offset, shift in zip(row, offsets, shifts, strict=True)
        }

    def _offsets(self, row: Row) -> tuple[list[float], float]:
        """The centres of a row that is packed from the left, and the width that it takes."""
        offsets: list[float] = []
        edge, after_box = 0.0, False
        for item in row:
            is_box = item.kind is Kind.BOX
            width = self.sizes.box_width if is_box else self.sizes.lane_width
            if offsets:
                edge += self.sizes.gap if is_box or after_box else self.sizes.lane_gap
            offsets.append(edge + width / 2)
            edge, after_box = edge + width, is_box
        return offsets, edge


def nearest_increasing(values: Sequence[float]) -> list[float]:
    """The non-decreasing sequence that is nearest to `values` in least squares.

    Source: pool adjacent violators; M. Ayer et al., "An empirical distribution function for sampling with
    incomplete information", Annals of Mathematical Statistics 26(4), 1955.
    """
    pools: list[tuple[float, int]] = []  # sum and number of values that get one mean
    for value in values:
        total, count = value, 1
        while pools and pools[-1][0] * count >= total * pools[-1][1]:
            more, members = pools.pop()
            total, count = total + more, count + members
        pools.append((total, count))
    return [total / count for total, count in pools for _ in range(count)]


def _path(ends: tuple[Point, Point]) -> str:
    """A straight line, or a cubic Bézier curve that leaves and arrives vertically."""
    (x, y), (to_x, to_y) = ends
    start, end = f"M{_number(x)} {_number(y)}", f"{_number(to_x)} {_number(to_y)}"
    if x == to_x:
        return f"{start}V{_number(to_y)}"
    half = _number((y + to_y) / 2)
    return f"{start}C{_number(x)} {half} {_number(to_x)} {half} {end}"


def _number(value: float) -> str:
    """At most one decimal, and none that says nothing."""
    return f"{value:.1f}".removesuffix(".0")
