"""The fork server: imports what is slow to import once, then forks a supervisor for every job."""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import struct
import time

from tinytorch_build.workers import limits, processes, supervisor

READY = b"R"
SECONDS = struct.Struct("!d")
GRACE = 10.0
"""Seconds beyond a job's limit after which its supervisor is taken to hang (the job may have stopped it)."""


def main(descriptor: str, folder: str, options: str) -> None:
    """Serve until the client is gone.

    Args:
        descriptor: number of the control socket, over which each job's own socket arrives.
        folder: the private folder, which is removed in the end.
        options: JSON: `preload` (module names) and `hidden` (folders not to import from).
    """
    control = socket.socket(fileno=int(descriptor))
    control.set_inheritable(False)
    chosen = json.loads(options)
    processes.adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the client hears Ctrl-C and decides
    limits.hide_folders(chosen["hidden"])
    warm_up(chosen["preload"])
    control.sendall(READY)
    try:
        _Server(control, os.getppid()).serve()
    finally:
        processes.end_all()
        shutil.rmtree(folder, ignore_errors=True)


def warm_up(preload: list[str]) -> None:
    """Import what is installed of these modules, and keep the collector from touching it in the forks."""
    for name in preload:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


class _Server:
    def __init__(self, control: socket.socket, client: int) -> None:
        self._control = control
        self._client = client
        self._supervisors: dict[int, float] = {}
        self._woken, wake = socket.socketpair()
        for end in (self._woken, wake):
            end.setblocking(False)
        self._wake = wake

    def serve(self) -> None:
        """Fork a supervisor for each socket that arrives, until there is no client."""
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        while os.getppid() == self._client:
            ready, _, _ = select.select([self._control, self._woken], [], [], 0.5)
            if self._woken in ready:
                self._woken.recv(4096)
            self._look_after_supervisors()
            if self._control in ready and not self._accept():
                return

    def _accept(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, SECONDS.size, 1)
        except ConnectionResetError:
            return False
        if len(data) != SECONDS.size or not descriptors:
            return False
        channel = socket.socket(fileno=descriptors[0])
        pid = os.fork()
        if pid == 0:
            self._become_supervisor(channel)
        channel.close()
        self._supervisors[pid] = time.monotonic() + SECONDS.unpack(data)[0] + GRACE
        return True

    def _become_supervisor(self, channel: socket.socket) -> None:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for unused in (self._control, self._woken, self._wake):
                unused.close()
            supervisor.supervise(channel)
            status = 0
        finally:
            os._exit(status)

    def _look_after_supervisors(self) -> None:
        """Bury those that ended, kill those that hang, and end what one that was killed has left behind."""
        now = time.monotonic()
        for pid, deadline in self._supervisors.items():
            if now > deadline:
                os.kill(pid, signal.SIGKILL)
        ended: list[tuple[int, int]] = []
        with contextlib.suppress(ChildProcessError):
            ended = processes.reap()
        for pid, _ in ended:
            self._supervisors.pop(pid, None)
        if any(status != 0 for _, status in ended):
            for pid, _ in processes.end_all(keep=frozenset(self._supervisors)):
                self._supervisors.pop(pid, None)
