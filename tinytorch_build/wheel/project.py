"""Lays out the project that a wheel is made of: the published package and what describes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import toml

from tinytorch_build.errors import CourseError
from tinytorch_build.files import naming, sha256
from tinytorch_build.model import Manifest, Package
from tinytorch_build.publish import RECORD_NAME, Record

_README = "README.md"


class PackageChanged(CourseError):
    """The published package is not what its record says; nothing may be made of it."""


def lay_out_project(folder: Path, manifest: Manifest, record: Record, published: Path) -> None:
    """Copy the published package into a folder of its own, with the files that describe it.

    Only what the record names is copied, and only if it is that, byte for byte: nothing else that lies in
    the checkout can get into the wheel.

    Args:
        folder: an empty folder.
        manifest: the course.
        record: what the package holds.
        published: the package's folder.

    Raises:
        PackageChanged: a file is not what the record says.
        OSError: something cannot be read or written.
    """
    contents = {**record.contents(), RECORD_NAME: sha256((published / RECORD_NAME).read_bytes())}
    for path, digest in contents.items():
        data = _read(published / path)
        if sha256(data) != digest:
            raise PackageChanged(
                f"{published.name}/{path} is not what was published; run `doit`, which restores it"
            )
        _write(folder / published.name / path, data)
    package = manifest.package
    for path in package.license_files:
        _write(folder / path, (manifest.root / path).read_bytes())
    readme = _read(manifest.root / package.readme) if package.readme else readme_of(package, record).encode()
    _write(folder / _readme_name(package), readme)
    _write(folder / "pyproject.toml", toml.dumps(project_table(package)).encode())
    for boundary in (".git", ".hg"):
        # hatchling puts a .gitignore into the source archive that it finds from here upwards; here it stops.
        (folder / boundary).mkdir()


def project_table(package: Package) -> Mapping[str, Any]:
    """What `pyproject.toml` says: metadata from `[package]`, hatchling as the backend, nothing by chance."""
    project: dict[str, Any] = {
        "name": package.name,
        "version": package.version,
        "description": package.description or f"{package.name}, built module by module",
        "readme": _readme_name(package),
        "requires-python": package.requires_python,
        "dependencies": list(package.dependencies),
        "license-files": list(package.license_files),
    }
    if package.license:
        project["license"] = package.license
    return {
        "build-system": {"requires": ["hatchling"], "build-backend": "hatchling.build"},
        "project": project,
        "tool": {
            "hatch": {
                # What a .gitignore above the folder says has no say here.
                "build": {"ignore-vcs": True, "targets": {"wheel": {"packages": [package.name]}}}
            }
        },
    }


def readme_of(package: Package, record: Record) -> str:
    """A long description for a course that has no readme: its modules with their versions."""
    return "\n".join(_readme_lines(package, record)) + "\n"


def _readme_lines(package: Package, record: Record) -> Iterator[str]:
    yield f"# {package.name} {package.version}"
    if package.description:
        yield ""
        yield package.description
    yield ""
    yield "| module | version | import name |"
    yield "|---|---|---|"
    for name, entry in record.entries.items():
        yield f"| {name} | {entry.version} | `{package.name}.{entry.target}` |"


def _readme_name(package: Package) -> str:
    return package.readme or _README


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise PackageChanged(f"{path.name} is missing where it was published; run `doit`") from None


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path):
        path.write_bytes(data)
