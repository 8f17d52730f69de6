"""A small course on disk, for tests that run the real thing: shapes, areas, summary; colours alone."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from tinytorch_build.model import Outcome
from tinytorch_build.report import Report
from tinytorch_build.tasks import validate

MANIFEST = """\
[package]
name = "geometry"
version = "0.3.0"
dependencies = []

[modules.shapes]
source = "lessons/01_shapes/shapes_dev.py"
target = "base.shapes"
provides = ["Square"]
tests = ["checks/unit/test_shapes.py"]

[modules.colours]
source = "lessons/02_colours/colours_dev.py"
target = "colours"
tests = ["checks/unit/test_colours.py"]

[modules.areas]
source = "lessons/03_areas/areas_dev.py"
target = "base.areas"
depends = ["shapes"]
tests = ["checks/unit/test_areas.py"]

[modules.summary]
source = "lessons/04_summary/summary_dev.py"
target = "summary"
depends = ["shapes", "areas"]
tests = ["checks/unit/test_summary.py"]

[tests]
integration = "checks/integration"
"""

DODO = """\
from tinytorch_build.tasks import for_course
DOIT_CONFIG, task_course = for_course(__file__)
"""

SHAPES = '''\
# %% [markdown]
# # Shapes
# A square has a side.

# %%
#| default_exp base.shapes

# %%
#| export
class Square:
    """A square.

    Args:
        side: length of its side.
    """

    def __init__(self, side: float) -> None:
        self.side = side

# %%
assert Square(2).side == 2
'''

COLOURS = '''\
# %%
#| default_exp colours

# %%
#| export
def mix(first: str, second: str) -> str:
    """The name of a mixture of two colours."""
    return f"{first}-{second}"

# %%
assert mix("red", "blue") == "red-blue"
'''

AREAS = '''\
# %%
#| default_exp base.areas

# %%
#| export
from geometry.base.shapes import Square

# %%
#| export
def area(square: Square) -> float:
    """The area of a square."""
    return square.side * square.side

# %%
assert area(Square(3)) == 9
'''

SUMMARY = '''\
# %%
#| default_exp summary

# %%
#| export
from geometry.base.areas import area
from geometry.base.shapes import Square

# %%
#| export
def describe(square: Square) -> str:
    """A sentence on a square."""
    return f"side {square.side:g}, area {area(square):g}"

# %%
assert describe(Square(3)) == "side 3, area 9"
'''

FILES = {
    "modules.toml": MANIFEST,
    "dodo.py": DODO,
    "lessons/01_shapes/shapes_dev.py": SHAPES,
    "lessons/02_colours/colours_dev.py": COLOURS,
    "lessons/03_areas/areas_dev.py": AREAS,
    "lessons/04_summary/summary_dev.py": SUMMARY,
    "checks/unit/test_shapes.py": (
        "from geometry.base.shapes import Square\n\n\n"
        "def test_side() -> None:\n    assert Square(4).side == 4\n"
    ),
    "checks/unit/test_colours.py": (
        'from geometry.colours import mix\n\n\ndef test_mix() -> None:\n    assert mix("a", "b") == "a-b"\n'
    ),
    "checks/unit/test_areas.py": (
        "from geometry.base.areas import area\nfrom geometry.base.shapes import Square\n\n\n"
        "def test_area() -> None:\n    assert area(Square(4)) == 16\n"
    ),
    "checks/unit/test_summary.py": (
        "from geometry.base.shapes import Square\nfrom geometry.summary import describe\n\n\n"
        'def test_describe() -> None:\n    assert describe(Square(1)) == "side 1, area 1"\n'
    ),
    "checks/integration/test_shapes_areas.py": (
        "from geometry.base.areas import area\nfrom geometry.base.shapes import Square\n\n\n"
        "def test_both() -> None:\n    assert area(Square(5)) == 25\n"
    ),
}


@dataclass
class GeometryCourse:
    """A course in a folder, and what the last run of it said."""

    root: Path
    said: str = ""
    report: Report = field(default_factory=lambda: Report(Outcome.PASSED))

    @classmethod
    def write(cls, root: Path) -> GeometryCourse:
        course = cls(root)
        for name, text in FILES.items():
            course.put(name, text)
        return course

    def put(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def text(self, name: str) -> str:
        return (self.root / name).read_text(encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        text = self.text(name)
        assert old in text, f"{old!r} is not in {name}"
        self.put(name, text.replace(old, new, 1))

    def run(self, *tasks: str, against: str = "") -> Report:
        """Run tasks in this process; what was shown is kept in `said`."""
        stream = io.StringIO()
        self.report = validate(self.root, tasks or ("validate",), against=against, stream=stream)
        self.said = stream.getvalue()
        return self.report

    def doit(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run `doit` in a process of its own, as a user does."""
        return self._command("doit", *arguments, cwd=cwd)

    def tito(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return self._command("tinytorch_build", *arguments, cwd=cwd)

    def _command(self, module: str, *arguments: str, cwd: Path | None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=cwd or self.root,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )

    def ran(self) -> set[str]:
        """The tasks that the last run executed, whether they passed or failed."""
        executed = (Outcome.RAN, Outcome.FAILED)
        stages = {
            f"{stage}:{name}"
            for name, module in self.report.modules.items()
            for stage, task in module.stages.items()
            if task.outcome in executed
        }
        files = {file.file.task for file in self.report.test_files if file.task.outcome in executed}
        package = {stage.value for stage, task in self.report.package.items() if task.outcome in executed}
        return stages | files | package

    def outcomes(self) -> dict[str, str]:
        return {name: module.outcome.value for name, module in self.report.modules.items()}

    def published(self) -> dict[str, str]:
        """Every file of the package, and the lock, with a digest of its content."""
        return self.digests("geometry") | self.digests("modules.lock")

    def digests(self, name: str) -> dict[str, str]:
        path = self.root / name
        files = [path] if path.is_file() else sorted(path.rglob("*")) if path.is_dir() else []
        return {
            file.relative_to(self.root).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in files
            if file.is_file() and "__pycache__" not in file.parts
        }


@dataclass(frozen=True)
class KeptCourse:
    """A course that was built once, to be put back in its place, as it was then, for each of many tests."""

    course: GeometryCourse
    copy: Path

    @classmethod
    def of(cls, course: GeometryCourse, copy: Path) -> KeptCourse:
        """Keep a course as it is now.

        Args:
            course: it stays where it is: doit knows its files by their whole paths.
            copy: a folder that is not there yet.
        """
        return cls(course, shutil.copytree(course.root, copy, symlinks=True))

    def anew(self) -> GeometryCourse:
        shutil.rmtree(self.course.root, ignore_errors=True)
        shutil.copytree(self.copy, self.course.root, symlinks=True)
        return replace(self.course)
