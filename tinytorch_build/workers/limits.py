"""What a worker may use: memory, core dumps, size of files; and the same random numbers every time."""

from __future__ import annotations

import contextlib
import random
import sys
from pathlib import Path

MAX_FILE_MB = 1024
"""Mebibytes that a worker may write into one file, so that a runaway test does not fill the disk."""

SEED = 0


def limit_resources(memory_mb: int) -> None:
    """Limit the private memory of this process, and of each that it starts, and switch core dumps off.

    On Linux the limit is one of data, not of address space: libraries reserve far more than they use. Where
    a limit cannot be set, as on macOS, there is none. `RLIMIT_NPROC` counts all processes of the user and
    does nothing for root: the supervisor counts processes instead.

    Args:
        memory_mb: mebibytes.
    """
    if sys.platform == "win32":
        return
    import resource

    memory = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    wanted = ((memory, memory_mb), (resource.RLIMIT_FSIZE, MAX_FILE_MB), (resource.RLIMIT_CORE, 0))
    for limit, mebibytes in wanted:
        size = mebibytes * 1024 * 1024
        _, hard = resource.getrlimit(limit)
        if hard != resource.RLIM_INFINITY:
            size = min(size, hard)
        try:
            resource.setrlimit(limit, (size, size))
        except (OSError, ValueError):
            continue  # macOS refuses limits of memory below what is mapped


def volunteer_for_want_of_memory() -> None:
    """Have Linux end this process, and not the build or an editor, when the machine runs out of memory."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # no /proc, or not ours: then the kernel chooses as it likes
            Path("/proc/self/oom_score_adj").write_text("1000")


def seed_random_numbers() -> None:
    """Seed the generators that code uses without a word, so that a verdict does not depend on luck."""
    random.seed(SEED)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(SEED)
