"""What goes into steps beside their files: declarations, test files, versions of tools, the build itself."""

from __future__ import annotations

import functools
import inspect
import platform
import re
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from tinytorch_build.files import ABSENT, digest_of, files_below, sha256
from tinytorch_build.model import CourseModule
from tinytorch_build.session import Session
from tinytorch_build.test_files import is_test_file


def declaration_digest(session: Session, module: CourseModule) -> str:
    """What the manifest says that bears on a module's checks and tests, versions of modules aside."""
    said = (module.target, module.depends_on, module.provides, module.tests, module.limits)
    package = session.manifest.package
    return sha256(repr((said, package.version, package.dependencies)).encode())


def constraint_inputs(session: Session, module: CourseModule) -> dict[str, str]:
    """The version constraints that a module declares, with the versions that they are about."""
    return {
        f"constraint on {other.name}": f"{other.specifier} {session.manifest[other.name].version}"
        for other in module.depends
        if other.specifier
    }


def test_file_digests(session: Session, paths: Sequence[str]) -> dict[str, str]:
    """Digests of test files, of what lies beside them (data, helpers), and of every conftest.py they have.

    Other test files beside them do not count. What a test reads from elsewhere is not seen.
    """
    root = session.layout.root
    found: dict[str, str] = {}
    for path in paths:
        found[path] = session.digests.of(root / path)
        beside = (root / path).parent
        for file in files_below(beside):
            if file.is_file() and "__pycache__" not in file.parts and not is_test_file(file.name):
                found[file.relative_to(root).as_posix()] = session.digests.of(file)
        for folder in Path(path).parents:
            digest = session.digests.of(root / folder / "conftest.py")
            if digest != ABSENT:
                found[(folder / "conftest.py").as_posix()] = digest
    return found


def folder_digest(session: Session, folder: str) -> str:
    """One digest of all files of a folder, with their names."""
    root = session.layout.root / folder
    files = [path for path in files_below(root) if path.is_file() and "__pycache__" not in path.parts]
    return digest_of({path.relative_to(root).as_posix(): session.digests.of(path) for path in files})


def custom_check_inputs(session: Session, module: CourseModule) -> dict[str, str]:
    """The course's own checks, with the files that they stand in, and what they look at."""
    if not session.checks:
        return {}
    from tinytorch_build.stages.custom_checks import name_of

    found = {"source": session.digests.of(session.layout.source(module))}
    for check in session.checks:
        code = getattr(check, "func", check)  # a functools.partial holds the function
        file = inspect.getsourcefile(code if inspect.isroutine(code) else type(code))
        found[f"check {name_of(check)}"] = ABSENT if file is None else session.digests.of(Path(file))
    return found


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@functools.cache
def tool_version(distribution: str) -> str:
    """The installed version of a distribution, or `absent`."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ABSENT


@functools.cache
def own_code_digest() -> str:
    """A digest of the build's own code: a check that was mended must run again on what it had passed."""
    root = Path(__file__).parents[1]
    return digest_of(
        {path.relative_to(root).as_posix(): sha256(path.read_bytes()) for path in sorted(root.rglob("*.py"))}
    )


def tools(*distributions: str) -> dict[str, str]:
    """Versions of Python, of some distributions, and of the build itself, as inputs of a step."""
    return {
        "python": platform.python_version(),
        "tinytorch_build": own_code_digest(),
        **{f"version of {name}": tool_version(name) for name in distributions},
    }


def testing_tools(session: Session) -> dict[str, str]:
    """The tools that take part when tests run."""
    return tools("pytest", "hypothesis", "ipython", *requirement_names(session.manifest.package.dependencies))


def requirement_names(requirements: Sequence[str]) -> tuple[str, ...]:
    """The distributions that PEP 508 requirements name; the manifest has found each to be sound."""
    return tuple(found[0] for text in requirements if (found := _NAME.match(text.strip())))
