"""Imports a package in a fresh environment, and judges what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinytorch_build.model import Manifest, Problem
from tinytorch_build.programs import Command, Programs
from tinytorch_build.verify import inside_environment
from tinytorch_build.verify.attempts import AttemptFailed
from tinytorch_build.verify.environments import Environment

_SEEDS = frozenset(("pip", "setuptools", "wheel"))
"""What an environment may hold before anything is installed."""


def import_everything(
    manifest: Manifest,
    names: Sequence[str],
    environment: Environment,
    home: Path,
    work: Path,
    programs: Programs,
) -> str:
    """Import the package and each of its modules, and all its names at once.

    Args:
        manifest: the course.
        names: every name that the package should give.
        environment: where it is installed.
        home: the folder that its files have to lie in.
        work: an empty folder, outside the repository.
        programs: runs the environment's Python.

    Returns:
        a remark: how much was imported, and what else is installed.

    Raises:
        AttemptFailed: a module cannot be imported, comes from elsewhere, or lacks names.
    """
    request, answer = work / "imports.json", work / "imported.json"
    answer.unlink(missing_ok=True)
    modules = [manifest.dotted(module) for module in manifest.modules]
    request.write_text(json.dumps({"package": manifest.package.name, "modules": modules}), encoding="utf-8")
    script = Path(inside_environment.__file__)
    seconds = manifest.limits.import_seconds * (len(modules) + 2)
    command: Command = [environment.python, "-I", script, request, answer]
    finished = programs.run(command, work, seconds=seconds)
    if not answer.is_file():
        raise AttemptFailed(
            Problem("import", f"the import of {manifest.package.name} brought no result: {finished.how}"),
            output=finished.output,
        )
    said = json.loads(answer.read_text(encoding="utf-8"))
    faults = list(_faults(manifest, names, said, home))
    if faults:
        raise AttemptFailed(*(problem for problem, _ in faults), output="\n".join(text for _, text in faults))
    others = {
        name: version
        for name, version in said["distributions"].items()
        if name not in _SEEDS and _plain(name) != _plain(manifest.package.name)
    }
    beside = ", ".join(f"{name} {version}" for name, version in sorted(others.items())) or "nothing"
    return f"{len(modules)} modules, {len(names)} names; beside it: {beside}"


def _faults(
    manifest: Manifest, names: Sequence[str], said: Mapping[str, Any], home: Path
) -> Iterator[tuple[Problem, str]]:
    """Each problem with what the environment's Python said of it."""
    for name, found in said["modules"].items():
        module = manifest.by_dotted.get(name)
        source = module.source if module is not None else None
        if "error" in found:
            last = found["error"].strip().splitlines()[-1]
            cure = "see the log; what it needs has to be among the dependencies in [package]"
            yield Problem("import", f"{name} cannot be imported: {last}", source, cure=cure), found["error"]
        elif not Path(found["file"]).resolve().is_relative_to(home.resolve()):
            yield Problem("import", f"{name} was imported from elsewhere than the environment", source), ""
    star = said["star"]
    if "error" in star:
        last = star["error"].strip().splitlines()[-1]
        message = f"`from {manifest.package.name} import *` fails: {last}"
        yield Problem("import", message, cure="see the log"), star["error"]
    else:
        missing = sorted(set(names) - set(star["names"]))
        if missing:
            yield Problem("import", f"{manifest.package.name} does not give {', '.join(missing)}"), ""


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")
