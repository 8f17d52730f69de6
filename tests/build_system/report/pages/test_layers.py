"""Rows in which each module stands below what it needs, with few crossings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.build_system.report.pages.graphs import COURSE, graphs
from tinytorch_build.graph import closures
from tinytorch_build.report.pages.layers import Kind, arrange, reduced


def test_what_follows_from_other_dependencies_is_left_out() -> None:
    needs = reduced(COURSE)
    assert needs["dense"] == ("layers",)
    assert needs["training"] == ("layers", "optimizers", "dataloader")
    assert needs["capstone"] == ("mlops",)


@given(graphs())
def test_the_reduced_graph_reaches_what_the_whole_one_reaches(depends: dict[str, list[str]]) -> None:
    needs = reduced(depends)
    assert closures(needs) == closures(depends)
    for name, kept in needs.items():
        for need in kept:
            fewer = {**needs, name: tuple(other for other in kept if other != need)}
            assert closures(fewer)[name] != closures(needs)[name], "an edge is left that says nothing"


@given(graphs(), st.integers(1, 6))
def test_every_line_goes_down_and_no_row_is_too_wide(depends: dict[str, list[str]], columns: int) -> None:
    layers = arrange(depends, columns)
    assert all(layers.row_of[need] < layers.row_of[name] for need, name in layers.edges)
    for row in layers.rows:
        assert sum(item.kind is Kind.BOX for item in row) <= columns
    for way in layers.ways.values():
        assert [item.row for item in way] == list(range(way[0].row, way[-1].row + 1))


@given(graphs())
def test_every_module_stands_once_and_every_lane_is_used(depends: dict[str, list[str]]) -> None:
    layers = arrange(depends, 5)
    items = [item for row in layers.rows for item in row]
    assert len(items) == len(set(items))
    assert sorted(item.module for item in items if item.kind is Kind.BOX) == sorted(depends)
    used = {item for way in layers.ways.values() for item in way}
    assert {item for item in items if item.kind is not Kind.BOX} <= used


def test_without_a_bound_rows_are_longest_paths() -> None:
    layers = arrange(COURSE, 100)
    assert layers.row_of["tensor"] == layers.row_of["setup"] == 0
    assert layers.row_of["layers"] == layers.row_of["kernels"] == 1
    assert layers.row_of["training"] == 3
    assert layers.row_of["capstone"] == 6


def test_crossings_that_can_be_avoided_are() -> None:
    crossed = {"a": [], "b": [], "c": [], "x": ["c"], "y": ["b"], "z": ["a"]}
    assert arrange(crossed, 3).crossings() == 0


def test_crossings_are_counted() -> None:
    both = {"a": [], "b": [], "x": ["a", "b"], "y": ["a", "b"]}
    assert arrange(both, 2).crossings() == 1


@pytest.mark.parametrize("columns", [3, 5])
def test_the_course_is_nearly_without_crossings(columns: int) -> None:
    assert arrange(COURSE, columns).crossings() <= 4


def test_no_module_gives_no_row() -> None:
    assert arrange({}, 5).rows == ()
