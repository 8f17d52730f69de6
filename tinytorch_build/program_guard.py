"""Stands between the build and a program that it runs: the program ends when the build ends.

A process that is killed by `kill -9` can end nothing itself. So the build holds one end of a pipe, and this
process watches the other: when that end is closed, by the build or by the kernel, the program is killed.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from typing import NoReturn

from tinytorch_build.processes import adopt_orphans, end_descendants, exit_status, kill

NOT_STARTED = 127
"""Exit status if the program cannot be started, as a shell's; what was wrong stands in its output."""

_ON_LINUX = sys.platform == "linux"


def main(arguments: list[str]) -> NoReturn:
    """Run a program and end as it ended, with its exit status or by its signal.

    Args:
        arguments: number of the pipe's descriptor, then the program and its arguments.
    """
    pipe, command = int(arguments[0]), arguments[1:]
    os.set_inheritable(pipe, False)
    if _ON_LINUX:
        adopt_orphans()
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    program = os.fork()
    if program == 0:
        _become(command)
    status = None
    while status is None:
        ready, _, _ = select.select([pipe, ended], [], [])
        status = -signal.SIGKILL if pipe in ready else exit_status(program)
        if ended in ready:
            os.read(ended, 4096)
    if _ON_LINUX:
        end_descendants()
    elif status == -signal.SIGKILL:
        kill(-os.getpgrp())  # this process, too
    _end_as(status)


def _become(command: list[str]) -> NoReturn:
    """In the forked process: be the program."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
    finally:
        os._exit(NOT_STARTED)


def _end_as(status: int) -> NoReturn:
    if status < 0:
        if -status not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status if status >= 0 else NOT_STARTED)
