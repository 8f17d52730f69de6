"""The way without `fork`: each job in a Python of its own, which the build watches itself.

Time, output and the result are guarded as by a supervisor. What is missing: descendants that leave the
process group outlive the job, processes are not counted, and a start costs a second instead of milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

from tinytorch_build.workers.channel import Listener
from tinytorch_build.workers.environment import build_environment, load_beforehand, search_path
from tinytorch_build.workers.failures import failure_of_exit, not_delivered, timed_out
from tinytorch_build.workers.inside import Guards, work
from tinytorch_build.workers.output import HeadTail
from tinytorch_build.workers.seal import Seal
from tinytorch_build.workers.wire import Order, Report, loads

ORDER, CHANNEL, TRACE = "order", "channel", "trace"
"""Files in the worker's folder: the job, what the worker says, and what `faulthandler` writes."""

START_SECONDS = 3.0
"""The time that Python itself takes to start, which is not the job's."""
END_SECONDS = 5.0
"""How long output may still come in after the end."""

_START = """
import sys
sys.path.insert(0, sys.argv[1])
from tinytorch_build.workers.plain import main
main(sys.argv[2:])
"""


def main(arguments: Sequence[str]) -> None:
    """In the new process: do the job.

    Args:
        arguments: the worker's folder, the course's root, and names of modules to load beforehand.
    """
    folder, root = Path(arguments[0]), Path(arguments[1])
    order = cast("Order", loads((folder / ORDER).read_bytes()))
    (folder / ORDER).unlink()  # it holds the token, which is not for course code to read
    sys.path[:] = search_path(sys.path[1:], root)
    load_beforehand(arguments[2:])
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
    work(
        order,
        folder,
        os.open(folder / CHANNEL, flags),
        os.open(folder / TRACE, flags),
        Guards(Seal(), can_fence=False),
    )


def run_plain(order: bytes, root: Path, preload: Sequence[str]) -> Report:
    """Run a job in a Python of its own.

    Args:
        order: the job, as `order_of` made it.
        root: the course's root.
        preload: modules that the worker loads before it begins: here only for the sake of equal conditions.
    """
    with tempfile.TemporaryDirectory(prefix="tinytorch-build-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        (folder / ORDER).write_bytes(order)
        started = time.monotonic()
        process = _start(folder, root, preload)
        output = HeadTail()
        reader = threading.Thread(target=_read_all, args=(process.stdout, output), daemon=True)
        reader.start()
        told = cast("Order", loads(order))
        limit = told.seconds
        is_timely = _wait(process, limit)
        _end(process)
        reader.join(END_SECONDS)
        seconds = time.monotonic() - started
        listener = Listener(told.token)
        listener.feed(_content(folder / CHANNEL))
        if is_timely and listener.result is not None:
            return Report(listener.result, None, listener.activity, output.text(), seconds)
        trace = _content(folder / TRACE).decode("utf-8", "replace")
        if not is_timely:
            failure = timed_out(limit, trace)
        elif listener.fault is not None:
            failure = not_delivered(listener.fault)
        else:
            failure = failure_of_exit(process.returncode, trace)
        return Report(None, failure, listener.activity, output.text(), seconds)


def _start(folder: Path, root: Path, preload: Sequence[str]) -> subprocess.Popen[bytes]:
    holder = str(Path(__file__).resolve().parents[2])
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _START, holder, str(folder), str(root), *preload],
        env=build_environment(os.environ, folder),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _read_all(stream: IO[bytes] | None, output: HeadTail) -> None:
    assert stream is not None
    with stream:
        while piece := os.read(stream.fileno(), 1 << 20):
            output.write(piece)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for the end; False if it did not come in time."""
    try:
        process.wait(timeout=seconds + START_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and its group."""
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
