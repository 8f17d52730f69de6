"""The imports of the published modules against what the manifest lets each of them import. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tinytorch_build.boundaries.graph import FoundImport
from tinytorch_build.checks.dependencies import UNSATISFIED, undeclared_module, unknown_module
from tinytorch_build.model import CourseModule, Manifest, Problem

Locate = Callable[[CourseModule, int], tuple[str, int | None]]
"""From a module and a line of its published file to path and line of its source."""


@dataclass(frozen=True, slots=True)
class ModuleImports:
    """What one module declares, and what it does.

    Attributes:
        declared: the modules that it may import, in course order.
        imports: the modules that its published file imports, in course order.
    """

    declared: tuple[str, ...]
    imports: tuple[str, ...]

    @property
    def unused(self) -> tuple[str, ...]:
        """What it declares and its published file does not import; inline cells and tests may still."""
        return tuple(name for name in self.declared if name not in self.imports)

    def to_json(self) -> dict[str, list[str]]:
        return {
            "declared": list(self.declared),
            "imports": list(self.imports),
            "unused": list(self.unused),
        }


def compare(manifest: Manifest, imports: Iterable[FoundImport]) -> dict[str, ModuleImports]:
    """For every module, in course order, what it declares and what it imports."""
    asked: dict[str, set[str]] = {module.name: set() for module in manifest.modules}
    for found in imports:
        importer, imported = (manifest.by_dotted.get(name) for name in (found.importer, found.imported))
        if importer is not None and imported is not None:
            asked[importer.name].add(imported.name)
    order = [module.name for module in manifest.modules]
    return {
        module.name: ModuleImports(
            module.depends_on, tuple(name for name in order if name in asked[module.name])
        )
        for module in manifest.modules
    }


def crossings(manifest: Manifest, imports: Iterable[FoundImport], locate: Locate) -> list[Problem]:
    """The imports that the manifest does not allow: of undeclared modules, and of no module at all.

    Files that belong to no module (the generated `__init__.py`, hand-written files that the course includes)
    may import what they like; that no module imports *them* is what keeps the modules apart.

    Args:
        manifest: the course.
        imports: what the published package imports.
        locate: finds the source line of a statement.
    """
    problems = []
    for found in sorted(imports):
        module = manifest.by_dotted.get(found.importer)
        fault = None if module is None else _fault(manifest, module, found)
        if module is not None and fault is not None:
            check, message, cure = fault
            file, line = locate(module, found.line)
            problems.append(Problem(check, f"{UNSATISFIED} {message}", file, line, cure))
    return problems


def _fault(manifest: Manifest, module: CourseModule, found: FoundImport) -> tuple[str, str, str] | None:
    """Check, message and cure for an import, or None if it is in order."""
    imported = manifest.by_dotted.get(found.imported)
    if imported is None:
        if found.imported == manifest.package.name:
            message = f"{module.name} imports {found.imported} itself, which stands for every module of it"
            return "root-import", message, "import each name from the module that defines it"
        return unknown_module(manifest, module.name, found.imported)
    if imported.name in module.depends_on:
        return None
    return undeclared_module(manifest, module.name, imported.name)


def details(compared: Mapping[str, ModuleImports]) -> dict[str, Any]:
    """What the report shows: `{"modules": {name: {"declared": …, "imports": …, "unused": …}}}`."""
    return {"modules": {name: imports.to_json() for name, imports in compared.items()}}
