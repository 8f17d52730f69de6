"""The fork server: a Python with numpy and pytest loaded, which forks a supervisor for each job.

It never runs course code and never opens what comes back from it. It ends when the build's end of its
control socket closes, and takes everything under it along.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tinytorch_build.processes import adopt_orphans, children, descendants, end_descendants, kill
from tinytorch_build.workers.environment import load_beforehand, search_path
from tinytorch_build.workers.fence import fence
from tinytorch_build.workers.inside import Guards
from tinytorch_build.workers.seal import Seal
from tinytorch_build.workers.supervisor import remove_folder, reset_signals, supervise

NEW_JOB, KILL = b"J", b"K"
"""What the client says on the control socket: a job, with the job's own socket; a supervisor to be killed."""
MESSAGE = struct.Struct("=cq")
END_SECONDS = 5.0
"""How long supervisors may take to end when the build has ended."""


def main(arguments: Sequence[str]) -> None:
    """Serve until the client is gone.

    Args:
        arguments: number of the control socket's descriptor, the server's own folder, the course's root, and
            names of modules to load beforehand.
    """
    control = socket.socket(fileno=int(arguments[0]))
    sys.path[:] = search_path(sys.path[1:], Path(arguments[2]))  # the first entry was there to find this file
    load_beforehand(arguments[3:])
    server = Server(control, Path(arguments[1]), Guards(Seal(), can_fence(Path(arguments[1]))))
    gc.collect()
    gc.freeze()  # so that a collection in a worker does not copy the pages of everything loaded here
    server.serve()


def can_fence(folder: Path) -> bool:
    """Whether a worker can be given a file system of its own: tried in a process that ends at once.

    An attempt that fails half-way may leave a process in which no file can be made.

    Args:
        folder: any folder that exists.
    """
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if fence(folder, 1) else 1)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    return status == 0


class Server:
    """The loop that takes in jobs."""

    def __init__(self, control: socket.socket, folder: Path, guards: Guards) -> None:
        self._control = control
        self._guards = guards
        self._folder = folder
        self._jobs: dict[int, Path] = {}
        self._left: set[Path] = set()
        self._count = 0
        self._wake, wake_writer = socket.socketpair()
        self._wake.setblocking(False)
        wake_writer.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wake_writer.detach(), warn_on_full_buffer=False)
        adopt_orphans()

    def serve(self) -> None:
        """Take in jobs until the client's end of the control socket closes."""
        self._wait()
        while self._heed():
            self._wait()
        self._end()

    def _wait(self) -> None:
        """Wait until the client says something, and take in ended supervisors meanwhile."""
        while True:
            ready, _, _ = select.select([self._control, self._wake], [], [])
            if self._wake in ready:
                self._wake.recv(4096)
                self._reap()
            if self._control in ready:
                return

    def _heed(self) -> bool:
        """Do what the client says next; False if it is gone."""
        data, descriptors, _, _ = socket.recv_fds(self._control, MESSAGE.size, 1)
        if len(data) < MESSAGE.size:
            return False
        kind, pid = MESSAGE.unpack(data)
        if kind == NEW_JOB and descriptors:
            self._start(socket.socket(fileno=descriptors[0]))
        elif pid in self._jobs:
            kill(pid)
        return True

    def _start(self, link: socket.socket) -> None:
        self._count += 1
        folder = self._folder / f"job-{self._count}"
        pid = os.fork()
        if pid == 0:
            self._become_supervisor(link, folder)
        self._jobs[pid] = folder
        link.close()

    def _become_supervisor(self, link: socket.socket, folder: Path) -> None:
        """In the forked process: run the job and end."""
        try:
            reset_signals()
            self._control.close()
            self._wake.close()
            supervise(link, folder, self._guards)
            os._exit(0)
        except BaseException:  # nothing may escape into the server's loop, of which this is a copy
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(70)

    def _reap(self) -> None:
        """Take in what has ended; end and clear away what a supervisor that was killed has left behind."""
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid in self._jobs:
                self._left.add(self._jobs.pop(pid))
        strays = [pid for pid in children(os.getpid()) if pid not in self._jobs]
        for pid in strays:  # each of them will be heard of again when it ends
            for descendant in descendants(pid):
                kill(descendant)
            kill(pid)
        if not strays:
            for folder in self._left:
                remove_folder(folder)
            self._left.clear()

    def _end(self) -> None:
        """The client is gone: supervisors notice that themselves; what is left after a while is killed."""
        self._control.close()
        os.chdir("/")
        deadline = time.monotonic() + END_SECONDS
        while self._jobs and time.monotonic() < deadline:
            ready, _, _ = select.select([self._wake], [], [], deadline - time.monotonic())
            if ready:
                self._wake.recv(4096)
            self._reap()
        end_descendants()
        remove_folder(self._folder)
