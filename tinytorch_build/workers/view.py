"""What a worker may import of the package under construction: exactly the listed files, byte for byte."""

from __future__ import annotations

import functools
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import CodeType, ModuleType
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class StagedModule:
    """A file that a worker may import.

    Attributes:
        path: absolute path.
        sha256: hex SHA-256 that its bytes must have.
    """

    path: str
    sha256: str


class Refusal(NamedTuple):
    """Why an import is refused, and what to do about it; both without a full stop."""

    reason: str
    cure: str


@dataclass(frozen=True)
class View:
    """What of a package can be imported. Whatever else bears the package's name does not exist.

    Attributes:
        package: import name of the package.
        modules: the files that can be imported, by full dotted name.
        init: text of the package's `__init__.py`.
        owner: the module, or the path of the test file, that the process works for.
        undeclared: full dotted names of the modules that exist but must not be seen, with their names in
            the manifest.
    """

    package: str
    modules: Mapping[str, StagedModule]
    init: str = ""
    owner: str = ""
    undeclared: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def packages(self) -> frozenset[str]:
        """The package and its sub-packages."""
        found = {self.package}
        for dotted in (*self.modules, *self.undeclared):
            parts = dotted.split(".")
            found.update(".".join(parts[:count]) for count in range(1, len(parts)))
        return frozenset(found)

    def holds(self, dotted: str) -> bool:
        """Whether a dotted name lies in the package, visible or not."""
        return dotted == self.package or dotted.startswith(f"{self.package}.")

    def refusal(self, dotted: str) -> Refusal:
        """Why a name of the package cannot be imported."""
        name = self.undeclared.get(dotted)
        if name is None:
            return Refusal(f"{dotted!r} is no module of this course", "see the targets in modules.toml")
        if self.owner.endswith(".py"):
            return Refusal(
                f"{dotted!r} is not among the modules that {self.owner} imports by name",
                "import it there with a plain import statement",
            )
        return Refusal(
            f"{dotted!r} is not among the modules that {self.owner} declares",
            f'add "{name}" to depends of [modules.{self.owner}] in modules.toml',
        )


class ViewFinder(importlib.abc.MetaPathFinder):
    """Serves a view; stands at the head of `sys.meta_path` and owns the package's name entirely."""

    def __init__(self, view: View) -> None:
        self._view = view

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a visible module; None for names outside the package.

        Raises:
            ModuleNotFoundError: the name lies in the package and is not visible.
        """
        view = self._view
        if not view.holds(fullname):
            return None
        is_package = fullname in view.packages
        staged = view.modules.get(fullname)
        if staged is None and not is_package:
            raise refused(view, fullname)
        origin = (
            staged.path if staged else f"<{fullname.replace('.', '/')}/__init__.py as {view.owner} sees it>"
        )
        spec = importlib.machinery.ModuleSpec(
            fullname, ViewLoader(view, staged, origin, is_package), origin=origin, is_package=is_package
        )
        spec.has_location = staged is not None
        return spec


def refused(view: View, dotted: str) -> ModuleNotFoundError:
    """The exception for a name of the package that cannot be imported."""
    return ModuleNotFoundError("; ".join(view.refusal(dotted)), name=dotted)


class ViewLoader(importlib.abc.InspectLoader):
    """Compiles one module from bytes whose digest it has checked; a `.pyc` is neither read nor written."""

    def __init__(self, view: View, staged: StagedModule | None, origin: str, is_package: bool) -> None:
        self._view = view
        self._staged = staged
        self._origin = origin
        self._is_package = is_package

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """Leave the making of the module object to Python."""
        return None

    def is_package(self, fullname: str) -> bool:
        return self._is_package

    def get_source(self, fullname: str) -> str:
        """The module's text, which tracebacks and `inspect` show.

        Raises:
            ImportError: the file is not what it was when the view was made.
        """
        if self._staged is None:
            return self._view.init if fullname == self._view.package else ""
        try:
            data = Path(self._staged.path).read_bytes()
        except OSError as error:
            raise ImportError(f"{fullname!r} cannot be read: {error}", name=fullname) from error
        if hashlib.sha256(data).hexdigest() != self._staged.sha256:
            message = f"the file of {fullname!r} changed during the run; run the command again"
            raise ImportError(message, name=fullname, path=self._staged.path)
        return importlib.util.decode_source(data)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module; a package gets a way to refuse `from package import hidden` with the reason.

        Python takes the finder's refusal there for "not a sub-module" and then says "cannot import name".
        """
        super().exec_module(module)
        if self._is_package and not hasattr(module, "__getattr__"):
            setattr(module, "__getattr__", functools.partial(self._refuse, module.__name__))  # noqa: B010

    def _refuse(self, package: str, name: str) -> None:
        if f"{package}.{name}" in self._view.undeclared:
            raise refused(self._view, f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.get_source(fullname), self._origin, "exec", dont_inherit=True)
