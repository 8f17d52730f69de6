"""The build's side of the isolated processes: start the server, send jobs, take in what became of them."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from tinytorch_build.errors import WorkerUnavailable
from tinytorch_build.workers.environment import build_environment, make_folders
from tinytorch_build.workers.failures import not_delivered, plain_text
from tinytorch_build.workers.inside import is_shut_in
from tinytorch_build.workers.job import Job, JobResult
from tinytorch_build.workers.preload import EVERYTHING
from tinytorch_build.workers.wire import Delivery, Report, framed, loads, order_of, read_frame

Value = TypeVar("Value")

GRACE_SECONDS = 15.0
"""How much longer than its job a supervisor may take; one that takes longer was stopped by course code."""

START_SECONDS = 60.0
"""How long the server may take to load its modules and fork a supervisor."""

CAN_FORK = sys.platform == "linux"
"""Elsewhere there is no `fork`, or, as on macOS, numerical libraries do not survive it."""

_START = """
import sys
sys.path.insert(0, sys.argv[1])
from tinytorch_build.workers.server import main
main(sys.argv[2:])
"""
"""Not `-m`: workers would find the folder of the checkout on `sys.path`."""

LOST = "lost the process that watches over it, so its result cannot be trusted"


class Workers:
    """Runs jobs, each in a process of its own. Threads may share it; the server starts with the first job.

    Args:
        root: the course's root, which workers do not find on their path.
        preload: modules that the server loads beforehand; those that are not installed are left out.
        confine: whether workers may write into their own folders only, where the system can see to that.
        fork: whether to fork workers from a warm server; by default on Linux. Otherwise each job runs in a
            Python of its own, with fewer guards: see `plain`.
    """

    def __init__(
        self, root: Path, *, preload: Sequence[str] = EVERYTHING, confine: bool = True, fork: bool = CAN_FORK
    ) -> None:
        self._root = root
        self._preload = tuple(preload)
        self._confine = confine
        self._fork = fork
        self._mutex = threading.Lock()
        self._servers: list[ServerProcess] = []  # the last one serves; supervisors of dead ones may still run
        self._links: set[socket.socket] = set()
        self._closed = False
        self._shut_in: bool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, job: Job[Value]) -> JobResult[Value]:
        """Call a job's function in a process of its own and wait for what comes of it.

        Whatever the function does is a `Failure` in the result. All processes that it started are gone when
        this returns.

        Raises:
            WorkerUnavailable: no process could be started, or `close` was called meanwhile.
            pickle.PicklingError, TypeError: the function or its arguments cannot be sent.
        """
        order = order_of(job, confine=self._confine)
        if not self._fork:
            from tinytorch_build.workers.plain import run_plain

            return result_of(run_plain(order, self._root, self._preload))
        for _ in range(2):  # the server may have ended, or been killed, since the last job
            server, link = self._connect()
            try:
                report = self._converse(server, link, order, job.seconds)
            finally:
                self._hang_up(link)
            if report is not None:
                return result_of(report)
            server.check_started()
        raise WorkerUnavailable("the server of the isolated processes was ended from outside, twice in a row")

    def shut_in(self) -> bool:
        """Whether a worker can change nothing but its own files; asked once, by a job that says so."""
        if self._shut_in is None:
            self._shut_in = bool(self.run(Job(is_shut_in)).value)
        return self._shut_in

    def close(self) -> None:
        """End the server and every worker. Jobs that run in other threads raise WorkerUnavailable."""
        with self._mutex:
            self._closed = True
            for link in self._links:
                with contextlib.suppress(OSError):  # the other side may have ended already
                    link.shutdown(socket.SHUT_RDWR)
            servers, self._servers = self._servers, []
        for server in servers:
            server.close()

    def _connect(self) -> tuple[ServerProcess, socket.socket]:
        """A running server, and a new link to a supervisor that it forks."""
        with self._mutex:
            if self._closed:
                raise WorkerUnavailable("the isolated processes have been ended")
            if not self._servers or not self._servers[-1].is_running:
                self._servers.append(ServerProcess(self._root, self._preload))
            server = self._servers[-1]
            link = server.link()
            self._links.add(link)
            return server, link

    def _hang_up(self, link: socket.socket) -> None:
        with self._mutex:
            self._links.discard(link)
        link.close()

    def _converse(
        self, server: ServerProcess, link: socket.socket, order: bytes, seconds: float
    ) -> Report | None:
        """Send the order and wait for the report; None if no supervisor ever answered."""
        greeting = _greeting(link, order)
        if greeting is None:
            self._stop_if_closed()
            return None
        link.settimeout(seconds + GRACE_SECONDS)
        try:
            report = read_frame(link)
        except TimeoutError:
            server.kill_supervisor(int(greeting))
            report = None
        if report is None:
            self._stop_if_closed()
            return Report(None, not_delivered(LOST), None, "", seconds)
        return cast("Report", loads(report))

    def _stop_if_closed(self) -> None:
        if self._closed:
            raise WorkerUnavailable("the isolated processes were ended while a job was running")


def _greeting(link: socket.socket, order: bytes) -> bytes | None:
    """Send an order and wait for a supervisor to take it: its process id, or None if there is none."""
    link.settimeout(START_SECONDS)
    try:
        link.sendall(framed(order))
        return read_frame(link)
    except ConnectionError:
        return None
    except TimeoutError:
        message = f"the server of the isolated processes has not answered for {START_SECONDS:g} seconds"
        raise WorkerUnavailable(message) from None


def result_of(report: Report) -> JobResult[Any]:
    """What became of a job, from what its supervisor says."""
    failure, value = report.failure, None
    if report.delivered is not None:
        try:
            delivery = loads(report.delivered)
            if not isinstance(delivery, Delivery):
                raise pickle.UnpicklingError("it is no delivery")
            value, failure = delivery.value, delivery.failure
        except Exception as error:  # pickle raises anything at all on bytes that are not what they should be
            failure = not_delivered(f"delivered a result that cannot be read: {plain_text(error)}")
    if failure is not None:
        failure = replace(failure, doing=report.doing)
    return JobResult(value, failure, report.output, report.seconds)


class ServerProcess:
    """The fork server, seen from the build."""

    def __init__(self, root: Path, preload: Sequence[str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tinytorch-build-")).resolve()
        try:
            self._start(root, preload)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def _start(self, root: Path, preload: Sequence[str]) -> None:
        make_folders(self._folder)
        self._log = self._folder / "server.log"
        self._control, theirs = socket.socketpair()
        number = str(theirs.fileno())
        with theirs, self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-c", _START, str(Path(__file__).resolve().parents[2])),
                    *(number, str(self._folder), str(root), *preload),
                ],
                env=build_environment(os.environ, self._folder),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # else Ctrl-C in the terminal would reach it
            )

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def link(self) -> socket.socket:
        """Ask for a supervisor; the socket that leads to it."""
        from tinytorch_build.workers.server import MESSAGE, NEW_JOB

        mine, theirs = socket.socketpair()
        with theirs, contextlib.suppress(ConnectionError):  # if it has just ended, the link is found closed
            socket.send_fds(self._control, [MESSAGE.pack(NEW_JOB, 0)], [theirs.fileno()])
        return mine

    def kill_supervisor(self, pid: int) -> None:
        """Have a supervisor killed that no longer answers."""
        from tinytorch_build.workers.server import KILL, MESSAGE

        with contextlib.suppress(ConnectionError):  # the server may have ended, too
            self._control.sendall(MESSAGE.pack(KILL, pid))

    def check_started(self) -> None:
        """Make sure that the server did not fail to start.

        Raises:
            WorkerUnavailable: with what it said.
        """
        try:
            status = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return
        said = self._log.read_text(encoding="utf-8", errors="replace").strip() if self._log.exists() else ""
        if status > 0 and said:
            last = said.splitlines()[-1]
            raise WorkerUnavailable(f"the server of the isolated processes does not start: {last}\n{said}")

    def close(self) -> None:
        """End the server, everything under it, and its folder."""
        self._control.close()
        try:
            self._process.wait(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
