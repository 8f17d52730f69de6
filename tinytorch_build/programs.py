"""Runs other programs: with a time limit, a clean environment, and an end to all their children."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

Command = Sequence[str | Path]
"""A program and its arguments."""

_GUARD = """
import sys
sys.path.insert(0, sys.argv[1])
from tinytorch_build.program_guard import main
main(sys.argv[2:])
"""
_GUARDED = hasattr(os, "fork")
"""Whether a guard can stand between; elsewhere, the program alone is killed."""
_END_SECONDS = 10.0
"""How long a guard may take to end its program; more than it needs by far."""

_KEPT_OUTPUT = 200_000
"""Characters of the end of a program's output that are kept."""

_PASSED_DOWN = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "PATH",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "TMPDIR",
    "USERPROFILE",
    "LOCALAPPDATA",
    "APPDATA",
    "SOURCE_DATE_EPOCH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_DIRS",
    "XDG_CONFIG_HOME",
)
_PREFIXES = ("PIP_", "UV_")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended.

    Attributes:
        status: its exit status; negative for the signal that ended it; None if its time was up.
        output: the end of what it wrote to both its streams.
    """

    status: int | None
    output: str

    @property
    def succeeded(self) -> bool:
        return self.status == 0

    @property
    def how(self) -> str:
        """How it ended, in words."""
        if self.status is None:
            return "it did not end in time"
        if self.status < 0:
            return f"it was ended by signal {-self.status}"
        return f"it ended with status {self.status}"

    @property
    def last_words(self) -> str:
        """The last line that it wrote, or the empty string."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return lines[-1] if lines else ""


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What programs get of our environment: where to find things, and how to reach a package index.

    Nothing of it names the repository: no `PYTHONPATH`, no active virtual environment.

    Args:
        extra: further variables.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.upper() in _PASSED_DOWN or name.startswith(_PREFIXES) or name.lower() in _PROXIES
    }
    return {**kept, "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1", **(extra or {})}


class Programs:
    """Runs programs for one session, any number at a time; `close` ends those that still run.

    They end with this process, too, however it ends: a guard (`program_guard`) stands between.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._running: set[_Running] = set()
        self._closed = False

    def run(
        self,
        command: Command,
        folder: Path,
        *,
        seconds: float,
        extra: Mapping[str, str] | None = None,
    ) -> Finished:
        """Run a program to its end.

        Args:
            command: the program and its arguments.
            folder: where it runs.
            seconds: wall-clock time that it may take; then it is killed with all its children.
            extra: variables of its environment beside the clean ones.

        Raises:
            FileNotFoundError: there is no such program.
        """
        environment = clean_environment(extra)
        program = shutil.which(command[0], path=environment.get("PATH"))
        if program is None:
            raise FileNotFoundError(f"there is no program {command[0]}")
        with tempfile.TemporaryFile() as output:
            running = self._start([program, *map(str, command[1:])], folder, environment, output)
            try:
                status: int | None = running.process.wait(seconds)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                running.end()
                with self._mutex:
                    self._running.discard(running)
            return Finished(status, _tail(output))

    def python(self, arguments: Command, folder: Path, *, seconds: float) -> Finished:
        """Run this Python, which sees neither the folder nor `PYTHONPATH` (isolated mode)."""
        return self.run([sys.executable, "-I", *arguments], folder, seconds=seconds)

    def close(self) -> None:
        """End every program that still runs; none can be started any more."""
        with self._mutex:
            self._closed = True
            running = list(self._running)
        for program in running:
            program.hang_up()

    def _start(
        self, command: list[str], folder: Path, environment: dict[str, str], output: IO[bytes]
    ) -> _Running:
        with self._mutex:
            if self._closed:
                raise InterruptedError("the run has ended")
            running = _Running.start(command, folder, environment, output)
            self._running.add(running)
            return running


class _Running:
    """A program that runs, behind its guard where there is one."""

    def __init__(self, process: subprocess.Popen[bytes], link: int | None) -> None:
        self.process = process
        self._link = link  # closing it ends the program
        self._mutex = threading.Lock()

    @classmethod
    def start(
        cls, command: list[str], folder: Path, environment: dict[str, str], output: IO[bytes]
    ) -> _Running:
        if not _GUARDED:
            return cls(_popen(command, folder, environment, output), None)
        watched, link = os.pipe()
        guard = [sys.executable, "-I", "-c", _GUARD, str(Path(__file__).resolve().parents[1]), str(watched)]
        try:
            return cls(_popen([*guard, *command], folder, environment, output, watched), link)
        except BaseException:
            os.close(link)
            raise
        finally:
            os.close(watched)

    def hang_up(self) -> None:
        """Have the program killed, with all its children; `end` waits until it is gone."""
        with self._mutex:
            link, self._link = self._link, None
        if link is not None:
            os.close(link)
        elif not _GUARDED:
            self.process.kill()

    def end(self) -> None:
        """The program is gone, and what it has left running, too."""
        self.hang_up()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_SECONDS)
        if _GUARDED:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # all of it has ended
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _popen(
    command: list[str], folder: Path, environment: dict[str, str], output: IO[bytes], *passed: int
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=passed,
    )


def _tail(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _KEPT_OUTPUT))
    return output.read().decode("utf-8", errors="replace")
