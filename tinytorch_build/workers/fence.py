"""A view of the file system of a worker's own: all of it read-only but its folder, and a /dev/shm for itself.

Landlock (see `confine`) keeps a worker from writing, but not from changing permissions and times, and not
from leaving files in /dev/shm, which `multiprocessing` needs. A mount namespace does both. Root may make one,
and others where the system lets them have a user namespace; see mount_namespaces(7), user_namespaces(7) and
mount_setattr(2) (Linux 5.12). Where there is none, a worker does without.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
from pathlib import Path

from tinytorch_build.workers.capabilities import drop_all

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
MOUNT_SETATTR = 442
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
MOUNT_ATTR_RDONLY = 1
SHARED_MEMORY = "/dev/shm"


class NoFence(Exception):
    """This system does not give the process a file system of its own."""


def fence(folder: Path, shared_mb: int) -> bool:
    """Give this process, and all that it will start, a view of the file system of its own, for good.

    The process must have a single thread, and must change into `folder` again afterwards.

    Args:
        folder: where it may still write.
        shared_mb: mebibytes that its /dev/shm holds.

    Returns:
        whether there is such a view; if not, the process may have a user namespace, which harms nothing.
    """
    if sys.platform != "linux":
        return False
    try:
        _enter_namespace()
        _mount("none", "/", None, MS_REC | MS_PRIVATE)
        _mount(str(folder), str(folder), None, MS_BIND)
        writable = [str(folder)]
        if os.path.isdir(SHARED_MEMORY):
            options = f"mode=1777,size={shared_mb}m"
            _mount("tmpfs", SHARED_MEMORY, "tmpfs", MS_NOSUID | MS_NODEV, options)
            writable.append(SHARED_MEMORY)
        _set_read_only("/", True)
        for path in writable:
            _set_read_only(path, False)
    except (NoFence, OSError):
        return False
    finally:
        if os.geteuid() != 0:
            drop_all()  # those that come with a user namespace
    return True


def _enter_namespace() -> None:
    if os.geteuid() == 0:
        _unshare(CLONE_NEWNS)
        return
    user, group = os.geteuid(), os.getegid()
    _unshare(CLONE_NEWUSER | CLONE_NEWNS)
    with contextlib.suppress(FileNotFoundError):  # kernels before 3.19
        Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _unshare(flags: int) -> None:
    if ctypes.CDLL(None).unshare(flags) != 0:
        raise NoFence("unshare")


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    done = ctypes.CDLL(None).mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])
    if done != 0:
        raise NoFence("mount")


def _set_read_only(path: str, read_only: bool) -> None:
    given, taken = (MOUNT_ATTR_RDONLY, 0) if read_only else (0, MOUNT_ATTR_RDONLY)
    attributes = struct.pack("=QQQQ", given, taken, 0, 0)
    numbers = [ctypes.c_long(value) for value in (MOUNT_SETATTR, AT_FDCWD)]
    flags = ctypes.c_long(AT_RECURSIVE if read_only else 0)
    size = ctypes.c_long(len(attributes))
    if ctypes.CDLL(None).syscall(*numbers, os.fsencode(path), flags, attributes, size) != 0:
        raise NoFence("mount_setattr")
