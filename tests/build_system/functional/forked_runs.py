"""Runs of doit that begin at once: each is forked from a process that has imported everything beforehand."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_SERVER = """
import gc, json, os, sys

import jupytext, nbdev.export, nbformat
from doit.doit_cmd import DoitMain
import tinytorch_build.tasks
import tinytorch_build.stages.convert, tinytorch_build.stages.export, tinytorch_build.stages.import_check
import tinytorch_build.stages.run_tests, tinytorch_build.stages.inline_cells
import tinytorch_build.workers, tinytorch_build.publish, tinytorch_build.report

defaults = tinytorch_build.workers.Workers.__init__.__kwdefaults__
defaults["preload"] = json.loads(sys.argv[1])

def next_run():
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            return order
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)

gc.freeze()
order = next_run()
if order is None:
    sys.exit()
os.setpgid(0, 0)
os.chdir(order["folder"])
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
said = os.open(order["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
os.dup2(said, 1)
os.dup2(said, 2)
os.environ.update(order["environment"])
sys.argv = ["doit", *order["arguments"]]
sys.path[0] = order["folder"]
status = DoitMain().run(order["arguments"])
sys.stdout.flush()
os._exit(status)  # taking down all that was imported would take longer than many a run
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended.

    Attributes:
        status: its exit status; negative for the signal that ended it.
        said: what it wrote to both streams.
        seconds: wall-clock time that it took.
    """

    status: int
    said: str
    seconds: float


class ForkedRuns:
    """Starts runs of one course, one after the other.

    Args:
        course: the course's folder.
        folder: an empty folder for temporary files, of which the run's processes can be known.
        preload: what the isolated processes have loaded beforehand.
    """

    def __init__(self, course: Path, folder: Path, preload: Sequence[str]) -> None:
        self._course = course
        self._said = folder / "said.txt"
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER, json.dumps(preload)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._server:
            assert self._server.stdin is not None
            self._server.stdin.close()

    def run(
        self,
        *arguments: str,
        after: float | None = None,
        by: signal.Signals = signal.SIGKILL,
        group: bool = False,
    ) -> Ended:
        """Run `doit` with arguments.

        Args:
            after: seconds after which the run gets a signal; None to let it end by itself.
            by: the signal.
            group: whether all of the terminal's foreground group gets it, as with Ctrl-C.
        """
        assert self._server.stdin is not None
        order = {
            "folder": str(self._course),
            "said": str(self._said),
            "environment": {"TMPDIR": str(self.temporary)},
            "arguments": arguments,
        }
        self._server.stdin.write(json.dumps(order).encode() + b"\n")
        began = time.monotonic()
        pid = int(self._line())
        if after is not None and not self._has_ended(after):
            _send(pid, by, group=group)
        status = int(self._line())
        return Ended(status, self._said.read_text(errors="replace"), time.monotonic() - began)

    def left_over(self, seconds: float = 20.0) -> Sequence[int]:
        """The processes of earlier runs that are still there when they have had time to end."""
        deadline = time.monotonic() + seconds
        while (found := _processes_that_name(str(self.temporary))) and time.monotonic() < deadline:
            time.sleep(0.01)
        return found

    def _has_ended(self, seconds: float) -> bool:
        """Whether the run ends by itself within so many seconds."""
        assert self._server.stdout is not None
        return bool(select.select([self._server.stdout], [], [], seconds)[0])

    def _line(self) -> bytes:
        assert self._server.stdout is not None
        return self._server.stdout.readline()


def _send(pid: int, number: signal.Signals, *, group: bool) -> None:
    """Send a signal to a run; it is nobody else's number, since only the server that waits for it reaps it."""
    try:
        (os.killpg if group else os.kill)(pid, number)
    except ProcessLookupError:  # it was faster, and has been reaped
        return


def _processes_that_name(text: str) -> list[int]:
    """The processes in whose command line or environment a text stands, as in that of all their children."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            told = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:  # it has just ended, or is somebody else's
            continue
        if os.fsencode(text) in told:
            found.append(int(folder.name))
    return found
