"""What happens inside a worker process, from its first moment to the delivery of the result."""

from __future__ import annotations

import atexit
import faulthandler
import os
import pickle
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from tinytorch_build.workers.capabilities import drop_dangerous
from tinytorch_build.workers.channel import Speaker, speak_through
from tinytorch_build.workers.confine import confine
from tinytorch_build.workers.environment import enter
from tinytorch_build.workers.failures import DAMAGED, failure_of, not_delivered, plain_text, tampered
from tinytorch_build.workers.fence import fence
from tinytorch_build.workers.job import Activity
from tinytorch_build.workers.limits import (
    limit_resources,
    seed_random_numbers,
    volunteer_for_want_of_memory,
)
from tinytorch_build.workers.seal import Seal
from tinytorch_build.workers.view import ViewFinder
from tinytorch_build.workers.wire import Delivery, Order

WHERE_SIGNAL: int | None = signal.SIGRTMAX - 2 if sys.platform == "linux" else None
"""Asks a worker to write down where it is; a number that course code hardly uses."""


_exit, _getpid = os._exit, os.getpid
"""Taken before course code can put something else in their place."""


@dataclass(frozen=True, slots=True)
class Guards:
    """What is known before any worker starts.

    Attributes:
        seal: on what jobs must leave as it is.
        can_fence: whether this system gives a worker a file system of its own.
    """

    seal: Seal
    can_fence: bool


def work(order: Order, folder: Path, result: int, trace: int, guards: Guards) -> NoReturn:
    """Do a job in this process, hand over what came of it, and end the process.

    Args:
        order: the job.
        folder: becomes the process's own; must exist and be empty.
        result: descriptor of the pipe for the result.
        trace: descriptor of the file or pipe for `faulthandler`.
        guards: what the server has found and sealed.
    """
    speaker = Speaker(result, order.token)
    mine = _getpid()
    _prepare(order, folder, trace, guards.can_fence)
    speak_through(speaker)
    delivery = _call(order)
    try:
        delivery = _examined(delivery, guards.seal)
        packed = _packed(delivery)
        if delivery.failure is None:
            speaker.announce(Activity("its exit handlers"))
            _run_exit_handlers()
        if _getpid() == mine:  # a copy that course code made of the process may come along here too
            _flush()
            speaker.deliver(packed)
        _exit(0)
    except BaseException:  # course code may have broken anything: builtins, descriptors, the standard library
        _exit(DAMAGED)


def _prepare(order: Order, folder: Path, trace: int, can_fence: bool) -> None:
    volunteer_for_want_of_memory()
    is_fenced = order.confine and can_fence and fence(folder, order.memory_mb)
    enter(folder)
    _open_streams()
    faulthandler.enable(file=trace, all_threads=False)
    if WHERE_SIGNAL is not None:
        faulthandler.register(WHERE_SIGNAL, file=trace, all_threads=False)
    limit_resources(order.memory_mb)
    if order.confine:
        if sys.platform == "linux":
            drop_dangerous()
        _note_shut_in(confine(folder) and is_fenced)
    atexit._clear()  # handlers that the server's imports left are not the job's
    sys.argv = [""]
    sys.modules["__main__"] = ModuleType("__main__")
    seed_random_numbers()
    if order.view is not None:
        sys.meta_path.insert(0, ViewFinder(order.view))


_is_shut_in = False
"""Set once, in a worker."""


def _note_shut_in(is_so: bool) -> None:
    global _is_shut_in
    _is_shut_in = is_so


def is_shut_in() -> bool:
    """As a job: whether a worker here can change no file but its own, not even its permissions."""
    return _is_shut_in


def _open_streams() -> None:
    """New text streams over descriptors 0 to 2: whole lines go out at once, so that a crash loses none."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        stream = open(  # noqa: SIM115 - lives as long as the process
            descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc]  # noqa: SIM115


def _call(order: Order) -> Delivery:
    import cloudpickle

    try:
        function, arguments = cloudpickle.loads(order.call)
        return Delivery(function(*arguments), None)
    except BaseException as error:  # whatever leaves the function is data for the build
        return Delivery(None, failure_of(error, order.memory_mb))


def _examined(delivery: Delivery, seal: Seal) -> Delivery:
    """A delivery, unless the job has replaced what reaches or feeds its verdict."""
    broken = seal.broken() if delivery.failure is None else None
    return delivery if broken is None else Delivery(None, tampered(broken))


def _run_exit_handlers() -> None:
    """What Python does at its end, done while a fault in it can still fail the job."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue  # course code closed or replaced it


def _packed(delivery: Delivery) -> bytes:
    try:
        return pickle.dumps(delivery, protocol=5)
    except Exception as error:  # pickle lets through what the value's own methods raise
        why = f"returned something that cannot be sent: {plain_text(error)}"
        return pickle.dumps(Delivery(None, not_delivered(why)), protocol=5)
