"""Shutting a worker in: it writes into its own folder only, and has no hold on processes but its own.

Linux offers this to every process by Landlock (https://docs.kernel.org/userspace-api/landlock.html), without
privileges. Where it is missing, a worker is not confined, and other guards notice what it did: digests of
inputs are compared after each task, and the published package before each run.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = (
    444,
    445,
    446,
)  # one number on all architectures that Linux numbers alike
CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1
PR_SET_NO_NEW_PRIVS = 38
CAPABILITY_VERSION = 0x20080522
READING_OTHERS = 1 << 19 | 1 << 21 | 1 << 38
"""CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_PERFMON: with them, root reads the environment of every process."""

WRITE_FILE = 1 << 1
IN_FOLDERS = sum(1 << bit for bit in range(4, 13))  # remove and make: folders, files, sockets, links, devices
REFER = 1 << 13  # move or link from one folder into another; since version 2
TRUNCATE = 1 << 14  # since version 3
SCOPE_SIGNAL = 1 << 1  # since version 6

WRITABLE_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/ptmx", "/dev/pts", "/dev/shm")


def confine(folder: Path) -> bool:
    """Confine this process and all that it will start, for good.

    Args:
        folder: where it may still write.

    Returns:
        whether it is confined; False where the system cannot do it.
    """
    if sys.platform != "linux":
        return False
    version = _call(CREATE_RULESET, None, 0, CREATE_RULESET_VERSION)
    if version < 1:
        return False
    rights = _rights(version)
    ruleset = _create(rights, version)
    if ruleset < 0:
        return False
    try:
        for path, allowed in _exceptions(folder, rights):
            _allow(ruleset, path, allowed)
        _drop_capabilities(READING_OTHERS)
        ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return _call(RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def _rights(version: int) -> int:
    """All rights to write that this version of Landlock can take away."""
    rights = WRITE_FILE | IN_FOLDERS
    if version >= 2:
        rights |= REFER
    if version >= 3:
        rights |= TRUNCATE
    return rights


def _create(rights: int, version: int) -> int:
    scoped = SCOPE_SIGNAL if version >= 6 else 0
    attributes = struct.pack("=QQQ", rights, 0, scoped)
    size = 24 if version >= 6 else 8  # older kernels refuse fields that they do not know
    return _call(CREATE_RULESET, attributes, size, 0)


def _exceptions(folder: Path, rights: int) -> Iterator[tuple[str, int]]:
    yield str(folder), rights
    for device in WRITABLE_DEVICES:
        is_folder = os.path.isdir(device)
        yield device, rights if is_folder else rights & (WRITE_FILE | TRUNCATE)


def _allow(ruleset: int, path: str, allowed: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # a device that this system lacks
    try:
        rule = struct.pack("=Qi", allowed, descriptor)
        _call(ADD_RULE, ruleset, RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)


def _drop_capabilities(dropped: int) -> None:
    """Give up some capabilities, which root alone has."""
    library = ctypes.CDLL(None)
    header = struct.pack("=Ii", CAPABILITY_VERSION, 0)
    data = ctypes.create_string_buffer(24)
    if library.capget(header, data) != 0:
        return
    # Two groups of effective, permitted, inheritable: the lower and the upper 32 capabilities.
    words = struct.unpack("=6I", data.raw)
    kept = [word & ~(dropped >> (0 if index < 3 else 32) & 0xFFFFFFFF) for index, word in enumerate(words)]
    library.capset(header, struct.pack("=6I", *kept))


def _call(number: int, *arguments: int | bytes | None) -> int:
    """A system call that the C library has no function for; -1 if it fails."""
    syscall = ctypes.CDLL(None).syscall
    syscall.restype = ctypes.c_long
    typed = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return int(syscall(ctypes.c_long(number), *typed))
