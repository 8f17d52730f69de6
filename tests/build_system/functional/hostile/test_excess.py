"""Course code that takes more than its share: time, memory, output, processes."""

from __future__ import annotations

import sys

import pytest

from tests.build_system.functional.hostile.verdicts import assert_nobody_else_is_the_worse, assert_verdict
from tests.build_system.functional.hostile.yard import Hostile, Yard

STOPPED = "took longer than 1 s and was stopped"
MASKED = (
    "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM, signal.SIGINT})\n"
    "while True:\n    pass"
)
DEEP = "def deeper(n): return deeper(n + 1)\ndeeper(0)"
SHARED = (
    "import mmap\narea = mmap.mmap(-1, 3 << 30)\nfor place in range(0, 3 << 30, 4096):\n    area[place] = 1"
)
# No space left on device (28), or without a /dev/shm of its own: file too large (27).
SHARED_FILE = (
    "import os\ntry:\n    with open('/dev/shm/yard-flood', 'wb') as file:\n        while True:\n"
    "            file.write(b'x' * (1 << 20))\nfinally:\n    os.remove('/dev/shm/yard-flood')"
)
BOMB = "import os\nwhile True:\n    os.fork()"
DAEMON = (
    "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork():\n        os._exit(0)\n"
    "    while True:\n        time.sleep(0.01)\n        with open(os.environ['TMPDIR'] + '/daemon', 'a') as file:\n"
    "            file.write('still here')\nraise ValueError('its parent ends')"
)

CASES = [
    Hostile(
        "loop_at_import",
        ["import-timed-out"],
        STOPPED,
        at_import="while True:\n    pass",
        limits="import-seconds = 1",
    ),
    Hostile(
        "masked", ["tests-timed-out"], f"test_twice {STOPPED}", in_test=MASKED, limits="test-seconds = 1"
    ),
    Hostile("deep", ["test-failed"], "RecursionError: maximum recursion depth exceeded", in_test=DEEP),
    Hostile("hoard", ["test-failed"], "MemoryError", in_test="held = b'x' * (3 << 30)"),
    Hostile(
        "flood",
        ["test-failed"],
        "the end",
        in_test="for _ in range(200):\n    print('x' * (1 << 20))\nassert 0, 'the end'",
    ),
    Hostile("bomb", ["tests-too-many-processes"], "started more than 64 processes at once", in_test=BOMB),
    Hostile("daemon", ["test-failed"], "its parent ends", in_test=DAEMON),
    *(
        [
            Hostile(
                "shared_hoard", ["tests-out-of-memory"], "needed more than 400 MB of memory", in_test=SHARED
            ),
            Hostile("shared_file", ["test-failed"], "test_twice: OSError: [Errno 2", in_test=SHARED_FILE),
        ]
        if sys.platform == "linux"
        else []
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_stopped(yard: Yard, case: Hostile) -> None:
    assert_verdict(yard, case)


def test_the_end_of_the_output_is_kept(yard: Yard) -> None:
    log = (yard.root / "build/logs/test/flood.log").read_text(encoding="utf-8")
    assert len(log) < 200_000
    assert "AssertionError: the end" in log


def test_nobody_else_is_the_worse(yard: Yard) -> None:
    assert_nobody_else_is_the_worse(yard)
