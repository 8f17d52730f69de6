"""The consistent set: which version of each module may stand in the package beside which others. Pure."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tinytorch_build.publish.entries import Entry


@dataclass(frozen=True, slots=True)
class Choice:
    """What shall stand in the package.

    Attributes:
        entries: the version of each module that stands, in course order.
        held: each module whose new version (or removal) does not get in yet, with the modules that stand in
            its way: they have not passed with it, or what it was tested with is not what they offer.
    """

    entries: dict[str, Entry]
    held: dict[str, tuple[str, ...]]


def consistent_set(
    published: Mapping[str, Entry], candidates: Mapping[str, Entry], order: Sequence[str]
) -> dict[str, Entry]:
    """The entries that may stand together: `choose`, from whatever of the published entries is sound.

    Args:
        published: the entries of the package as it stands.
        candidates: the last version of each module that passed all its gates.
        order: the modules of the manifest, in course order.
    """
    return choose(sound(published), candidates, order).entries


def sound(published: Mapping[str, Entry]) -> dict[str, Entry]:
    """The largest part of the published entries of which each was tested with exactly those beside it.

    Of two that claim the same file or public name the earlier one stays.
    """
    standing = _mutually_tested(published)
    clashes = _clashes(standing, standing)
    if not clashes:
        return standing
    position = {module: index for index, module in enumerate(standing)}
    for module, other in sorted(clashes, key=lambda pair: (position[pair[0]], position[pair[1]])):
        if module in standing and other in standing:
            del standing[other]
    return _mutually_tested(standing)


def _mutually_tested(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    standing = dict(entries)
    users: dict[str, list[str]] = defaultdict(list)
    for module, entry in entries.items():
        for other in entry.scope:
            users[other].append(module)
    waiting = deque(entries)
    while waiting:
        module = waiting.popleft()
        if module in standing and not _fits(standing[module], standing):
            del standing[module]
            waiting.extend(users[module])
    return standing


def _fits(entry: Entry, standing: Mapping[str, Entry]) -> bool:
    """Whether everything that an entry was tested with stands there in that version, and may stand there."""
    return all(other in standing and entry.goes_with(standing[other]) for other in entry.scope)


def choose(published: Mapping[str, Entry], candidates: Mapping[str, Entry], order: Sequence[str]) -> Choice:
    """Pick for each module its candidate or its published entry, so that all were tested with each other.

    A module has two states: it stays as published (for one never published: absent), or it moves to its
    candidate (for one that left the manifest: out of the package). Every demand ties two modules ("`tensor`
    may move only if `training` moves too", "`a` may move only if `b` stays"), so this is 2-satisfiability,
    with a solution known beforehand, in which every module stays. Hence no demand ever forces a move by
    itself, and any set of moves that is closed under what it requires and free of conflicts extends to a
    whole solution by letting all others stay. So it is enough to take the modules in course order, follow
    what each one's move requires, and commit that unless it meets a contradiction: the limited backtracking
    of Even, Itai and Shamir (1976), "On the complexity of timetable and multicommodity flow problems",
    SIAM J. Comput. 5(4). The result is maximal: no module that stays could still move, alone or with
    others. It takes time linear in the sizes of the scopes.

    Args:
        published: entries that are sound (`sound`); of these no module gets lost that is in `order`.
        candidates: the last version of each module that passed all its gates.
        order: the modules of the manifest, in course order; of two never published modules that want the same
            name or place, the earlier one gets it.
    """
    moves = _moves(published, candidates, order)
    needs = {module: _needs(module, published, moves) for module in moves}
    _add_claims(needs, published, moves)
    held = _hopeless(needs)
    moved: set[str] = set()
    barred: dict[str, str] = {}
    for module in moves:
        if module in held or module in moved:
            continue
        together, obstacle = _follow(module, needs, moved, barred, held)
        if obstacle:
            held[module] = obstacle
            continue
        moved |= together
        barred.update((other, member) for member in together for other in needs[member].excludes)
    return Choice(_entries(published, moves, moved, order), _in_order(held, order))


@dataclass(frozen=True, slots=True)
class _Needs:
    """What stands between one module and its move.

    Attributes:
        requires: modules that have to move as well.
        excludes: modules that must stay if this one moves.
        unmatched: modules it was tested with in a version that is neither published nor a candidate.
        unready: published modules that were tested with its old version and have no candidate.
    """

    requires: set[str] = field(default_factory=set)
    excludes: set[str] = field(default_factory=set)
    unmatched: set[str] = field(default_factory=set)
    unready: set[str] = field(default_factory=set)


_Moves = Mapping[str, Entry | None]
"""Each module that could move, with the entry that would then stand; None for one that would leave."""


def _moves(published: Mapping[str, Entry], candidates: Mapping[str, Entry], order: Sequence[str]) -> _Moves:
    moves: dict[str, Entry | None] = {
        module: candidates[module]
        for module in order
        if module in candidates and candidates[module] != published.get(module)
    }
    in_manifest = frozenset(order)
    moves.update((module, None) for module in published if module not in in_manifest)
    return moves


def _needs(module: str, published: Mapping[str, Entry], moves: _Moves) -> _Needs:
    """What the scopes demand: the new version's own, and those of the modules tested with the old one."""
    needs = _Needs()
    new, old = moves[module], published.get(module)
    for other in new.scope if new is not None else ():
        theirs, standing = moves.get(other), published.get(other)
        moved_fits = new is not None and theirs is not None and new.goes_with(theirs)
        if new is not None and standing is not None and new.goes_with(standing):
            if other in moves and not moved_fits:
                needs.excludes.add(other)
        elif moved_fits:
            needs.requires.add(other)
        else:
            needs.unmatched.add(other)
    if old is not None and (new is None or new.identity != old.identity or new.version != old.version):
        for other, entry in published.items():
            if module in entry.scope and (new is None or not entry.goes_with(new)):
                (needs.requires if other in moves else needs.unready).add(other)
    return needs


def _add_claims(needs: Mapping[str, _Needs], published: Mapping[str, Entry], moves: _Moves) -> None:
    """Add the demands that come from two modules wanting the same file or public name."""
    after = {module: entry for module, entry in moves.items() if entry is not None}
    if_it_stays, if_it_moves = _clashes(after, published), _clashes(after, after)
    for module, other in sorted(if_it_stays | if_it_moves):
        if (module, other) not in if_it_stays:
            needs[module].excludes.add(other)
            needs[other].excludes.add(module)
        elif other in moves and (module, other) not in if_it_moves:
            needs[module].requires.add(other)
        else:
            needs[module].unready.add(other)


def _clashes(entries: Mapping[str, Entry], others: Mapping[str, Entry]) -> set[tuple[str, str]]:
    """Pairs of a module of `entries` and one of `others` that want the same public name or place.

    A module's place is its file; no folder of modules can have the name of a module (`core`, `core.tensor`).
    """
    names: dict[str, list[str]] = defaultdict(list)
    places: dict[str, list[str]] = defaultdict(list)
    folders: dict[str, list[str]] = defaultdict(list)
    for module, entry in entries.items():
        for name in entry.names:
            names[name].append(module)
        places[_place(entry)].append(module)
        for folder in _folders(_place(entry)):
            folders[folder].append(module)
    found: set[tuple[str, str]] = set()
    for other, entry in others.items():
        place = _place(entry)
        meeting = [names[name] for name in entry.names if name in names]
        meeting += [index[place] for index in (places, folders) if place in index]
        meeting += [places[folder] for folder in _folders(place) if folder in places]
        found.update((module, other) for modules in meeting for module in modules if module != other)
    return found


def _place(entry: Entry) -> str:
    return entry.target.casefold()  # many file systems do not tell `Core` from `core`


def _folders(place: str) -> Iterator[str]:
    """`a`, `a.b` for `a.b.c`."""
    end = place.find(".")
    while end >= 0:
        yield place[:end]
        end = place.find(".", end + 1)


def _hopeless(needs: Mapping[str, _Needs]) -> dict[str, frozenset[str]]:
    """The modules that cannot move whatever the others do, each with what is in its way."""
    held: dict[str, frozenset[str]] = {}
    to_others: dict[str, frozenset[str]] = {}
    required_by: dict[str, list[str]] = defaultdict(list)
    for module, need in needs.items():
        for other in need.requires:
            required_by[other].append(module)
        if need.unmatched or need.unready:
            held[module] = frozenset(need.unready | need.unmatched)
            to_others[module] = frozenset(need.unready | {module} if need.unmatched else need.unready)
    waiting = deque(held)
    while waiting:
        module = waiting.popleft()
        for other in required_by[module]:
            if other not in held:
                held[other] = to_others[other] = _reasons(to_others[module], other, module)
                waiting.append(other)
    return held


def _reasons(inherited: frozenset[str], module: str, through: str) -> frozenset[str]:
    """What keeps a module back, inherited from one that it requires; it is never told to wait for itself."""
    return inherited if module not in inherited else inherited - {module} or frozenset([through])


def _follow(
    module: str,
    needs: Mapping[str, _Needs],
    moved: set[str],
    barred: Mapping[str, str],
    held: Mapping[str, frozenset[str]],
) -> tuple[set[str], frozenset[str]]:
    """Everything that has to move with a module, and what makes that impossible, if anything does."""
    together, waiting = {module}, [module]
    while waiting:
        current = waiting.pop()
        if current in held:
            return together, _reasons(held[current], module, current)
        if current in barred:
            return together, frozenset([barred[current]])
        fresh = sorted(needs[current].requires - together - moved)
        together.update(fresh)
        waiting += fresh
    for member in sorted(together):
        for other in sorted(needs[member].excludes):
            if other in together or other in moved:
                return together, frozenset([member if member != module else other])
    return together, frozenset()


def _entries(
    published: Mapping[str, Entry], moves: _Moves, moved: set[str], order: Sequence[str]
) -> dict[str, Entry]:
    def standing() -> Iterator[tuple[str, Entry]]:
        for module in _each_once(order, published):
            entry = moves[module] if module in moved else published.get(module)
            if entry is not None:
                yield module, entry

    return dict(standing())


def _in_order(held: Mapping[str, frozenset[str]], order: Sequence[str]) -> dict[str, tuple[str, ...]]:
    position = {module: index for index, module in enumerate(order)}

    def key(module: str) -> tuple[int, str]:
        return position.get(module, len(position)), module

    # Many modules wait for the same few: their reasons are one set, and sorted once.
    listed = {reasons: tuple(sorted(reasons, key=key)) for reasons in set(held.values())}
    return {module: listed[held[module]] for module in sorted(held, key=key)}


def _each_once(*sequences: Iterable[str]) -> Iterator[str]:
    return iter(dict.fromkeys(module for sequence in sequences for module in sequence))
