"""Closures, dependents and cycles: worked examples, and what must hold of any graph."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch_build.graph import (
    closure,
    closures,
    dependents,
    find_cycles,
    shortest_cycle,
    strong_components,
)

COURSE = {
    "setup": (),
    "tensor": (),
    "layers": ("tensor",),
    "autograd": ("tensor",),
    "optimizers": ("tensor", "autograd"),
    "training": ("optimizers", "layers"),
}

steady = settings(derandomize=True, deadline=None)


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    names = [f"m{index}" for index in range(draw(st.integers(1, 8)))]
    edges = st.lists(st.sampled_from(names), unique=True, max_size=4).map(tuple)
    return {name: draw(edges) for name in names}


def chain(length: int) -> dict[str, tuple[str, ...]]:
    return {f"m{index}": (f"m{index - 1}",) if index else () for index in range(length)}


def test_a_closure_is_in_course_order_and_leaves_its_module_out() -> None:
    assert closure(COURSE, "training") == ("tensor", "layers", "autograd", "optimizers")
    assert closure(COURSE, "setup") == ()


def test_dependents_are_what_reaches_a_module() -> None:
    assert dependents(COURSE, "autograd") == ("optimizers", "training")
    assert dependents(COURSE, "training") == ()


def test_names_that_are_no_modules_are_refused() -> None:
    with pytest.raises(KeyError, match="b"):
        closure({"a": ("b",)}, "a")
    with pytest.raises(KeyError, match="b"):
        closures({"a": ("b",)})
    with pytest.raises(KeyError, match="b"):
        dependents({"a": ("b",)}, "a")


def test_no_module_has_no_closures_and_no_cycles() -> None:
    assert closures({}) == {}
    assert find_cycles({}) == []


def test_a_cycle_is_a_chain_from_its_first_module() -> None:
    depends = {"z": ("a",), "b": ("c",), "a": ("b", "z"), "c": ("b",)}
    assert find_cycles(depends) == [("z", "a", "z"), ("b", "c", "b")]


def test_a_group_of_several_cycles_is_reported_once_by_its_shortest() -> None:
    depends = {"a": ("b",), "b": ("c",), "c": ("d", "a"), "d": ("a",)}
    assert find_cycles(depends) == [("a", "b", "c", "a")]
    assert strong_components(depends) == [("a", "b", "c", "d")]


def test_a_module_that_needs_itself_is_a_cycle_of_one() -> None:
    assert find_cycles({"a": ("a",), "b": ("a",)}) == [("a", "a")]


def test_a_module_on_no_cycle_has_no_shortest_one() -> None:
    with pytest.raises(ValueError, match="'a' is on no cycle"):
        shortest_cycle({"a": ()}, ("a",))


def test_long_chains_meet_no_recursion_limit() -> None:
    depends = chain(5_000)
    assert len(closure(depends, "m4999")) == 4_999
    assert len(closures(depends)["m4999"]) == 4_999
    assert len(dependents(depends, "m0")) == 4_999
    assert find_cycles(depends) == []
    depends["m0"] = ("m4999",)
    assert find_cycles(depends) == [("m0", *(f"m{index}" for index in range(4_999, -1, -1)))]


@steady
@given(graphs())
def test_all_closures_at_once_equal_each_on_its_own(depends: dict[str, tuple[str, ...]]) -> None:
    assert closures(depends) == {name: closure(depends, name) for name in depends}


@steady
@given(graphs())
def test_dependents_are_the_inverse_of_closures(depends: dict[str, tuple[str, ...]]) -> None:
    reached = closures(depends)
    for name in depends:
        assert dependents(depends, name) == tuple(other for other in depends if name in reached[other])


@steady
@given(graphs())
def test_a_group_reaches_itself_and_stands_after_what_it_needs(depends: dict[str, tuple[str, ...]]) -> None:
    reached = {name: {name, *closure(depends, name)} for name in depends}
    groups = strong_components(depends)
    assert sorted(name for group in groups for name in group) == sorted(depends)
    seen: set[str] = set()
    for group in groups:
        assert all(
            (other in group) == (other in reached[name] and name in reached[other])
            for name in group
            for other in depends
        )
        seen.update(group)
        assert all(reached[name] <= seen for name in group)


@steady
@given(graphs())
def test_each_chain_is_a_real_cycle_and_none_is_missed(depends: dict[str, tuple[str, ...]]) -> None:
    cycles = find_cycles(depends)
    for cycle in cycles:
        assert cycle[0] == cycle[-1]
        assert all(after in depends[before] for before, after in pairwise(cycle))
    cyclic = {name for name in depends if any(name in (o, *closure(depends, o)) for o in depends[name])}
    assert cyclic == {
        name
        for cycle in cycles
        for name in depends
        if name in (cycle[0], *closure(depends, cycle[0])) and cycle[0] in (name, *closure(depends, name))
    }
