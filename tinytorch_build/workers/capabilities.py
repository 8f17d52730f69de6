"""Giving up capabilities: root has them, and everybody in a user namespace of their own (capabilities(7))."""

from __future__ import annotations

import ctypes
import struct

CAPABILITY_VERSION = 0x20080522
PR_SET_NO_NEW_PRIVS = 38
ALL = (1 << 64) - 1

_OTHERS = (19, 21, 38)
"""CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_PERFMON: with them, root reads the environment of every process."""
_MACHINE = (16, 17, 22, 25, 27)
"""CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_BOOT, CAP_SYS_TIME, CAP_MKNOD: the machine itself."""


def drop_dangerous() -> None:
    """Give up what no test needs and what would lead out of confinement, for good, also across `exec`."""
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _drop(sum(1 << number for number in (*_OTHERS, *_MACHINE)))


def drop_all() -> None:
    """Give up all of them."""
    _drop(ALL)


def _drop(dropped: int) -> None:
    library = ctypes.CDLL(None)
    header = struct.pack("=Ii", CAPABILITY_VERSION, 0)
    data = ctypes.create_string_buffer(24)
    if library.capget(header, data) != 0:
        return
    # Two groups of effective, permitted, inheritable: the lower and the upper 32 capabilities.
    words = struct.unpack("=6I", data.raw)
    kept = [word & ~(dropped >> (0 if index < 3 else 32) & 0xFFFFFFFF) for index, word in enumerate(words)]
    library.capset(header, struct.pack("=6I", *kept))
