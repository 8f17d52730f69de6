"""The check of what an export imports from outside: the standard library, and what the package depends on."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from tinytorch_build.checks.export import ExportUnderCheck
from tinytorch_build.layout import MANIFEST
from tinytorch_build.model import CourseModule, Manifest, Problem

if TYPE_CHECKING:
    from packaging.requirements import Requirement


def third_party_imports_are_declared(export: ExportUnderCheck) -> list[Problem]:
    """Whoever installs the package gets what `[package].dependencies` names; nothing else may be imported."""
    manifest = export.manifest
    first_lines: dict[str, int] = {}
    for imported in export.imports:
        if imported.top != manifest.package.name and imported.top not in sys.stdlib_module_names:
            first_lines.setdefault(imported.top, imported.line)
    problems = []
    for name, line in first_lines.items():
        fault = _fault(manifest, export.module, name)
        if fault is not None:
            message, cure = fault
            problems.append(export.problem("third-party-import", message, line, cure))
    return problems


def _fault(manifest: Manifest, module: CourseModule, name: str) -> tuple[str, str] | None:
    """What is wrong with importing a name from outside, and the cure; None if it is in order."""
    missing = []
    for requirement in _requirements(manifest):
        named_alike = _normalised(requirement.name) == _normalised(name)
        try:
            distribution = metadata.distribution(requirement.name)
        except metadata.PackageNotFoundError:
            missing.append(requirement)
            if named_alike:
                return _not_installed(module, name, requirement)
            continue
        if named_alike or name in _import_names(distribution):
            return _wrong_version(module, requirement, distribution.version)
    own = _own_module(manifest, name)
    if own is not None:
        return f"{module.name} imports `{name}`, a module of the course, by less than its whole name", (
            f"write `from {manifest.dotted(own)} import ...`"
        )
    if missing:
        listed = ", ".join(requirement.name for requirement in missing)
        return (
            f"{module.name} imports {name}, which no installed dependency of the package brings",
            f"install {listed}, or add the distribution of {name} to dependencies of [package] in {MANIFEST}",
        )
    return (
        f"{module.name} imports {name}, neither of the standard library nor a dependency of the package",
        f"do without it, or add its distribution to dependencies of [package] in {MANIFEST}",
    )


def _requirements(manifest: Manifest) -> Iterator[Requirement]:
    """The requirements of the package that hold for this Python and this system."""
    from packaging.requirements import Requirement

    for text in manifest.package.dependencies:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate():
            yield requirement


def _not_installed(module: CourseModule, name: str, requirement: Requirement) -> tuple[str, str]:
    what = f"{module.name} imports {name}"
    return (
        f"{what}, and {requirement.name}, a dependency of the package, is not installed",
        f'run `python -m pip install "{requirement}"`',
    )


def _wrong_version(module: CourseModule, requirement: Requirement, version: str) -> tuple[str, str] | None:
    if requirement.specifier.contains(version, prereleases=True):
        return None
    return (
        f"{module.name} imports {requirement.name}, whose installed version {version} is not "
        f"{requirement.specifier} as the package asks",
        f'run `python -m pip install "{requirement}"`',
    )


def _own_module(manifest: Manifest, name: str) -> CourseModule | None:
    return next(
        (module for module in manifest.modules if name in (module.name, *module.target.split("."))), None
    )


def _import_names(distribution: metadata.Distribution) -> frozenset[str]:
    """The top-level names that a distribution makes importable: `scikit-learn` -> `sklearn`."""
    listed = distribution.read_text("top_level.txt")
    if listed is not None:
        return frozenset(listed.split())
    return frozenset(
        name
        for file in distribution.files or ()
        if (name := _top_name(PurePosixPath(file.as_posix()))).isidentifier()
    )


def _top_name(path: PurePosixPath) -> str:
    """`sklearn` for `sklearn/base.py`, `six` for `six.py`; no identifier for anything else."""
    if len(path.parts) > 1:
        return path.parts[0]
    return path.name.split(".")[0] if path.suffix in (".py", ".pyd", ".so") else ""


def _normalised(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
