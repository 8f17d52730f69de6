"""The project that a wheel is made of: the published files, byte for byte, and what describes them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tinytorch_build.files import sha256
from tinytorch_build.model import Manifest, Package
from tinytorch_build.publish import RECORD_NAME, Entry, Record
from tinytorch_build.wheel.project import PackageChanged, lay_out_project, readme_of

CODE = b"side = 1\n"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A package of one module, beside which lies a file that nobody published."""
    folder = tmp_path / "course" / "geometry"
    (folder / "base").mkdir(parents=True)
    (folder / "base/shapes.py").write_bytes(CODE)
    (folder / "__init__.py").write_bytes(b"")
    (folder / RECORD_NAME).write_bytes(b"# record\n")
    (folder / "stray.py").write_bytes(b"")
    return folder


def record() -> Record:
    entry = Entry("shapes", "1.2.0", "base.shapes", sha256(CODE), "", (), (), {})
    return Record("geometry", "0.3.0", {"__init__.py": sha256(b"")}, {"shapes": entry})


def laid_out(tmp_path: Path, published: Path, package: Package) -> Path:
    goal = tmp_path / "project"
    lay_out_project(goal, Manifest(published.parent, package, ()), record(), published)
    return goal


def test_what_is_published_is_copied_and_nothing_else(tmp_path: Path, published: Path) -> None:
    goal = laid_out(tmp_path, published, Package("geometry", "0.3.0"))
    files = {path.relative_to(goal).as_posix() for path in goal.rglob("*") if path.is_file()}
    assert files == {
        "README.md",
        "pyproject.toml",
        "geometry/__init__.py",
        "geometry/base/shapes.py",
        f"geometry/{RECORD_NAME}",
    }
    assert (goal / "geometry/base/shapes.py").read_bytes() == CODE


def test_metadata_come_from_the_manifest(tmp_path: Path, published: Path) -> None:
    (published.parent / "LICENCE.txt").write_text("free")
    (published.parent / "about.rst").write_text("Geometry\n")
    package = Package(
        "geometry",
        "0.3.0",
        dependencies=("numpy>=1.26",),
        description='Shapes, "areas" and \\ more',
        readme="about.rst",
        license="MIT",
        license_files=("LICENCE.txt",),
    )
    goal = laid_out(tmp_path, published, package)
    project = tomllib.loads((goal / "pyproject.toml").read_text())["project"]
    assert project == {
        "name": "geometry",
        "version": "0.3.0",
        "description": 'Shapes, "areas" and \\ more',
        "readme": "about.rst",
        "requires-python": ">=3.11",
        "dependencies": ["numpy>=1.26"],
        "license": "MIT",
        "license-files": ["LICENCE.txt"],
    }
    assert (goal / "about.rst").read_text() == "Geometry\n"
    assert (goal / "LICENCE.txt").read_text() == "free"


@pytest.mark.parametrize("damage", ["geometry/base/shapes.py", "geometry/__init__.py"])
def test_a_package_that_is_not_what_was_published_is_refused(
    tmp_path: Path, published: Path, damage: str
) -> None:
    (published.parent / damage).write_bytes(b"edited\n")
    with pytest.raises(PackageChanged, match=f"{damage} is not what was published; run `doit`"):
        laid_out(tmp_path, published, Package("geometry", "0.3.0"))


def test_a_missing_file_is_refused(tmp_path: Path, published: Path) -> None:
    (published / "base/shapes.py").unlink()
    with pytest.raises(PackageChanged, match=r"shapes\.py is missing"):
        laid_out(tmp_path, published, Package("geometry", "0.3.0"))


def test_a_readme_is_written_where_there_is_none() -> None:
    assert readme_of(Package("geometry", "0.3.0", description="Shapes."), record()) == (
        "# geometry 0.3.0\n\nShapes.\n\n"
        "| module | version | import name |\n|---|---|---|\n| shapes | 1.2.0 | `geometry.base.shapes` |\n"
    )
