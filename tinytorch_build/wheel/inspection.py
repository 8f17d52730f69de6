"""Looks into finished distributions: that they hold the published package, all of it, and nothing else."""

from __future__ import annotations

import email.parser
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from tinytorch_build.files import sha256
from tinytorch_build.model import Package, Problem
from tinytorch_build.programs import Finished, Programs
from tinytorch_build.wheel.archives import Distributions

_SECONDS = 120.0

_IGNORED_CHECKS = "W002"
"""check-wheel-contents, duplicate files: the `__init__.py` of each subpackage is the same, and need be."""


def inspect_distributions(
    made: Distributions, package: Package, contents: Mapping[str, str], programs: Programs
) -> tuple[list[Problem], str]:
    """What is wrong with a source archive and a wheel, and what the tools said that looked at them.

    Args:
        made: the two files.
        package: what they should say of themselves.
        contents: hex SHA-256 of every file of the published package, under its path from its folder.
        programs: runs check-wheel-contents and twine.
    """
    expected = {f"{package.name}/{path}": digest for path, digest in contents.items()}
    problems = [
        *_differences(made.wheel.name, expected, _in_wheel(made.wheel)),
        *_differences(made.sdist.name, expected, _in_sdist(made.sdist, package.name)),
        *_metadata_faults(made.wheel, package),
    ]
    said = []
    for name, finished in _tools(made, package, programs):
        said.append(finished.output)
        if not finished.succeeded:
            problems.append(
                Problem(
                    name,
                    f"{name} objects: {_objection(finished)}",
                    cure="correct what it names in [package] of modules.toml, or in the included files",
                )
            )
    return problems, "".join(said)


def _tools(made: Distributions, package: Package, programs: Programs) -> Iterator[tuple[str, Finished]]:
    folder = made.wheel.parent
    contents = ["--no-config", "--ignore", _IGNORED_CHECKS, "--toplevel", package.name, made.wheel.name]
    yield (
        "check-wheel-contents",
        programs.python(["-m", "check_wheel_contents", *contents], folder, seconds=_SECONDS),
    )
    names = [made.sdist.name, made.wheel.name]
    yield "twine", programs.python(["-m", "twine", "check", "--strict", *names], folder, seconds=_SECONDS)


def _objection(finished: Finished) -> str:
    """The lines of a tool's output that say what is wrong, as one."""
    lines = [line.strip() for line in finished.output.splitlines()]
    telling = [line for line in lines if line and not line.endswith("PASSED")]
    return " ".join(telling[-6:]) or finished.how


def _in_wheel(path: Path) -> dict[str, str]:
    """Digests of a wheel's files but its own metadata."""
    with zipfile.ZipFile(path) as wheel:
        return {
            name: sha256(wheel.read(name))
            for name in wheel.namelist()
            if not name.partition("/")[0].endswith(".dist-info")
        }


def _in_sdist(path: Path, package: str) -> dict[str, str]:
    """Digests of the package's files in a source archive."""
    found: dict[str, str] = {}
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            _, _, name = member.name.partition("/")
            data = archive.extractfile(member) if name.startswith(f"{package}/") else None
            if data is not None:
                found[name] = sha256(data.read())
    return found


def _differences(archive: str, expected: Mapping[str, str], found: Mapping[str, str]) -> Iterator[Problem]:
    cure = "run `doit build` again; if it stays so, it is a fault of the build, please report it"
    left_out = "the build backend leaves such files out; take it away from the included files"
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            yield Problem("wheel-contents", f"{archive} lacks {name}, which is published", cure=left_out)
        elif name not in expected:
            yield Problem("wheel-contents", f"{archive} holds {name}, which is not published", cure=cure)
        elif expected[name] != found[name]:
            yield Problem("wheel-contents", f"{archive} holds another {name} than is published", cure=cure)


def _metadata_faults(path: Path, package: Package) -> Iterator[Problem]:
    """Where the wheel's metadata say something else than the manifest."""
    with zipfile.ZipFile(path) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.parser.Parser().parsestr(wheel.read(name).decode())
    said = {
        "version": (metadata["Version"], str(Version(package.version))),
        "dependencies": (
            sorted(_plain(text) for text in metadata.get_all("Requires-Dist", [])),
            sorted(_plain(text) for text in package.dependencies),
        ),
    }
    for what, (found, wanted) in said.items():
        if found != wanted:
            yield Problem("wheel-metadata", f"{path.name} says {what} {found}, modules.toml {wanted}")


def _plain(requirement: str) -> str:
    return str(Requirement(requirement))
