"""Finding and ending every process that a job has started, also those that ran away from it (Linux)."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import re
import signal
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
_HELD = re.compile(r"^(?:RssAnon|RssShmem|VmSwap):\s+(\d+) kB$", re.MULTILINE)
REAP_SECONDS = 5.0
"""How long killed processes may take to be gone; only one that hangs in the kernel takes longer."""


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends.

    Args:
        parent: process id of the parent; if it is gone already, this process ends at once.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def children(pid: int) -> list[int]:
    """Process ids of the children of a process; none if it is gone."""
    if not _kernel_lists_children():
        return _children_by_search(pid)
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return found


@functools.cache
def _kernel_lists_children() -> bool:
    return Path("/proc/thread-self/children").exists()


def _children_by_search(pid: int) -> list[int]:
    """The children of a process on kernels that keep no list of them."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if int(status.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(status.parent.name))
    return found


def descendants(pid: int, enough: int = 1 << 20) -> list[int]:
    """Process ids of the children of a process, of their children, and so on.

    Args:
        pid: the process.
        enough: stop looking when that many were found.
    """
    found: list[int] = []
    waiting = [pid]
    while waiting and len(found) < enough:
        new = children(waiting.pop())
        found += new
        waiting += new
    return found


def exit_status(pid: int) -> int | None:
    """The status with which a child ended, negative for a signal; None while it runs. It is not reaped yet.

    As long as it is not reaped, its number stands for nothing else, and its process group can be killed.
    """
    state = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if state is None:
        return None
    return state.si_status if state.si_code == os.CLD_EXITED else -state.si_status


def held_memory_mb(pid: int) -> float:
    """Mebibytes that a process holds and that no file on a disk stands behind; 0 if it is gone.

    The limit that the kernel keeps is one of private memory; this sees what is shared between processes, too.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(size) for size in _HELD.findall(status)) / 1024


def end_descendants(group: int | None = None) -> None:
    """Kill and reap all descendants of this process, which must have called `adopt_orphans`.

    Killing goes on until the kernel says that there is no child left: a process that forks faster than it is
    found loses in the end, since each round kills all parents there are.

    Args:
        group: a process group to kill at one blow first; its leader must not have been reaped.
    """
    if group is not None:
        kill(-group)
    deadline = time.monotonic() + REAP_SECONDS
    while time.monotonic() < deadline:
        for pid in descendants(os.getpid()):
            kill(pid)
        if not _reap():
            return
        time.sleep(0.0005)


def _reap() -> bool:
    """Take in the children that have ended; whether any child is left."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def kill(pid: int) -> None:
    """Kill a process, or with a negative number a process group, if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # it is gone, or is a program that runs as another user
        return
