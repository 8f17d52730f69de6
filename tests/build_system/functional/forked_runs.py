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
import gc, json, os, resource, sys

import jupytext, nbdev.export, nbformat
from doit.doit_cmd import DoitMain
import tinytorch_build.tasks
import tinytorch_build.stages.convert, tinytorch_build.stages.export, tinytorch_build.stages.import_check
import tinytorch_build.stages.run_tests, tinytorch_build.stages.inline_cells
import tinytorch_build.workers, tinytorch_build.publish, tinytorch_build.report
from tinytorch_build.workers.capabilities import drop_all

def next_run():
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            return order
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)

def disk_is_full_from(task, ballast):
    # Fill the disk in the moment in which a task begins.
    from tinytorch_build.doit_plugins.action import StepAction
    begin = StepAction.execute

    def execute(self, *given):
        if self._step.task.name == task:
            with open(ballast, "wb", buffering=0) as file:
                try:
                    while file.write(bytes(4096)):
                        pass
                except OSError:
                    pass
        return begin(self, *given)

    StepAction.execute = execute

gc.freeze()
print("ready", flush=True)
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
if order["largest_file"] is not None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (order["largest_file"],) * 2)
if not order["privileged"]:
    drop_all()
if order["full_from"] is not None:
    disk_is_full_from(**order["full_from"])
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
        folder: for temporary files, of which the run's processes can be known; made if it is not there.
        launcher: a program that does something to the process, such as giving it other file systems, and then
            becomes the command that follows.
    """

    def __init__(
        self,
        course: Path,
        folder: Path,
        launcher: Sequence[str] = (),
    ) -> None:
        self.course = course
        self._said = folder / "said.txt"
        self.temporary = folder / "temporary"
        self.temporary.mkdir(parents=True)
        self._server = subprocess.Popen(
            [*launcher, sys.executable, "-c", _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self._is_ready = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._server:
            assert self._server.stdin is not None
            self._server.stdin.close()

    @property
    def pid(self) -> int:
        """The process that runs are forked from."""
        return self._server.pid

    def until_ready(self) -> None:
        """Wait until everything is imported; what the launcher does is done, too."""
        if not self._is_ready:
            line = self._line()
            assert line == b"ready\n", f"the server of the runs has not started: {line!r}"
            self._is_ready = True

    def run(
        self,
        *arguments: str,
        after: float | None = None,
        by: signal.Signals = signal.SIGKILL,
        group: bool = False,
        largest_file: int | None = None,
        privileged: bool = True,
        temporary: Path | None = None,
        course: Path | None = None,
        full_from: tuple[str, Path] | None = None,
    ) -> Ended:
        """Run `doit` with arguments.

        Args:
            after: seconds after which the run gets a signal; None to let it end by itself.
            by: the signal.
            group: whether all of the terminal's foreground group gets it, as with Ctrl-C.
            largest_file: bytes that a file may have.
            privileged: whether root keeps its rights, such as to read what nobody may read.
            temporary: the folder for temporary files, if it is to be another one.
            course: the course's folder, if it is to be another one.
            full_from: a task, in whose first moment the disk becomes full, and a file that takes the room.
        """
        assert self._server.stdin is not None
        self.until_ready()
        order = {
            "folder": str(course or self.course),
            "said": str(self._said),
            "environment": {"TMPDIR": str(temporary or self.temporary)},
            "arguments": arguments,
            "largest_file": largest_file,
            "privileged": privileged,
            "full_from": None if full_from is None else {"task": full_from[0], "ballast": str(full_from[1])},
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
