"""The bytes between the build and its workers: framing, jobs on the way out, plain data on the way back."""

from __future__ import annotations

import dataclasses
import enum
import functools
import importlib
import io
import os
import pickle
import secrets
import site
import socket
import struct
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tinytorch_build.workers.job import Activity, Failure, Job
from tinytorch_build.workers.view import View

PACKAGE = __name__.partition(".")[0]
LENGTH = struct.Struct(">Q")
MAX_RESULT = 64 * 1024 * 1024
"""Bytes of a result; more is taken for a fault of the job."""

TOKEN_BYTES = 16
"""Bytes of a job's token: nobody guesses it."""

_by_value_lock = threading.Lock()
"""cloudpickle keeps the list of modules to pickle by value for the whole process."""


@dataclass(frozen=True, slots=True)
class Order:
    """A job as it travels.

    Attributes:
        call: the function and its arguments, by cloudpickle; opened in the worker alone.
        token: stands before everything that the worker says, so that what others write into its pipe is
            known for what it is.
        seconds, memory_mb, view, max_processes: as in `Job`.
        confine: whether to shut off writing outside the worker's own folder, where the system can.
    """

    call: bytes
    token: bytes
    seconds: float
    memory_mb: int
    view: View | None
    max_processes: int
    confine: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What a supervisor says of a job.

    Attributes:
        delivered: what the worker handed over: a pickled `Delivery`; None if there is a failure.
        failure: why nothing was handed over.
        doing: what the worker said last about what it was doing.
        output, seconds: as in `JobResult`.
    """

    delivered: bytes | None
    failure: Failure | None
    doing: Activity | None
    output: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a worker hands over: the function's value, or the exception that left it."""

    value: Any  # whatever the function returns
    failure: Failure | None


class UntrustedResult(pickle.UnpicklingError):
    """A result holds more than plain data."""


def order_of(job: Job[Any], *, confine: bool) -> bytes:
    """A job, ready to be sent.

    Raises:
        pickle.PicklingError, TypeError: the function or an argument cannot travel.
    """
    import cloudpickle

    with _by_value_lock, _pickled_by_value(cloudpickle, _homeless_modules()):
        call: bytes = cloudpickle.dumps((job.function, job.args))
    token = secrets.token_bytes(TOKEN_BYTES)
    order = Order(call, token, job.seconds, job.memory_mb, job.view, job.max_processes, confine)
    return pickle.dumps(order, protocol=5)


def _homeless_modules() -> list[ModuleType]:
    """Loaded modules that a worker could not import, such as a course's `dodo.py` and what lies beside it."""
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        is_known = name == "__main__" or name.partition(".")[0] == PACKAGE or module.__name__ != name
        if isinstance(file, str) and not is_known and not _is_installed(os.path.dirname(file)):
            found.append(module)
    return found


@functools.cache
def _is_installed(folder: str) -> bool:
    return lies_in(Path(folder), library_folders())


@contextmanager
def _pickled_by_value(cloudpickle: ModuleType, modules: list[ModuleType]) -> Iterator[None]:
    already = cloudpickle.list_registry_pickle_by_value()
    mine = [module for module in modules if module.__name__ not in already]
    for module in mine:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in mine:
            cloudpickle.unregister_pickle_by_value(module)


def library_folders() -> tuple[Path, ...]:
    """The folders of the standard library and of installed distributions."""
    paths = sysconfig.get_paths()
    found = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    found += site.getsitepackages()
    if site.ENABLE_USER_SITE:
        found.append(site.getusersitepackages())
    return tuple(dict.fromkeys(Path(path).resolve() for path in found))


def lies_in(path: Path, folders: tuple[Path, ...]) -> bool:
    """Whether a path is one of some folders or lies in one of them."""
    resolved = path.resolve()
    return any(resolved == folder or folder in resolved.parents for folder in folders)


class _PlainData(pickle.Unpickler):
    """Opens data that a worker made, without running any code that came from there."""

    def find_class(self, module: str, name: str) -> type:
        if module == "builtins" and name in {"set", "frozenset", "complex", "bytearray", "slice", "range"}:
            return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
        found: object = None
        if module.startswith(f"{PACKAGE}."):
            found = getattr(importlib.import_module(module), name, None)
        if not isinstance(found, type) or not (
            dataclasses.is_dataclass(found) or issubclass(found, enum.Enum)
        ):
            raise UntrustedResult(f"{module}.{name} is neither a builtin value nor one of {PACKAGE}")
        return found


def loads(data: bytes) -> Any:
    """The value in some bytes that came from a worker.

    Raises:
        UntrustedResult: it holds anything but builtin values and values of `tinytorch_build`.
        Exception: whatever `pickle` raises on bytes that are no pickle.
    """
    return _PlainData(io.BytesIO(data)).load()


_write = os.write
"""Taken before course code can put something else in its place."""


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of some bytes to a pipe or socket."""
    rest = memoryview(data)
    while rest:
        rest = rest[_write(descriptor, rest) :]


def framed(data: bytes) -> bytes:
    """Some bytes with their length before them."""
    return LENGTH.pack(len(data)) + data


def read_frame(link: socket.socket) -> bytes | None:
    """The next frame from a socket; None if the other side closed it before the frame's end.

    Raises:
        TimeoutError: the socket has a time limit, which passed.
    """
    header = _read_exactly(link, LENGTH.size)
    return None if header is None else _read_exactly(link, LENGTH.unpack(header)[0])


def _read_exactly(link: socket.socket, count: int) -> bytes | None:
    data = bytearray()
    while len(data) < count:
        try:
            piece = link.recv(min(count - len(data), 1 << 20))
        except ConnectionResetError:
            return None
        if not piece:
            return None
        data += piece
    return bytes(data)
