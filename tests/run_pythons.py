"""Runs the suite on every supported Python that is installed, each in a copy and an environment of its own.

    python tests/run_pythons.py [--torch] [VERSION ...]

One line a Python says how it went; a Python that is not installed is named, and fails nothing. The status is 1 if
one of them failed, or if none was found. PyTorch is large and not made for every Python, so it is left out, and the
comparisons with it are skipped, unless `--torch` is given. What was printed lies in `build/pythons/VERSION.log`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "pythons"
SUPPORTED = ("3.11", "3.12", "3.13")
GENERATED = ("tinytorch", "modules.lock")
LARGE = "torch"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that answers.

    Attributes:
        path: its program.
        version: `3.12.1`.
    """

    path: Path
    version: str


class StepFailed(Exception):
    """A step of a Python's run failed; the message names the step."""


def find_interpreter(version: str) -> Interpreter | None:
    """The first Python of a version, such as `3.12`, that starts: on the path, pyenv's or uv's."""
    for path in _candidates(version):
        asked = "import platform; print(platform.python_version())"
        try:
            said = subprocess.run(
                [path, "-I", "-c", asked], capture_output=True, text=True, timeout=60, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        found = said.stdout.strip()
        if said.returncode == 0 and found.startswith(f"{version}."):  # a shim may stand for no Python at all
            return Interpreter(path, found)
    return None


def _candidates(version: str) -> Iterator[Path]:
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        yield Path(sys.executable)
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", Path.home() / ".local/share/uv/python"))
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)
    yield from sorted(uv.glob(f"cpython-{version}.*/bin/python{version}"), reverse=True)


def copy_course(folder: Path) -> None:
    """A clone of the repository with what is not yet committed, and without what is generated."""
    _git("clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder))
    listed = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        source, goal = ROOT / name, folder / name
        if source.is_file():
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, goal)
        else:
            goal.unlink(missing_ok=True)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def requirements(*, torch: bool) -> list[str]:
    """What `[dev]` asks for, its own extras spelled out, with PyTorch or without."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*extras["dev"], *extras["course"], *(extras["torch"] if torch else [])]
    return [item for item in wanted if not item.startswith(f"{project['name']}[")]


def run_one(interpreter: Interpreter, folder: Path, log: TextIO, *, torch: bool) -> None:
    """Install the copy in `folder` and run its checks.

    Raises:
        StepFailed: with the first step that failed.
    """
    python = folder / ".venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    environment = {
        name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")
    }
    environment["REQUIRE_PYTORCH"] = "1" if torch else "0"
    steps = {
        "making the environment": [str(interpreter.path), "-m", "venv", ".venv"],
        "installing": [str(python), "-m", "pip", "install", "--quiet", "-e", ".", *requirements(torch=torch)],
        "doit validate": [str(python), "-m", "doit", "validate"],
        "pytest": [
            *[str(python), "-m", "pytest", "-q", "-rs"],
            *["--numprocesses=auto", "--dist=loadfile", "--durations=5"],
        ],
    }
    for name, command in steps.items():
        print(f"== {name}: {' '.join(command)}", file=log, flush=True)
        done = subprocess.run(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False
        )
        if done.returncode:
            raise StepFailed(f"{name} (status {done.returncode})")
        if name == "doit validate" and digests(folder) != digests(ROOT):
            raise StepFailed("the package that it makes is not the committed one")


def digests(folder: Path) -> dict[str, str]:
    """Every file of the published package and the lock, with its SHA-256."""
    files = [
        path
        for name in GENERATED
        for path in ([folder / name] if (folder / name).is_file() else (folder / name).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def report_one(version: str, *, torch: bool) -> bool | None:
    """Run one Python and print its line; True if it passed, None if it is not installed."""
    interpreter = find_interpreter(version)
    if interpreter is None:
        print(f"Python {version}: not found", flush=True)
        return None
    began = time.monotonic()
    log_path = LOGS / f"{version}.log"
    with tempfile.TemporaryDirectory(prefix=f"python-{version}-") as folder:
        copy = Path(folder) / "course"
        with log_path.open("w", encoding="utf-8") as log:
            try:
                copy_course(copy)
                run_one(interpreter, copy, log, torch=torch)
                verdict = "passed"
            except StepFailed as failure:
                verdict = f"FAILED: {failure}"
    lines = log_path.read_text(encoding="utf-8", errors="replace").splitlines()
    counts = next(
        (line for line in reversed(lines) if " in " in line and ("passed" in line or "failed" in line)), ""
    )
    without = "" if torch else f", without {LARGE}"
    seconds = time.monotonic() - began
    print(
        f"Python {interpreter.version}: {verdict} in {seconds:.0f} s{without}; {counts or log_path}",
        flush=True,
    )
    return verdict == "passed"


def main() -> int:
    """Run the Pythons of the command line, or all; the exit status is 0 if those that are there passed."""
    parser = argparse.ArgumentParser(description="Run the suite on every supported Python that is installed.")
    parser.add_argument("--torch", action="store_true", help="install PyTorch, too, and compare with it")
    parser.add_argument(
        "versions", nargs="*", metavar="VERSION", help=f"of {', '.join(SUPPORTED)}; all if left out"
    )
    options = parser.parse_args()
    unknown = [version for version in options.versions if version not in SUPPORTED]
    if unknown:
        parser.error(f"{', '.join(unknown)}: expected some of {', '.join(SUPPORTED)}")
    LOGS.mkdir(parents=True, exist_ok=True)
    verdicts = [report_one(version, torch=options.torch) for version in options.versions or SUPPORTED]
    return 0 if True in verdicts and False not in verdicts else 1


if __name__ == "__main__":
    sys.exit(main())
