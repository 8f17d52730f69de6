"""Shutting a worker in: it writes into its own folder only, and has no hold on processes but its own.

Linux offers this to every process by Landlock (https://docs.kernel.org/userspace-api/landlock.html), without
privileges. Where it is missing, other guards notice what a worker did: see `steps.guard`.
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

WRITE_FILE = 1 << 1
IN_FOLDERS = sum(1 << bit for bit in range(4, 13))  # remove and make: folders, files, sockets, links, devices
REFER = 1 << 13  # move or link from one folder into another; since version 2
TRUNCATE = 1 << 14  # since version 3
SCOPE_SIGNAL = 1 << 1  # since version 6

WRITABLE_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/ptmx", "/dev/pts", "/dev/shm")


def confine(folder: Path) -> bool:
    """Confine this process and all that it will start, for good; `drop_dangerous` must have come first.

    Args:
        folder: where it may still write.

    Returns:
        whether it is confined; False where the system cannot do it.
    """
    version = landlock_version()
    if version < 1:
        return False
    rights = _rights(version)
    ruleset = _create(rights, version)
    if ruleset < 0:
        return False
    try:
        for path, allowed in _exceptions(folder, rights):
            _allow(ruleset, path, allowed)
        return _call(RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def landlock_version() -> int:
    """The version of Landlock that this system has; 0 or less if it has none."""
    if sys.platform != "linux":
        return 0
    return _call(CREATE_RULESET, None, 0, CREATE_RULESET_VERSION)


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


def _call(number: int, *arguments: int | bytes | None) -> int:
    """A system call that the C library has no function for; -1 if it fails."""
    syscall = ctypes.CDLL(None).syscall
    syscall.restype = ctypes.c_long
    typed = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return int(syscall(ctypes.c_long(number), *typed))
