"""Coordinates: nothing overlaps, every curve goes down, and the same graph gives the same drawing."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.build_system.report.pages.graphs import COURSE, graphs
from tinytorch_build.report.pages.graph_drawing import (
    Box,
    Curve,
    Drawing,
    Measures,
    Piece,
    draw,
    nearest_increasing,
)

NARROW = Measures(columns=3, box_width=98, gap=8, lane_gap=6, row_gap=34)


@given(graphs(), st.sampled_from([Measures(), NARROW]))
def test_boxes_do_not_overlap_and_lie_inside(depends: dict[str, list[str]], measures: Measures) -> None:
    drawing = draw(depends, measures)
    assert [box.name for box in drawing.boxes] == list(depends)
    for index, box in enumerate(drawing.boxes):
        assert 0 <= box.x <= box.x + box.width <= drawing.width + 1
        assert 0 <= box.y <= box.y + box.height <= drawing.height
        assert not any(_overlap(box, other) for other in drawing.boxes[index + 1 :])


@given(graphs(), st.sampled_from([Measures(), NARROW]))
def test_curves_go_down_from_box_to_box_and_pass_no_other(
    depends: dict[str, list[str]], measures: Measures
) -> None:
    drawing = draw(depends, measures)
    for curve in drawing.curves:
        assert all(lower[1] > upper[1] for upper, lower in pairwise(curve.points))
        assert curve.points[0] == pytest.approx(_middle(drawing, curve.need, bottom=True), abs=0.11)
        assert curve.points[-1] == pytest.approx(_middle(drawing, curve.module, bottom=False), abs=0.11)
        assert not any(_passes(curve, box) for box in drawing.boxes)


def _overlap(one: Box, other: Box) -> bool:
    return abs(one.x - other.x) < one.width and abs(one.y - other.y) < one.height


def _middle(drawing: Drawing, name: str, *, bottom: bool) -> tuple[float, float]:
    box = next(box for box in drawing.boxes if box.name == name)
    x, y = box.x + box.width / 2, box.y + (box.height if bottom else 0)
    return round(x, 1), float(y)


def _passes(curve: Curve, box: Box) -> bool:
    """Whether a piece of the curve that lies within the box's row goes through it."""
    return any(
        upper[1] >= box.y and lower[1] <= box.y + box.height and box.x < upper[0] < box.x + box.width
        for upper, lower in pairwise(curve.points)
        if upper[0] == lower[0]
    )


def test_what_runs_together_is_one_piece_in_svg() -> None:
    one = Curve("a", "c", ((10.0, 20.0), (10.0, 30.0), (25.5, 50.0)))
    other = Curve("b", "c", ((0.0, 20.0), (10.0, 30.0), (25.5, 50.0)))
    assert Drawing(50, 50, (), (one, other)).pieces == (
        Piece("M10 20V30", (("a", "c"),)),
        Piece("M10 30C10 40 25.5 40 25.5 50", (("a", "c"), ("b", "c"))),
        Piece("M0 20C0 25 10 25 10 30", (("b", "c"),)),
    )


@pytest.mark.parametrize("count", [0, 1, 200])
def test_small_and_large_graphs(count: int) -> None:
    depends = {f"m{index}": [f"m{index // 3}"] if index else [] for index in range(count)}
    drawing = draw(depends)
    assert len(drawing.boxes) == count
    assert len(drawing.curves) == max(count - 1, 0)
    assert draw(depends) == drawing


def test_many_that_need_one_do_not_stand_side_by_side() -> None:
    drawing = draw({"root": [], **{f"m{index}": ["root"] for index in range(199)}})
    assert drawing.width < 800


def test_the_course_fits_a_phone() -> None:
    assert draw(COURSE, NARROW).width <= 380


@given(st.lists(st.floats(-1e3, 1e3)))
def test_nearest_increasing_is_increasing_and_leaves_what_is(values: list[float]) -> None:
    found = nearest_increasing(values)
    assert len(found) == len(values)
    assert all(one <= other + 1e-9 for one, other in pairwise(found))
    assert sum(found) == pytest.approx(sum(values), abs=1e-6)
    assert nearest_increasing(sorted(values)) == pytest.approx(sorted(values))


def test_nearest_increasing_meets_in_the_middle() -> None:
    assert nearest_increasing([1.0, 5.0, 3.0, 4.0, 9.0]) == [1.0, 4.0, 4.0, 4.0, 9.0]
