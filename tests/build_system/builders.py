"""Builders of values for tests: a manifest in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tinytorch_build.model import CourseModule, Dependency, Manifest, Package


def course_module(name: str, depends: Sequence[str] = (), **other: object) -> CourseModule:
    """A module with a conventional source and target."""
    fields: dict[str, object] = {
        "name": name,
        "source": f"src/01_{name}/{name}_dev.py",
        "target": f"core.{name}",
        "depends": tuple(Dependency(need) for need in depends),
    }
    return CourseModule(**{**fields, **other})  # type: ignore[arg-type]  # fields by name, checked at run time


def manifest_of(depends: Mapping[str, Sequence[str]], root: Path = Path("/course")) -> Manifest:
    """A course of some modules, given as what each depends on, in course order."""
    modules = tuple(course_module(name, needs) for name, needs in depends.items())
    return Manifest(root, Package("demo"), modules)
