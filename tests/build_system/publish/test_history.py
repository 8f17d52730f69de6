"""Whole histories of a course: whatever happens, what is published was tested with what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.build_system.publish.builders import entry
from tinytorch_build.files import digest_of, sha256
from tinytorch_build.publish import Entry, consistent_set

Fact = tuple[str, str]
"""What a test run proves: a module's identity, and a digest of the identities that it ran with."""


def fact(tested: Entry, beside: Mapping[str, str]) -> Fact:
    return tested.identity, digest_of(dict(beside))


class CourseHistory(RuleBasedStateMachine):
    """A course that is edited, and a build that tests it in course order and publishes after each pass."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []
        self.depends: dict[str, set[str]] = {}
        self.texts: dict[str, int] = {}
        self.targets: dict[str, str] = {}
        self.published: dict[str, Entry] = {}
        self.candidates: dict[str, Entry] = {}
        self.facts: set[Fact] = set()
        self.made = 0

    modules = st.integers(0, 5)

    @rule(place=modules, needs=st.sets(modules, max_size=3))
    def add_a_module(self, place: int, needs: set[int]) -> None:
        self.made += 1
        name = f"m{self.made}"
        self.order.insert(min(place, len(self.order)), name)
        earlier = self.order[: self.order.index(name)]
        self.depends[name] = {earlier[need] for need in needs if need < len(earlier)}
        self.texts[name] = 1
        self.targets[name] = f"core.{name}"

    @rule(which=modules)
    def remove_a_module(self, which: int) -> None:
        if which < len(self.order):
            gone = self.order.pop(which)
            for needs in self.depends.values():
                needs.discard(gone)

    @rule(which=modules, text=st.integers(1, 4))
    def edit(self, which: int, text: int) -> None:
        """To a new text, or back to an old one."""
        if which < len(self.order):
            self.texts[self.order[which]] = text

    @rule(which=modules, place=st.sampled_from(["core", "other"]))
    def retarget(self, which: int, place: str) -> None:
        if which < len(self.order):
            name = self.order[which]
            self.targets[name] = f"{place}.{name}"

    @rule(which=modules, need=modules)
    def declare_a_dependency(self, which: int, need: int) -> None:
        if need < which < len(self.order):
            self.depends[self.order[which]] ^= {self.order[need]}

    @rule(seed=st.integers(0, 3), strictness=st.integers(0, 3))
    def run_the_build(self, seed: int, strictness: int) -> None:
        """Every module whose dependencies qualified is tested; the outcome depends on the combination."""
        qualified: dict[str, Entry] = {}
        self.publish()
        for name in self.order:
            scope = self.closure(name)
            if not scope <= qualified.keys():
                continue
            tested = entry(
                name,
                str(self.texts[name]),
                [qualified[other] for other in sorted(scope)],
                target=self.targets[name],
            )
            if int(sha256(f"{seed}{fact(tested, tested.scope)}".encode()), 16) % 4 < strictness:
                continue
            qualified[name] = tested
            self.facts.add(fact(tested, tested.scope))
            self.candidates[name] = tested
            self.publish()
        if len(qualified) == len(self.order):
            assert self.published == qualified

    def closure(self, name: str) -> set[str]:
        needs = set(self.depends[name])
        for other in self.depends[name]:
            needs |= self.closure(other)
        return needs

    def publish(self) -> None:
        before = self.published
        self.published = consistent_set(before, self.candidates, self.order)
        assert not [name for name in before if name in self.order and name not in self.published]
        assert consistent_set(self.published, self.candidates, self.order) == self.published
        self.what_stands_was_tested_with_what_stands_beside_it()

    @invariant()
    def what_stands_was_tested_with_what_stands_beside_it(self) -> None:
        for standing in self.published.values():
            beside = {name: self.published[name].identity for name in standing.scope}
            assert fact(standing, beside) in self.facts


TestCourseHistory = CourseHistory.TestCase
TestCourseHistory.settings = settings(
    derandomize=True, max_examples=60, stateful_step_count=40, deadline=None
)
