"""A course after its export, for tests of the stages that run code: staged files, test files, a view."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

from tinytorch_build.files import sha256
from tinytorch_build.model import Limits
from tinytorch_build.workers import StagedModule, View

SHIFT = 100
"""How much further down a line stands in the source than in the staged file."""


@dataclass
class StagedCourse:
    """The package `pkg`, whose modules are `pkg.core.NAME`, exported from `src/NAME_dev.py`."""

    root: Path
    limits: Limits = field(default_factory=lambda: Limits(30.0, 30.0, 512))
    hidden: tuple[str, ...] = ("hidden",)
    _staged: dict[str, Path] = field(default_factory=dict)

    def stage(self, name: str, text: str) -> None:
        """Write a module's export."""
        self._staged[name] = self.write(f"build/staging/pkg/core/{name}.py", text)

    def write(self, path: str, text: str) -> Path:
        """Write any file of the course."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text), encoding="utf-8")
        return file

    def view(self, owner: str, names: Iterable[str] | None = None) -> View:
        """What `owner` may import: all that is staged, or some of it."""
        visible = self._staged if names is None else {name: self._staged[name] for name in names}
        modules = {
            f"pkg.core.{name}": StagedModule(str(path), sha256(path.read_bytes()))
            for name, path in visible.items()
        }
        return View("pkg", modules, "", owner, {f"pkg.core.{name}": name for name in self.hidden})

    def locate(self, path: str, line: int) -> tuple[str, int] | None:
        """From a line of a staged file to the line of its source."""
        names = [name for name, staged in self._staged.items() if str(staged) == path]
        return (f"src/{names[0]}_dev.py", line + SHIFT) if names else None
