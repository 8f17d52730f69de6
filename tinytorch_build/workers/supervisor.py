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
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from tinytorch_build.workers.channel import Listener
from tinytorch_build.workers.failures import failure_of_exit, not_delivered, timed_out, too_many_processes
from tinytorch_build.workers.inside import WHERE_SIGNAL, work
from tinytorch_build.workers.job import Failure
from tinytorch_build.workers.output import HeadTail
from tinytorch_build.workers.processes import (
    adopt_orphans,
    descendants,
    die_with_parent,
    end_descendants,
    exit_status,
    kill,
)
from tinytorch_build.workers.wire import Order, Report, framed, loads, read_frame

TICK = 0.05
"""Seconds between two looks at how many processes there are."""
PIECE = 1 << 20
TRACE_SECONDS = 0.5
"""How long a worker may take to write down where it is."""


class ClientGone(Exception):
    """The build has ended, or does not want the result any more."""


def supervise(link: socket.socket, folder: Path) -> None:
    """Run one job and report; every process that it started is gone, and its folder too, before the report.

    Args:
        link: the connection to the client: the order comes in, the report goes out.
        folder: where to make the worker's own folder.
    """
    os.setsid()
    adopt_orphans()
    order = read_frame(link)
    if order is None:
        return
    link.sendall(framed(str(os.getpid()).encode()))
    folder.mkdir()
    watch = Watch(loads(order), folder)
    try:
        report = watch.run(link)
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
    """One worker under watch."""

    def __init__(self, order: Order, folder: Path) -> None:
        self._order = order
        self._folder = folder
        self._output = HeadTail()
        self._trace = HeadTail(4096, 4096)
        self._listener = Listener()
        self._started = time.monotonic()

    def run(self, link: socket.socket) -> Report:
        """Fork the worker and stay until it has delivered, ended, or broken a limit.

        Raises:
            ClientGone: the client closed the link; all processes of the job are gone.
        """
        self._pipes = {name: os.pipe() for name in ("result", "trace", "output")}
        self._worker = os.fork()
        if self._worker == 0:
            self._become_worker()
        for _, writing in self._pipes.values():
            os.close(writing)
        self._readers = {self._pipes[name][0]: name for name in self._pipes}
        for reader in self._readers:
            os.set_blocking(reader, False)
        try:
            failure = self._watch(link)
        finally:
            end_descendants(self._worker)
        self._drain()
        seconds = time.monotonic() - self._started
        if failure is None and self._listener.result is None:
            failure = not_delivered(self._listener.fault or "delivered nothing")
        if failure is not None:
            failure = replace(failure, doing=self._listener.activity)
        delivered = self._listener.result if failure is None else None
        return Report(delivered, failure, self._output.text(), seconds)

    def _become_worker(self) -> NoReturn:
        """In the forked process: a session of its own, no descriptor but its own, default signals."""
        try:
            die_with_parent(os.getppid())
            os.setsid()
            reset_signals()
            result, trace = self._take_descriptors()
            work(self._order, self._folder, result, trace)
        except BaseException:  # nothing may escape into the server's code, of which this process is a copy
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(70)

    def _take_descriptors(self) -> tuple[int, int]:
        result, trace, output = (self._pipes[name][1] for name in ("result", "trace", "output"))
        nowhere = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nowhere, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        low, high = sorted((result, trace))
        os.closerange(3, low)
        os.closerange(low + 1, high)
        os.closerange(high + 1, os.sysconf("SC_OPEN_MAX"))
        return result, trace

    def _watch(self, link: socket.socket) -> Failure | None:
        """Wait for the end; the reason why there will be no result, or None if one was delivered."""
        deadline = self._started + self._order.seconds
        counted = self._started
        while True:
            self._read(link, min(TICK, max(0.0, deadline - time.monotonic())))
            if self._listener.is_over:
                return None
            status = exit_status(self._worker)
            if status is not None:
                return self._ended(status)
            now = time.monotonic()
            if now >= deadline:
                return timed_out(self._order.seconds, self._where())
            if now - counted >= TICK:
                counted = now
                limit = self._order.max_processes
                if len(descendants(os.getpid(), limit + 1)) > limit:
                    return too_many_processes(limit)

    def _ended(self, status: int) -> Failure | None:
        self._drain()  # it may have delivered just before its end
        if self._listener.is_over:
            return None
        return failure_of_exit(status, self._trace.text())

    def _read(self, link: socket.socket, seconds: float) -> None:
        """Take in what is there, waiting for it at most so long."""
        ready, _, _ = select.select([link, *self._readers], [], [], seconds)
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
            del self._readers[reader]
            return False
        name = self._readers[reader]
        if name == "result":
            self._listener.feed(data)
        else:
            (self._output if name == "output" else self._trace).write(data)
        return True

    def _drain(self) -> None:
        """Take in all that is left in the pipes."""
        for reader in list(self._readers):
            while self._take(reader):
                continue

    def _where(self) -> str:
        """Ask the worker for the lines that it is at."""
        if WHERE_SIGNAL is None:
            return ""
        os.kill(self._worker, WHERE_SIGNAL)
        until = time.monotonic() + TRACE_SECONDS
        for reader in self._tracing():
            ready, _, _ = select.select([reader], [], [], max(0.0, until - time.monotonic()))
            if not ready or not self._take(reader):
                break
        return self._trace.text()

    def _tracing(self) -> Iterator[int]:
        """The reader of the trace, as long as it is open and the trace has no end."""
        while not self._trace.text().endswith("\n\n"):
            readers = [reader for reader, name in self._readers.items() if name == "trace"]
            if not readers:
                return
            yield readers[0]


def reset_signals() -> None:
    """Give a forked process the signal handling that a fresh Python has."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    kill  # noqa: B018
