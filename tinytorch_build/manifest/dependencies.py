"""Checks what modules declare in `depends`: that it exists, and that course order is an order for it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from tinytorch_build.graph import shortest_cycle, strong_components
from tinytorch_build.manifest.findings import Findings, listed, quoted, subject, table_name
from tinytorch_build.manifest.names import ALL, constraint_fault
from tinytorch_build.manifest.sections import Draft
from tinytorch_build.manifest.table import Item
from tinytorch_build.model import Dependency
from tinytorch_build.suggest import closest

_DEPENDENCY = re.compile(r"\s*([^\s<>=!~]*)\s*(.*)", re.DOTALL)
_LONGEST_CHAIN = 12

Declared = Mapping[str, Mapping[str, tuple[Item, Dependency]]]
"""For each module, what it depends on: by name, with the item that says so."""


def read_dependencies(modules: Sequence[Draft], findings: Findings) -> dict[str, tuple[Dependency, ...]]:
    """What each module depends on, in course order, with `all` spelled out.

    Args:
        modules: in course order.
        findings: where problems go.
    """
    reader = _Reader(modules, findings)
    declared = {module.name: reader.of(module) for module in modules}
    _check_order(declared, findings)
    position = {module.name: index for index, module in enumerate(modules)}
    return {
        name: tuple(dependencies[other][1] for other in sorted(dependencies, key=position.__getitem__))
        for name, dependencies in declared.items()
    }


class _Reader:
    """Reads `depends` of one module after the other."""

    def __init__(self, modules: Sequence[Draft], findings: Findings) -> None:
        self.findings = findings
        self._names = tuple(module.name for module in modules)
        self._declared = {name: index for index, name in enumerate(self._names)}
        self._plain = {name: Dependency(name) for name in self._names}  # shared: `all` makes many
        self._meant: dict[str, str | None] = {}

    def of(self, module: Draft) -> dict[str, tuple[Item, Dependency]]:
        found: dict[str, tuple[Item, Dependency]] = {}
        if any(_split(item)[0] == ALL for item in module.depends):
            above = self._names[: self._declared[module.name]]
            self._check_all(module)
            return {name: (module.depends[0], self._plain[name]) for name in above}
        for item in module.depends:
            name, constraint = _split(item)
            if name not in self._declared:
                self._unknown(item, name)
            elif name == module.name:
                self._wrong("self-dependency", item, f"names {quoted(name)} itself", "remove it")
            elif name in found:
                cure = "keep one of the two; a constraint may have several parts: NAME>=1.0,<2"
                self._wrong("duplicate-dependency", item, f"names {quoted(name)} twice", cure)
            else:
                found[name] = (item, self._dependency(item, name, constraint))
        return found

    def _check_all(self, module: Draft) -> None:
        item = next(item for item in module.depends if _split(item)[0] == ALL)
        if len(module.depends) > 1:
            cure = 'write depends = ["all"] alone, or list the modules without it'
            self._wrong("mixed-all", item, "names 'all' beside other entries", cure)
        if _split(item)[1]:
            reason = f"holds {quoted(item.text)}, but 'all' takes no version constraint"
            self._wrong("bad-constraint", item, reason, 'write depends = ["all"]')

    def _unknown(self, item: Item, name: str) -> None:
        if not name:
            reason = f"holds {quoted(item.text)}, which names no module"
            self._wrong("unknown-module", item, reason, "write the name of a module declared above")
            return
        if name not in self._meant:  # a name misspelt in its own table comes back in many others
            self._meant[name] = closest(name, self._names) or closest(name.rpartition(".")[2], self._names)
        meant = self._meant[name]
        hint = f"; did you mean {quoted(meant)}?" if meant else ", which no table declares"
        cure = f"declare {table_name(('modules', name))} above it; other packages belong into "
        cure += "[package] dependencies"
        if meant:
            cure = f"write {meant}"
        self._wrong("unknown-module", item, f"names {quoted(name)}{hint}", cure)

    def _dependency(self, item: Item, name: str, constraint: str) -> Dependency:
        if not constraint:
            return self._plain[name]
        fault = constraint_fault(constraint, f"{name}>=1.0,<2")
        if fault is not None:
            self._wrong("bad-constraint", item, f"holds {quoted(item.text)}, {fault.reason}", fault.cure)
            return self._plain[name]
        return Dependency(name, "".join(constraint.split()))

    def _wrong(self, check: str, item: Item, reason: str, cure: str) -> None:
        self.findings.add(check, item.path, f"{subject(item.path)} {reason}", cure)


def _split(item: Item) -> tuple[str, str]:
    """Name and version constraint of an entry."""
    matched = _DEPENDENCY.match(item.text)
    return (matched[1], matched[2].strip()) if matched else ("", "")


def _check_order(declared: Declared, findings: Findings) -> None:
    """Report cycles, and what is declared too late; members of a cycle are reported as the cycle alone."""
    position = {name: index for index, name in enumerate(declared)}
    late = [
        (name, other)
        for name, needs in declared.items()
        for other in needs
        if position[other] > position[name]
    ]
    if not late:  # then there is no cycle either, since each holds a step downwards
        return
    depends = {name: tuple(needs) for name, needs in declared.items()}
    group = {name: members for members in strong_components(depends) for name in members}
    reported: set[tuple[str, ...]] = set()
    for name, other in late:
        members = group[name]
        if group[other] is not members:
            _report_late(declared[name][other][0], other, table_name(("modules", name)), findings)
        elif members not in reported:
            reported.add(members)
            _report_cycle(depends, members, declared, findings)


def _report_late(item: Item, other: str, header: str, findings: Findings) -> None:
    line = findings.line(("modules", other))
    found = f"{subject(item.path)} names {quoted(other)}, which is declared below it"
    cure = f"move the table {table_name(('modules', other))} above {header}"
    findings.add("module-order", item.path, found + (f" (line {line})" if line else ""), cure)


def _report_cycle(
    depends: Mapping[str, Sequence[str]], members: tuple[str, ...], declared: Declared, findings: Findings
) -> None:
    chain = shortest_cycle(depends, members)
    others = [name for name in members if name not in chain]
    more = (
        f"; {listed(_short(others))} {'is' if len(others) == 1 else 'are'} caught in it too" if others else ""
    )
    findings.add(
        "cycle",
        declared[chain[0]][chain[1]][0].path,
        f"modules depend on each other in a circle: {' -> '.join(_short(chain))}{more}",
        "remove one of these dependencies, or move what both sides need into a module above them",
    )


def _short(names: Sequence[str]) -> Iterator[str]:
    """The names, or only the first and last of very many."""
    if len(names) <= _LONGEST_CHAIN:
        return map(_shown, names)
    left_out = f"({len(names) - _LONGEST_CHAIN + 1} more)"
    return iter([*map(_shown, names[:6]), left_out, *map(_shown, names[-5:])])


def _shown(name: str) -> str:
    return name if name.isidentifier() else quoted(name)
