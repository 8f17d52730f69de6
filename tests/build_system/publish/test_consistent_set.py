"""The consistent set: examples, and a comparison with trying every combination."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from tests.build_system.publish.builders import entry
from tinytorch_build.publish import Entry, choose, consistent_set, identity, sound

TENSOR_1, TENSOR_2 = entry("tensor", "1"), entry("tensor", "2")
TRAINING_ON_1, TRAINING_ON_2 = entry("training", "1", [TENSOR_1]), entry("training", "1", [TENSOR_2])
ORDER = ["tensor", "training"]


def by_name(*entries: Entry) -> dict[str, Entry]:
    return {entry.module: entry for entry in entries}


def test_a_new_version_waits_for_a_published_module_that_has_not_passed_with_it() -> None:
    published = by_name(TENSOR_1, TRAINING_ON_1)
    chosen = choose(published, by_name(TENSOR_2, TRAINING_ON_1), ORDER)
    assert chosen.entries == published
    assert chosen.held == {"tensor": ("training",)}


def test_both_move_once_the_other_has_passed_too() -> None:
    chosen = choose(by_name(TENSOR_1, TRAINING_ON_1), by_name(TENSOR_2, TRAINING_ON_2), ORDER)
    assert chosen.entries == by_name(TENSOR_2, TRAINING_ON_2)
    assert chosen.held == {}


def test_a_module_that_was_never_published_holds_nothing_back() -> None:
    chosen = choose(by_name(TENSOR_1), by_name(TENSOR_2, TRAINING_ON_1), ORDER)
    assert chosen.entries == by_name(TENSOR_2)
    assert chosen.held == {"training": ("tensor",)}


def test_what_was_tested_with_a_version_that_waits_waits_as_well() -> None:
    layers = entry("layers", "1", [TENSOR_2])
    chosen = choose(
        by_name(TENSOR_1, TRAINING_ON_1), by_name(TENSOR_2, layers), ["tensor", "layers", "training"]
    )
    assert chosen.entries == by_name(TENSOR_1, TRAINING_ON_1)
    assert chosen.held == {"tensor": ("training",), "layers": ("training",)}


def test_a_module_waits_for_a_dependency_that_has_not_qualified() -> None:
    chosen = choose({}, by_name(TRAINING_ON_1), ORDER)
    assert chosen.entries == {}
    assert chosen.held == {"training": ("tensor",)}


def test_who_needs_a_module_that_cannot_move_is_told_the_one_in_the_way() -> None:
    """`training` passed with a `tensor` that is no longer on offer, so `tensor` waits for `training`."""
    middle = entry("tensor", "middle")
    training = entry("training", "2", [middle])
    chosen = choose(by_name(TENSOR_1, TRAINING_ON_1), by_name(TENSOR_2, training), ORDER)
    assert chosen.entries == by_name(TENSOR_1, TRAINING_ON_1)
    assert chosen.held == {"tensor": ("training",), "training": ("tensor",)}


def test_of_two_moves_that_exclude_each_other_the_earlier_module_gets_its_way() -> None:
    dense_on_1 = entry("dense", "1", [TENSOR_1])
    chosen = choose(by_name(TENSOR_1), by_name(TENSOR_2, dense_on_1), ["tensor", "dense"])
    assert chosen.entries == by_name(TENSOR_2)
    chosen = choose(by_name(TENSOR_1), by_name(TENSOR_2, dense_on_1), ["dense", "tensor"])
    assert chosen.entries == by_name(dense_on_1, TENSOR_1)
    assert chosen.held == {"tensor": ("dense",)}


def test_a_module_that_left_the_manifest_leaves_the_package() -> None:
    assert consistent_set(by_name(TENSOR_1, entry("old")), {}, ["tensor"]) == by_name(TENSOR_1)


def test_a_module_that_left_stays_while_a_published_one_still_needs_it() -> None:
    old = entry("old")
    user, freed = entry("user", "1", [old]), entry("user", "2")
    chosen = choose(by_name(old, user), {}, ["user"])
    assert chosen.entries == by_name(user, old)
    assert chosen.held == {"old": ("user",)}
    assert consistent_set(by_name(old, user), by_name(freed), ["user"]) == by_name(freed)


def test_what_does_not_touch_the_export_is_brought_up_to_date() -> None:
    renewed = entry("tensor", "1", version="1.0.1")
    assert consistent_set(by_name(TENSOR_1, TRAINING_ON_1), by_name(renewed), ORDER) == by_name(
        renewed, TRAINING_ON_1
    )


def test_a_module_that_changed_its_target_is_another_one_for_those_that_import_it() -> None:
    moved = entry("tensor", "1", target="tensor")
    chosen = choose(by_name(TENSOR_1, TRAINING_ON_1), by_name(moved), ORDER)
    assert chosen.held == {"tensor": ("training",)}


def test_a_new_version_waits_for_a_published_module_that_does_not_allow_it() -> None:
    """The export is the same, so what was tested with it stands; only the constraint speaks against it."""
    old, new = entry("tensor"), entry("tensor", version="2.0.0")
    bound = entry("training", "1", [old], constraints={"tensor": "<2"})
    order = ["tensor", "training"]
    chosen = choose(by_name(old, bound), by_name(new), order)
    assert (chosen.entries, chosen.held) == (by_name(old, bound), {"tensor": ("training",)})
    wider = entry("training", "1", [old], constraints={"tensor": "<3"})
    assert consistent_set(by_name(old, bound), by_name(new, wider), order) == by_name(new, wider)
    assert consistent_set(by_name(old, wider), by_name(new), order) == by_name(new, wider)


def test_published_entries_with_a_constraint_that_does_not_hold_are_not_sound() -> None:
    tensor = entry("tensor", version="2.0.0")
    assert sound(by_name(tensor, entry("training", "1", [tensor], constraints={"tensor": "<2"}))) == by_name(
        tensor
    )


def test_two_modules_with_one_public_name_do_not_stand_together() -> None:
    first, second = entry("a", names=["fit"]), entry("b", names=["fit"])
    assert choose({}, by_name(first, second), ["a", "b"]).held == {"b": ("a",)}
    assert choose(by_name(second), by_name(first, second), ["a", "b"]).held == {"a": ("b",)}


def test_a_name_may_wander_from_one_published_module_to_another() -> None:
    giver, taker = entry("a", "1", names=["fit"]), entry("b", "1")
    later = by_name(entry("a", "2"), entry("b", "2", names=["fit"]))
    assert consistent_set(by_name(giver, taker), later, ["a", "b"]) == later
    assert choose(by_name(giver, taker), by_name(later["b"]), ["a", "b"]).held == {"b": ("a",)}


def test_a_name_does_not_wander_while_its_first_owner_cannot_move() -> None:
    giver, user = entry("a", "1", names=["fit"]), entry("c", "1", [entry("a", "1")])
    published = by_name(giver, entry("b", "1"), user)
    chosen = choose(published, by_name(entry("a", "2"), entry("b", "2", names=["fit"])), ["a", "b", "c"])
    assert chosen.entries == published
    assert chosen.held == {"a": ("c",), "b": ("c",)}


def test_a_module_does_not_stand_where_a_folder_of_modules_has_to_be() -> None:
    below, above = entry("a", target="core.tensor"), entry("b", target="Core")
    assert choose({}, by_name(below, above), ["a", "b"]).held == {"b": ("a",)}
    assert choose({}, by_name(above, below), ["b", "a"]).held == {"a": ("b",)}


def test_of_published_entries_only_those_are_sound_that_were_tested_with_each_other() -> None:
    user = entry("user", "1", [TRAINING_ON_1])
    assert sound(by_name(TENSOR_2, TRAINING_ON_1, user)) == by_name(TENSOR_2)
    assert sound(by_name(TRAINING_ON_1)) == {}
    assert sound(by_name(entry("a", names=["x"]), entry("b", names=["x"]))) == by_name(
        entry("a", names=["x"])
    )


# -- every combination

MODULES = ("a", "b", "c", "d", "e", "f")


@st.composite
def entries(draw: st.DrawFn, module: str, names: Sequence[str]) -> Entry:
    others = [other for other in MODULES if other != module]
    tested = draw(st.lists(st.sampled_from(others), max_size=3, unique=True))
    scope = {other: identity(f"core.{other}", draw(exports)) for other in tested}
    target = draw(st.sampled_from([f"core.{module}"] * 6 + ["core.shared"]))
    claimed = draw(st.lists(st.sampled_from(names), max_size=1)) if names else []
    constraints = {other: draw(specifiers) for other in tested}
    made = entry(
        module, "", scope, target=target, names=claimed, version=draw(versions), constraints=constraints
    )
    return replace(made, export=draw(exports))


versions = st.sampled_from(["1", "1", "2"])
specifiers = st.sampled_from(["", "", "<2", "==2"])
exports = st.sampled_from(["1" * 64, "2" * 64, "3" * 64])


@st.composite
def situations(draw: st.DrawFn) -> tuple[dict[str, Entry], dict[str, Entry], list[str]]:
    """Published entries, candidates and a course order, as knotty as they come."""
    names = draw(st.sampled_from([[], ["fit", "run"]]))
    published = {module: draw(entries(module, names)) for module in draw(some)}
    candidates = {module: draw(entries(module, names)) for module in draw(some)}
    if draw(st.booleans()):  # mutually tested ones are rare by chance
        published = retested(published)
        candidates = {
            **candidates,
            **{m: retest(e, {**published, **candidates}) for m, e in candidates.items()},
        }
    return published, candidates, draw(st.permutations(draw(some)))


some = st.lists(st.sampled_from(MODULES), unique=True)


def retest(tested: Entry, beside: Mapping[str, Entry]) -> Entry:
    """The same entry, tested with what is given, as far as it is there."""
    scope = {other: beside[other].identity for other in tested.scope if other in beside}
    allowed = {other: spec for other, spec in tested.constraints.items() if other in scope}
    return replace(tested, depends=(), scope=scope, constraints=allowed)


def retested(published: Mapping[str, Entry]) -> dict[str, Entry]:
    return {module: retest(tested, published) for module, tested in published.items()}


def is_consistent(chosen: Mapping[str, Entry]) -> bool:
    """The promise, in its plainest form."""
    taken: list[str] = []
    for standing in chosen.values():
        for other, tested in standing.scope.items():
            if other not in chosen or chosen[other].identity != tested:
                return False
        for other, specifier in standing.constraints.items():
            if not SpecifierSet(specifier).contains(chosen[other].version):
                return False
        taken += [standing.target, *standing.names]
    return len(taken) == len(set(taken))


def every_choice(
    published: Mapping[str, Entry], candidates: Mapping[str, Entry], order: Sequence[str]
) -> Iterator[tuple[frozenset[str], dict[str, Entry]]]:
    """Each consistent choice, with the modules that take their candidate or leave."""
    movable = [module for module in {*order, *published} if module not in order or module in candidates]
    for size in range(len(movable) + 1):
        for moved in combinations(movable, size):
            chosen = {module: published[module] for module in published if module not in moved}
            chosen |= {module: candidates[module] for module in moved if module in order}
            if is_consistent(chosen):
                yield frozenset(moved), chosen


@settings(derandomize=True, max_examples=150, deadline=None)
@given(situations())
def test_the_choice_is_consistent_and_no_more_could_be_taken(
    situation: tuple[dict[str, Entry], dict[str, Entry], list[str]],
) -> None:
    given_published, candidates, order = situation
    published = sound(given_published)
    chosen = choose(published, candidates, order)
    assert is_consistent(chosen.entries)
    assert consistent_set(given_published, candidates, order) == chosen.entries
    choices = list(every_choice(published, candidates, order))
    mine = max((moved for moved, entries in choices if entries == chosen.entries), key=len)
    assert not [moved for moved, _ in choices if moved > mine]
    waiting = {
        module for module in order if candidates.get(module, published.get(module)) != published.get(module)
    }
    waiting |= published.keys() - set(order)
    assert chosen.held.keys() == waiting - mine
    assert all(chosen.held.values())
    assert all(module not in reasons for module, reasons in chosen.held.items())


@settings(derandomize=True, max_examples=150, deadline=None)
@given(situations())
def test_sound_entries_are_consistent_and_no_more_are(
    situation: tuple[dict[str, Entry], dict[str, Entry], list[str]],
) -> None:
    published, _, _ = situation
    kept = sound(published)
    assert is_consistent(kept)
    unnamed = {module: retest_names(e) for module, e in published.items()}
    largest = max(
        (
            moved
            for size in range(len(unnamed) + 1)
            for moved in combinations(unnamed, size)
            if is_consistent({module: unnamed[module] for module in moved})
        ),
        key=len,
    )
    assert set(sound(unnamed)) == set(largest)


def retest_names(tested: Entry) -> Entry:
    """The same entry without public names and at a place of its own, so that only the scopes matter."""
    return replace(tested, target=f"own.{tested.module}", names=())


def test_a_thousand_modules_that_all_wait_for_the_last_one() -> None:
    """Each was tested with the new first module; the last, published, was not."""
    order = [f"m{number}" for number in range(1000)]
    first, edited = entry("m0", "1"), entry("m0", "2")
    published, candidates = {"m0": first}, {"m0": edited}
    for before, module in pairwise(order):
        published[module] = entry(module, "1", by_scope(published, before))
        candidates[module] = entry(module, "1", by_scope(candidates, before))
    last = candidates.pop("m999")
    chosen = choose(published, candidates, order)
    assert chosen.entries == published
    assert set(chosen.held.values()) == {("m999",)}
    assert choose(published, {**candidates, "m999": last}, order).entries == {**candidates, "m999": last}


def by_scope(beside: Mapping[str, Entry], before: str) -> dict[str, str]:
    return {name: beside[name].identity for name in {"m0", before}}
