"""What follows from a map of dependencies: closures, dependents, components and cycles. Pure; no recursion.

A map holds every module under its name, in course order, with the names that it declares. Each name that is
declared must itself be a key; a `KeyError` says which is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import compress

Depends = Mapping[str, Sequence[str]]


def closure(depends: Depends, name: str) -> tuple[str, ...]:
    """Everything that a module needs, directly or through others: in course order, without the module itself.

    Raises:
        KeyError: `name`, or something that is reached from it, is no key of `depends`.
    """
    seen = {name}
    waiting = [name]
    while waiting:
        for other in depends[waiting.pop()]:
            if other not in seen:
                seen.add(other)
                waiting.append(other)
    return tuple(other for other in depends if other in seen and other != name)


def closures(depends: Depends) -> dict[str, tuple[str, ...]]:
    """The closure of every module, worked out once each: a set is a bit mask, and union a single `|`.

    Raises:
        KeyError: a declared name is no key of `depends`.
    """
    bit = {name: 1 << index for index, name in enumerate(depends)}
    reached: dict[str, int] = {}
    for component in strong_components(depends):  # what it depends on has been worked out before it
        mask = 0
        for name in component:
            mask |= bit[name]
            for other in depends[name]:
                mask |= reached.get(other, 0)
        for name in component:
            reached[name] = mask
    names = tuple(depends)
    return {name: tuple(compress(names, _bits(reached[name] & ~bit[name]))) for name in names}


def dependents(depends: Depends, name: str) -> tuple[str, ...]:
    """Every module that needs `name`, directly or through others: in course order, without `name` itself.

    Raises:
        KeyError: `name`, or a declared name, is no key of `depends`.
    """
    inverse: dict[str, list[str]] = {module: [] for module in depends}
    for module, declared in depends.items():
        for other in declared:
            inverse[other].append(module)
    return closure(inverse, name)


def strong_components(depends: Depends) -> list[tuple[str, ...]]:
    """The groups of modules that all reach one another; a module on no cycle is a group of its own.

    Each group stands after those that it depends on; the members of a group are in course order.

    Raises:
        KeyError: a declared name is no key of `depends`.

    Source: R. Tarjan, "Depth-first search and linear graph algorithms", SIAM J. Comput. 1(2), 1972, with a
    stack in place of the recursion.
    """
    search = _ComponentSearch(depends)
    for name in depends:
        search.from_module(name)
    return search.found


class _ComponentSearch:
    """Tarjan's walk: what reaches nothing entered before it closes a group with all that came after."""

    def __init__(self, depends: Depends) -> None:
        self.depends = depends
        self.found: list[tuple[str, ...]] = []
        self._position = {name: index for index, name in enumerate(depends)}
        self._entered: dict[str, int] = {}
        self._lowest: dict[str, int] = {}
        self._waiting: dict[str, None] = {}  # entered, but in no group yet; the latest last
        self._walk: list[tuple[str, Iterator[str]]] = []

    def from_module(self, start: str) -> None:
        """Find every group that can be reached from a module and was not found before."""
        if start not in self._entered:
            self._enter(start)
        while self._walk:
            name, rest = self._walk[-1]
            for other in rest:
                if other not in self._entered:
                    self._enter(other)
                    break
                if other in self._waiting:
                    self._lowest[name] = min(self._lowest[name], self._entered[other])
            else:
                self._leave(name)

    def _enter(self, name: str) -> None:
        self._entered[name] = self._lowest[name] = len(self._entered)
        self._waiting[name] = None
        self._walk.append((name, iter(self.depends[name])))

    def _leave(self, name: str) -> None:
        self._walk.pop()
        if self._walk:
            parent = self._walk[-1][0]
            self._lowest[parent] = min(self._lowest[parent], self._lowest[name])
        if self._lowest[name] == self._entered[name]:
            members: list[str] = []
            while name not in members[-1:]:
                members.append(self._waiting.popitem()[0])
            self.found.append(tuple(sorted(members, key=self._position.__getitem__)))


def find_cycles(depends: Depends) -> list[tuple[str, ...]]:
    """One chain `(a, b, ..., a)` for each group of modules that need one another, in course order.

    A chain starts at the first module of its group and takes the shortest way back; a module that declares
    itself gives `(a, a)`.

    Raises:
        KeyError: a declared name is no key of `depends`.
    """
    position = {name: index for index, name in enumerate(depends)}
    chains = [
        shortest_cycle(depends, component)
        for component in strong_components(depends)
        if len(component) > 1 or component[0] in depends[component[0]]
    ]
    return sorted(chains, key=lambda chain: position[chain[0]])


def shortest_cycle(depends: Depends, component: Sequence[str]) -> tuple[str, ...]:
    """The shortest way from the first member of a component back to itself, closed: `(a, b, ..., a)`.

    Args:
        depends: the whole map.
        component: a group that `strong_components` found and that holds a cycle.
    """
    start, members = component[0], frozenset(component)
    came_from: dict[str, str] = {}
    front = [start]
    while front:
        following: list[str] = []
        for name in front:
            for other in depends[name]:
                if other == start:
                    return (*_way(came_from, start, name), start)
                if other in members and other not in came_from:
                    came_from[other] = name
                    following.append(other)
        front = following
    raise ValueError(f"{start!r} is on no cycle")


def _way(came_from: Mapping[str, str], start: str, end: str) -> tuple[str, ...]:
    way = [end]
    while way[-1] != start:
        way.append(came_from[way[-1]])
    return tuple(reversed(way))


def _bits(mask: int) -> Iterator[int]:
    """The bits of a mask, lowest first."""
    return map(int, f"{mask:b}"[::-1])
