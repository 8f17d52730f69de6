"""The process that watches over one worker: time, output, number of processes, and a clean end."""

from __future__ import annotations

import os
import pickle
import select
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import NoReturn

from tinytorch_build.processes import (
    adopt_orphans,
    descendants,
    die_with_parent,
    end_descendants,
    exit_status,
    held_memory_mb,
)
from tinytorch_build.workers.channel import Listener
from tinytorch_build.workers.failures import (
    DAMAGED,
    failure_of_exit,
    not_delivered,
    out_of_memory,
    timed_out,
    too_many_processes,
)
from tinytorch_build.workers.inside import WHERE_SIGNAL, Guards, work
from tinytorch_build.workers.job import Failure
from tinytorch_build.workers.output import HeadTail
from tinytorch_build.workers.wire import Order, Report, framed, loads, read_frame

TICK = 0.05
"""Seconds between two looks at how many processes there are, and how much memory they hold."""
SHORT_TICK = 0.002
"""The same, once the worker has closed its pipe and must be about to end."""
PIECE = 1 << 20
PIPE_BYTES = 1 << 20
"""A large pipe for the output lets a worker that prints much run on while nobody reads."""
TRACE_SECONDS = 0.5
"""How long a worker may take to begin to write down where it is, and how long it may pause then."""
TRACE_PAUSE = 0.02


_exit = os._exit
"""Taken before course code can put something else in its place."""


class ClientGone(Exception):
    """The build has ended, or does not want the result any more."""


def supervise(link: socket.socket, folder: Path, guards: Guards) -> None:
    """Run one job and report; every process that it started is gone, and its folder too, before the report.

    Args:
        link: the connection to the client: the order comes in, the report goes out.
        folder: where to make the worker's own folder.
        guards: what the server has found and sealed.
    """
    os.setsid()
    adopt_orphans()
    order = read_frame(link)
    if order is None:
        return
    link.sendall(framed(str(os.getpid()).encode()))
    folder.mkdir()
    try:
        report = Watch(loads(order), folder, link, guards).run()
    except ClientGone:
        return
    finally:
        remove_folder(folder)
    link.sendall(framed(pickle.dumps(report, protocol=5)))


def remove_folder(folder: Path) -> None:
    """Remove a worker's folder, whatever it left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():  # folders without permissions, which stop all users but root
        for path, _, _ in os.walk(folder):
            os.chmod(path, 0o700)
        shutil.rmtree(folder, ignore_errors=True)


class Watch:
    """One worker under watch; forks it at once."""

    def __init__(self, order: Order, folder: Path, link: socket.socket, guards: Guards) -> None:
        self._order = order
        self._link = link
        self._output = HeadTail()
        self._trace = HeadTail()
        self._listener = Listener(order.token)
        self._started = time.monotonic()
        self._result_pipe, self._trace_pipe, self._output_pipe = pipes = [os.pipe() for _ in range(3)]
        supervisor = os.getpid()
        self._worker = os.fork()
        if self._worker == 0:
            self._become_worker(supervisor, folder, guards)
        _enlarge(self._output_pipe[0])
        for reading, writing in pipes:
            os.close(writing)
            os.set_blocking(reading, False)
        self._readers = {reading for reading, _ in pipes}

    def run(self) -> Report:
        """Stay until the worker has delivered, ended, or broken a limit.

        Raises:
            ClientGone: the client closed the link; all processes of the job are gone.
        """
        try:
            failure = self._watch()
        finally:
            end_descendants(self._worker)
        self._drain()
        seconds = time.monotonic() - self._started
        if failure is None and self._listener.fault is not None:
            failure = not_delivered(self._listener.fault)
        delivered = self._listener.result if failure is None else None
        return Report(delivered, failure, self._listener.activity, self._output.text(), seconds)

    def _become_worker(self, supervisor: int, folder: Path, guards: Guards) -> NoReturn:
        """In the forked process: a session of its own, no descriptor but its own, default signals."""
        try:
            die_with_parent(supervisor)
            os.setsid()
            reset_signals()
            self._take_descriptors()
            work(self._order, folder, self._result_pipe[1], self._trace_pipe[1], guards)
        except BaseException:  # nothing may escape into the server's code, of which this process is a copy
            sys.excepthook(*sys.exc_info())
        finally:
            _exit(DAMAGED)

    def _take_descriptors(self) -> None:
        nowhere = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nowhere, 0)
        os.dup2(self._output_pipe[1], 1)
        os.dup2(self._output_pipe[1], 2)
        start = 3
        for kept in sorted((self._result_pipe[1], self._trace_pipe[1])):
            os.closerange(start, kept)
            start = kept + 1
        os.closerange(start, os.sysconf("SC_OPEN_MAX"))

    def _watch(self) -> Failure | None:
        """Wait for the end; the reason why there will be no result, or None if something was delivered."""
        deadline = self._started + self._order.seconds
        counted = self._started
        limit = self._order.max_processes
        while True:
            self._read(max(0.0, deadline - time.monotonic()))
            if self._listener.is_over:
                return None
            status = exit_status(self._worker)
            if status is not None:
                self._drain()  # it may have delivered just before its end
                return None if self._listener.is_over else failure_of_exit(status, self._trace.text())
            now = time.monotonic()
            if now >= deadline:
                return timed_out(self._order.seconds, self._where())
            if now - counted >= TICK:
                counted = now
                found = descendants(os.getpid(), limit + 1)
                if len(found) > limit:
                    return too_many_processes(limit)
                if any(held_memory_mb(pid) > self._order.memory_mb for pid in found):
                    return out_of_memory(self._order.memory_mb)

    def _read(self, seconds: float) -> None:
        """Take in what is there, waiting for it no longer than so long or a tick."""
        tick = TICK if self._result_pipe[0] in self._readers else SHORT_TICK
        link = self._link.fileno()
        ready, _, _ = select.select([link, *self._readers], [], [], min(tick, seconds))
        if link in ready:
            raise ClientGone  # the client has said all it had to say: this is the end of the stream
        for reader in ready:
            self._take(reader)

    def _take(self, reader: int) -> bool:
        """Take in one piece from a pipe; whether there may be more."""
        try:
            data = os.read(reader, PIECE)
        except BlockingIOError:
            return False
        if not data:
            os.close(reader)
            self._readers.remove(reader)
        elif reader == self._result_pipe[0]:
            self._listener.feed(data)
        else:
            (self._output if reader == self._output_pipe[0] else self._trace).write(data)
        return bool(data)

    def _drain(self) -> None:
        """Take in all that is left in the pipes."""
        for reader in list(self._readers):
            while self._take(reader):
                continue

    def _where(self) -> str:
        """Ask the worker for the lines that it is at."""
        reader = self._trace_pipe[0]
        if WHERE_SIGNAL is not None and reader in self._readers:
            os.kill(self._worker, WHERE_SIGNAL)
            patience = TRACE_SECONDS
            while select.select([reader], [], [], patience)[0] and self._take(reader):
                patience = TRACE_PAUSE
        return self._trace.text()


def _enlarge(pipe: int) -> None:
    if sys.platform == "linux":
        import fcntl

        try:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except PermissionError:
            return  # the user has used up what the system allows; the pipe works as it is


def reset_signals() -> None:
    """Give a forked process the signal handling that a fresh Python has."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
