"""Checks of what an export imports from its own package: what it declares, and nothing else."""

from __future__ import annotations

from tinytorch_build.checks.export import ExportUnderCheck
from tinytorch_build.checks.resolve import Imported, Target, imports_of, provider_of, target_of
from tinytorch_build.layout import MANIFEST
from tinytorch_build.model import CourseModule, Manifest, Problem, Severity
from tinytorch_build.suggest import closest
from tinytorch_build.versions import allows

UNSATISFIED = "Module dependencies not satisfied:"
"""How every message about a dependency begins; part of the interface."""


def imports_are_declared(export: ExportUnderCheck) -> list[Problem]:
    """In-package imports ask declared modules only, each by its own name."""
    problems = []
    for imported in dict.fromkeys(export.imports):
        target = target_of(export.manifest, imported)
        fault = None if target is None else _fault(export, imported, target)
        if fault is not None:
            check, message, cure = fault
            problems.append(export.problem(check, f"{UNSATISFIED} {message}", imported.line, cure))
    return problems


def inline_imports_are_declared(export: ExportUnderCheck) -> list[Problem]:
    """So do the cells that are not exported: while they run, they see no more than the module itself."""
    manifest, module = export.manifest, export.module
    allowed = (module.name, *module.depends_on)
    problems = []
    for parsed in export.other_cells:
        if parsed.tree is None or not parsed.cell.evaluated:
            continue
        for imported in dict.fromkeys(imports_of(parsed.tree)):
            target = target_of(manifest, imported)
            if target is None:
                continue
            name = _asked_module(manifest, target)
            if target.kind == "unknown":
                check, message, cure = unknown_module(manifest, module.name, target.name)
            elif name is not None and name not in allowed:
                check, message, cure = undeclared_module(manifest, module.name, name)
            else:
                continue
            line = parsed.cell.line + imported.line - 1 if export.document.lines_known else None
            problems.append(Problem(check, f"{UNSATISFIED} {message}", export.document.path, line, cure))
    return problems


def _asked_module(manifest: Manifest, target: Target) -> str | None:
    """The module of the course that a target stands for, as far as the manifest tells."""
    if target.kind == "module":
        return target.name
    provider = provider_of(manifest, target.name) if target.kind == "root" else None
    return None if provider is None else provider.name


def _fault(export: ExportUnderCheck, imported: Imported, target: Target) -> tuple[str, str, str] | None:
    """Check, message and cure for an import of the package, or None if it is in order."""
    manifest, module = export.manifest, export.module
    if target.kind == "unknown":
        return unknown_module(manifest, module.name, target.name)
    if target.kind == "root":
        return _root_import(manifest, module, target.name)
    if target.name == module.name:
        what = "itself" if imported.name is None else f"`{imported.name}` from itself"
        return "circular-import", f"{module.name} imports {what}", "use the name as it is, without an import"
    if target.name in module.depends_on:
        return None
    return undeclared_module(manifest, module.name, target.name)


def undeclared_module(manifest: Manifest, owner: str, name: str) -> tuple[str, str, str]:
    """Check, message and cure for the import of a module that its owner does not declare.

    Args:
        manifest: the course.
        owner: the module that imports.
        name: the module that is imported.
    """
    order = list(manifest.by_name)
    if order.index(name) > order.index(owner):
        message = f"{owner} imports {name}, which comes later in the course"
        cure = f"do without it, or move what needs {name} into a module that comes after it"
        return "undeclared-import", message, cure
    return "undeclared-import", f"{owner} imports {name}, which it does not declare", declare(name, owner)


def declare(name: str, owner: str) -> str:
    """The cure for an import that is not declared."""
    return f'add "{name}" to depends of [modules.{owner}] in {MANIFEST}'


def unknown_module(manifest: Manifest, owner: str, dotted: str) -> tuple[str, str, str]:
    """Check, message and cure for the import of something in the package that is no module of the course."""
    by_last_part = {name.rpartition(".")[2]: name for name in manifest.by_dotted}
    parts = dotted.split(".")[:0:-1]
    near = next((by_last_part[found] for part in parts if (found := closest(part, by_last_part, 0.7))), None)
    cure = f"did you mean `{near}`?" if near else f"import from a module that {MANIFEST} names as a target"
    return "unknown-module", f"{owner} imports {dotted}, which is no module of the course", cure


def _root_import(manifest: Manifest, module: CourseModule, name: str) -> tuple[str, str, str]:
    package = manifest.package.name
    provider = provider_of(manifest, name) if name else None
    what = f"`{name}` from {package} itself" if name else f"{package} as a whole"
    message = f"{module.name} imports {what}, which would import every module of the course"
    if provider is None:
        cure = (
            f"import each name from the module that defines it: `from {package}.... import {name or '...'}`"
        )
        return "root-import", message, cure
    cure = f"write `from {manifest.dotted(provider)} import {name}`"
    if provider.name not in (module.name, *module.depends_on):
        cure += f", and {declare(provider.name, module.name)}"
    return "root-import", message, cure


def declared_modules_are_used(export: ExportUnderCheck) -> list[Problem]:
    """Every declared module is imported somewhere in the source (a warning)."""
    manifest, module = export.manifest, export.module
    if manifest.declares_all(module):
        return []
    inline = [parsed.tree for parsed in export.other_cells if parsed.tree is not None]
    used = {
        _asked_module(manifest, target)
        for imports in (export.imports, *map(imports_of, inline))
        for imported in imports
        if (target := target_of(manifest, imported)) is not None
    }
    return [
        Problem(
            "unused-dependency",
            f"{module.name} declares {name}, but no cell of it imports {name}",
            MANIFEST,
            module.line,
            f'take "{name}" out of depends of [modules.{module.name}]',
            Severity.WARNING,
        )
        for name in module.depends_on
        if name not in used
    ]


def versions_are_met(export: ExportUnderCheck) -> list[Problem]:
    """Each declared module has a version that the declaration allows (PEP 440)."""
    manifest, module = export.manifest, export.module
    problems = []
    for dependency in module.depends:
        version = manifest[dependency.name].version
        if not allows(dependency.specifier, version):
            message = (
                f"{UNSATISFIED} {module.name} needs {dependency}, and {dependency.name} has version {version}"
            )
            cure = f"change the constraint in depends of [modules.{module.name}], or the version"
            problems.append(Problem("version-constraint", message, MANIFEST, module.line, cure))
    return problems
