"""Fresh virtual environments, made by uv where it is present and by venv and pip elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinytorch_build.model import Problem
from tinytorch_build.programs import Command, Finished, Programs
from tinytorch_build.verify.attempts import AttemptFailed

CREATE_SECONDS = 120.0
"""Wall-clock time for an empty environment; it takes a tenth of a second with uv, three with venv."""
INSTALL_SECONDS = 900.0
"""Wall-clock time for an installation, downloads included."""
_ANSWER_SECONDS = 30
"""How long an installer waits for an index to answer before it tries again, twice at most."""

_UNREACHABLE = re.compile(
    r"name resolution|name or service not known|nodename nor servname|dns error|error sending request"
    r"|connection (?:refused|reset|timed out|aborted|error|broken)|network is (?:unreachable|down)"
    r"|newconnectionerror|max retries exceeded|proxyerror|read timed out|connecttimeout|tcp connect error"
    r"|failed to fetch|network connectivity is disabled|operation timed out",
    re.IGNORECASE,
)
_REFUSED = re.compile(r"HTTP status (?:client|server) error \(([^)]+)\)")
"""What uv says of an index that is there and does not serve; pip says that it has no such distribution."""
_FULL = re.compile(r"no space left on device|disk quota exceeded|file too large", re.IGNORECASE)
"""What the system says of a full disk, as installers pass it on."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment.

    Attributes:
        folder: where it lies.
    """

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        if os.name == "nt":
            return self.folder / "Scripts" / "python.exe"
        return self.folder / "bin" / "python"


class Installer(ABC):
    """Makes environments and installs into them.

    Args:
        programs: runs what it needs.
    """

    name: str

    def __init__(self, programs: Programs) -> None:
        self._programs = programs

    def create(self, folder: Path) -> Environment:
        """An empty environment of this Python.

        Raises:
            AttemptFailed: it could not be made.
        """
        finished = self._create(folder)
        if not finished.succeeded:
            what = f"{self.name} made no virtual environment"
            raise AttemptFailed(
                _without_room(what, finished)
                or Problem(
                    "environment",
                    f"{what}: {_reason(finished)}",
                    cure="see the log; on Debian and its like, venv is a package of its own (python3-venv)",
                ),
                output=finished.output,
            )
        return Environment(folder)

    def install(self, environment: Environment, requirements: Sequence[str | Path], folder: Path) -> None:
        """Install requirements.

        Args:
            environment: where to.
            requirements: as `pip install` takes them.
            folder: where the installer runs.

        Raises:
            AttemptFailed: something could not be installed.
        """
        finished = self._install(environment, requirements, folder)
        if finished.succeeded:
            return
        shown = " ".join(part.name if isinstance(part, Path) else part for part in requirements)
        raise AttemptFailed(_not_installed(self.name, shown, finished), output=finished.output)

    @abstractmethod
    def _create(self, folder: Path) -> Finished: ...

    @abstractmethod
    def _install(
        self, environment: Environment, requirements: Sequence[str | Path], folder: Path
    ) -> Finished: ...


class Pip(Installer):
    """The standard library's venv, and the pip that it brings."""

    name = "pip"

    def _create(self, folder: Path) -> Finished:
        return self._programs.python(["-m", "venv", folder], folder.parent, seconds=CREATE_SECONDS)

    def _install(
        self, environment: Environment, requirements: Sequence[str | Path], folder: Path
    ) -> Finished:
        patience = ["--timeout", str(_ANSWER_SECONDS), "--retries", "2"]
        command: Command = [environment.python, "-I", "-m", "pip", "install", "--no-input", *patience]
        return self._programs.run([*command, *requirements], folder, seconds=INSTALL_SECONDS)


class Uv(Installer):
    """uv, which does the same in a fraction of the time.

    Args:
        programs: runs it.
        program: where it lies.
    """

    name = "uv"

    def __init__(self, programs: Programs, program: Path) -> None:
        super().__init__(programs)
        self._program = program

    def _create(self, folder: Path) -> Finished:
        command: Command = [self._program, "venv", "--no-project", "--python", sys.executable, folder]
        return self._run(command, folder.parent, CREATE_SECONDS)

    def _install(
        self, environment: Environment, requirements: Sequence[str | Path], folder: Path
    ) -> Finished:
        command: Command = [self._program, "pip", "install", "--python", environment.python]
        return self._run([*command, *requirements], folder, INSTALL_SECONDS)

    def _run(self, command: Command, folder: Path, seconds: float) -> Finished:
        extra = {"UV_HTTP_TIMEOUT": str(_ANSWER_SECONDS), "UV_PYTHON_DOWNLOADS": "never"}
        return self._programs.run(command, folder, seconds=seconds, extra=extra)


def installer_for(programs: Programs) -> Installer:
    """uv, if it is on the path or beside this Python; else venv and pip."""
    scripts = Path(sysconfig.get_path("scripts"))
    found = shutil.which("uv", path=os.pathsep.join([str(scripts), os.environ.get("PATH", os.defpath)]))
    return Uv(programs, Path(found)) if found else Pip(programs)


def _not_installed(installer: str, shown: str, finished: Finished) -> Problem:
    if finished.status is None:
        return Problem(
            "not-installed-in-time",
            f"{shown} could not be installed: {installer} did not end within {INSTALL_SECONDS:.0f} s",
            cure="the log says what it waited for; run `doit verify` again on a faster network",
        )
    full = _without_room(f"{shown} could not be installed", finished)
    if full is not None:
        return full
    refused = _REFUSED.search(finished.output)
    if refused:
        return Problem(
            "refused-by-index",
            f"{shown} could not be installed: the package index answered {refused[1]}",
            cure="see whether its address is right and you may use it, then run `doit verify` again",
        )
    if _UNREACHABLE.search(finished.output):
        return Problem(
            "no-network",
            f"{shown} could not be installed: {installer} reached no package index",
            cure="run `doit verify` again where there is a network; "
            "or name a folder of wheels by PIP_FIND_LINKS (UV_FIND_LINKS for uv)",
        )
    return Problem(
        "not-installable",
        f"{shown} could not be installed: {_reason(finished)}",
        cure="correct dependencies and requires-python in [package], or requires in [tests]; see the log",
    )


def _without_room(what: str, finished: Finished) -> Problem | None:
    """The problem of an installer that found the disk full; None if it did not."""
    found = _FULL.search(finished.output)
    if found is None:
        return None
    cure = f"make room in {tempfile.gettempdir()} (TMPDIR names another folder), and run the command again"
    return Problem("refused", f"{what}: {found[0]}", cure=cure)


def _reason(finished: Finished) -> str:
    """The line of an installer's output that says what went wrong."""
    lines = [re.sub(r"^\W*(?:cause: )?", "", line).rstrip() for line in finished.output.splitlines()]
    telling = [line for line in lines if line.lower().startswith(("error", "because", "no solution"))]
    return (telling[-1] if telling else finished.last_words) or finished.how
