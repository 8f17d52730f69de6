"""Which modules of the course an import means."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from tinytorch_build.model import CourseModule, Manifest


@dataclass(frozen=True, slots=True)
class Imported:
    """One name that an import statement asks for.

    Attributes:
        module: full dotted name of the module that it is asked of.
        name: the name asked for, `*`, or None for `import module`.
        line: 1-based line of the statement.
    """

    module: str
    name: str | None
    line: int

    @property
    def top(self) -> str:
        """The first part of the dotted name, which tells the distribution."""
        return self.module.split(".")[0]


@dataclass(frozen=True, slots=True)
class Target:
    """What an import means in terms of the course.

    Attributes:
        kind: `module`: a module of the course. `root`: the package itself, which holds all of them.
            `unknown`: something in the package that is no module of the course.
        name: name of the module in the manifest; the name asked of the root (or the empty string for the
            package as a whole); or the dotted name that is unknown.
    """

    kind: Literal["module", "root", "unknown"]
    name: str


def imports_of(tree: ast.AST) -> Iterator[Imported]:
    """Every absolute import in a tree, also those in functions and under conditions."""
    return imports_among(ast.walk(tree))


def imports_among(nodes: Iterable[ast.AST], here: str | None = None) -> Iterator[Imported]:
    """Every import among some nodes.

    Args:
        nodes: nodes of a syntax tree.
        here: full dotted name of the module that it is of, for relative imports; left out without it.
    """
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Imported(alias.name, None, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                if here is None:
                    continue
                module = ".".join([*here.split(".")[: -node.level], *([module] if module else [])])
            for alias in node.names:
                yield Imported(module, alias.name, node.lineno)


def target_of(manifest: Manifest, imported: Imported) -> Target | None:
    """What an import means; None if it does not ask the package."""
    package = manifest.package.name
    if imported.top != package:
        return None
    if imported.module in manifest.by_dotted:
        return Target("module", manifest.by_dotted[imported.module].name)
    inside = f"{imported.module}.{imported.name}"
    if inside in manifest.by_dotted:
        return Target("module", manifest.by_dotted[inside].name)
    if any(dotted.startswith(f"{inside}.") for dotted in manifest.by_dotted):
        return Target("unknown", inside)
    if imported.module == package:
        return Target("root", "" if imported.name in (None, "*") else str(imported.name))
    if imported.name is None or any(
        dotted.startswith(f"{imported.module}.") for dotted in manifest.by_dotted
    ):
        return Target("unknown", imported.module if imported.name in (None, "*") else inside)
    return Target("unknown", imported.module)


def provider_of(manifest: Manifest, name: str) -> CourseModule | None:
    """The module that provides a name, as the manifest tells; None if it does not."""
    return next((module for module in manifest.modules if name in module.provides), None)
