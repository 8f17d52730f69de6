"""A course of two modules on disk, and its manifest, for tests that break one thing at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tinytorch_build.manifest import read_manifest

GOOD = """\
[package]
name = "course"

[modules.one]
source = "src/01_one/one.py"
target = "core.one"

[modules.two]
source = "src/02_two/two.py"
target = "core.two"
depends = ["one"]
tests = ["tests/unit/test_two.py"]
"""


@dataclass(frozen=True, slots=True)
class SmallCourse:
    """The course in one folder."""

    root: Path

    @classmethod
    def at(cls, root: Path) -> SmallCourse:
        """Write its files; the manifest comes with `problems`."""
        course = cls(root)
        for path in ("src/01_one/one.py", "src/02_two/two.py", "tests/unit/test_two.py"):
            course.write(path)
        return course

    def write(self, path: str, text: str = "") -> None:
        """Write a file and the folders above it."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text, encoding="utf-8")

    def problems(self, manifest: str) -> list[str]:
        """What reading this manifest reports, as it is printed."""
        self.write("modules.toml", manifest)
        found, problems = read_manifest(self.root / "modules.toml")
        assert (found is None) == bool(problems)
        return [str(problem) for problem in problems]


def changed(old: str, new: str) -> str:
    """The good manifest with one passage replaced."""
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)
