"""Entries: what is known of one version of a module that has passed its gates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tinytorch_build.files import sha256
from tinytorch_build.versions import allows


def identity(target: str, export: str) -> str:
    """What one module can notice of another: the place that it is imported from, and the exported code.

    Args:
        target: dotted name inside the package, such as `core.tensor`.
        export: hex SHA-256 of the exported file.
    """
    return sha256(f"{target}\0{export}".encode())


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of a module that has passed all its gates, and what it passed them with.

    Attributes:
        module: the module's name in the manifest.
        version: its version there.
        target: dotted name inside the package.
        export: hex SHA-256 of the exported file.
        cells: hex SHA-256 of the source's exported cells.
        names: the public names that it exports.
        depends: the modules that it declares.
        constraints: the versions of some of these that it allows, such as `>=1.0,<2` (PEP 440).
        scope: every module that took part in one of its gates, except itself, with its `identity` then.
        identity: this version's own identity, as the scopes of other modules hold it.
        path: its file, POSIX path from the package's folder.
    """

    module: str
    version: str
    target: str
    export: str
    cells: str
    names: tuple[str, ...]
    depends: tuple[str, ...]
    scope: Mapping[str, str]
    constraints: Mapping[str, str] = field(default_factory=dict)
    identity: str = field(init=False, compare=False, repr=False)
    path: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # Worked out once: choosing a consistent set asks for it as often as there are edges between modules.
        object.__setattr__(self, "identity", identity(self.target, self.export))
        object.__setattr__(self, "path", f"{self.target.replace('.', '/')}.py")

    def to_json(self) -> dict[str, Any]:
        """The form in which the ledger holds an entry."""
        return {
            "module": self.module,
            "version": self.version,
            "target": self.target,
            "export": self.export,
            "cells": self.cells,
            "names": list(self.names),
            "depends": list(self.depends),
            "constraints": dict(self.constraints),
            "scope": dict(self.scope),
        }

    def goes_with(self, other: Entry) -> bool:
        """Whether this version was tested with that of another module, and allows it."""
        return self.scope.get(other.module) == other.identity and allows(
            self.constraints.get(other.module, ""), other.version
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Entry:
        """The entry that `to_json` wrote.

        Raises:
            KeyError, TypeError: it is no such mapping.
        """
        return cls(
            module=data["module"],
            version=data["version"],
            target=data["target"],
            export=data["export"],
            cells=data["cells"],
            names=tuple(data["names"]),
            depends=tuple(data["depends"]),
            scope=dict(data["scope"]),
            constraints=dict(data["constraints"]),
        )
