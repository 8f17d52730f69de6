"""Course code that misbehaves: the right failure, an end by itself, and a next job that notices nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tinytorch_build.workers import Activity, Failure, FailureKind, Job, JobResult, Workers

EXITED = "ended by itself with exit status 0 before it delivered a result (os._exit, sys.exit or exec?)"
MEMORY_MB = 300
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and subreapers")


def run(workers: Workers, code: str, *, seconds: float = 30.0) -> JobResult[None]:
    """Run some code, then make sure that the next job is none the worse for it."""
    result = workers.run(Job(exec, (code, {}), seconds=seconds, memory_mb=MEMORY_MB, max_processes=16))
    assert workers.run(Job(abs, (-1,))).value == 1
    return result


def failure(workers: Workers, code: str, *, seconds: float = 30.0) -> Failure:
    found = run(workers, code, seconds=seconds).failure
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("code", "kind", "detail"),
    [
        pytest.param("import os; os._exit(0)", FailureKind.EXITED, EXITED, id="os._exit"),
        pytest.param(
            "import sys; sys.exit(0)",
            FailureKind.EXITED,
            "called sys.exit(0) before it delivered a result",
            id="sys.exit",
        ),
        pytest.param(
            "import os, sys; os.execv(sys.executable, [sys.executable, '-c', 'print(\"1 passed\")'])",
            FailureKind.EXITED,
            EXITED,
            id="execv",
        ),
        pytest.param(
            "import ctypes; ctypes.string_at(0)",
            FailureKind.KILLED,
            "was killed by SIGSEGV (segmentation fault)",
            id="segfault",
        ),
        pytest.param(
            "import os; os.kill(os.getpid(), 9)",
            FailureKind.KILLED,
            "was killed by SIGKILL (by itself, or by the system for want of memory)",
            id="self-kill",
        ),
        pytest.param(
            "import os, signal; os.killpg(0, signal.SIGTERM)",
            FailureKind.KILLED,
            "was killed by SIGTERM",
            id="group-kill",
        ),
        pytest.param(
            "b'x' * (1 << 30)",
            FailureKind.OUT_OF_MEMORY,
            "needed more than 300 MB of memory",
            id="bytes",
        ),
        pytest.param(
            "import numpy; numpy.ones(1 << 30)",
            FailureKind.OUT_OF_MEMORY,
            "needed more than 300 MB of memory",
            id="array",
        ),
        pytest.param(
            "def f(n): return f(n + 1)\nf(0)",
            FailureKind.RAISED,
            "raised RecursionError: maximum recursion depth exceeded",
            id="recursion",
        ),
        pytest.param(
            "import os\nfor n in range(3, 64):\n try: os.write(n, b'1 passed')\n except OSError: pass",
            FailureKind.NOT_DELIVERED,
            "wrote into the pipe that is meant for its result",
            id="forged-result",
        ),
        pytest.param(
            "raise KeyboardInterrupt", FailureKind.RAISED, "raised KeyboardInterrupt", id="interrupt"
        ),
    ],
)
def test_a_process_that_ends_badly(workers: Workers, code: str, kind: FailureKind, detail: str) -> None:
    found = failure(workers, code)
    assert (found.kind, found.detail) == (kind, detail)


def test_the_exit_handlers_are_part_of_the_job(workers: Workers) -> None:
    found = failure(workers, "import atexit, os; atexit.register(os._exit, 0)")
    assert found == Failure(FailureKind.EXITED, EXITED, doing=Activity("its exit handlers"))


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.closerange(3, 64)",
        "import builtins; builtins.len = None",
    ],
)
def test_damage_to_python_is_no_success(workers: Workers, code: str) -> None:
    found = failure(workers, code)
    assert (found.kind, found.detail) == (
        FailureKind.NOT_DELIVERED,
        "did such damage to Python or its descriptors that no result could be delivered",
    )


@pytest.mark.parametrize("name", ["os._exit", "os.write", "os.getpid", "sys.stdout.flush"])
def test_what_course_code_replaces_does_no_harm(workers: Workers, name: str) -> None:
    assert run(workers, f"import os, sys; {name} = print").failure is None


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("\nwhile True:\n    pass", id="loop"),
        pytest.param(
            "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})\n"
            "while True: pass",
            id="masked",
        ),
        pytest.param(
            "import threading\n\nthreading.Event().wait()",
            id="wait",
        ),
    ],
)
def test_a_loop_is_stopped_and_placed(workers: Workers, code: str) -> None:
    found = failure(workers, code, seconds=0.5)
    assert (found.kind, found.detail) == (FailureKind.TIMED_OUT, "took longer than 0.5 s and was stopped")
    if sys.platform == "linux":
        assert [frame.line for frame in found.frames if frame.file == "<string>"][-1] in (2, 3)


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", id="stopped"),
        pytest.param(
            "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass",
            id="all-masked",
        ),
        pytest.param(
            "import threading; threading.Thread(target=threading.Event().wait).start()",
            id="thread",
        ),
    ],
)
def test_what_cannot_answer_is_stopped_too(workers: Workers, code: str) -> None:
    assert failure(workers, code, seconds=0.5).kind is FailureKind.TIMED_OUT


def test_a_crash_is_placed(workers: Workers) -> None:
    frames = failure(workers, "import ctypes\ndef f():\n    ctypes.string_at(0)\nf()").frames
    assert [(frame.file, frame.line, frame.function) for frame in frames[:2]] == [
        ("<string>", 4, "<module>"),
        ("<string>", 3, "f"),
    ]


def test_a_flood_of_output_is_cut_and_its_end_kept(workers: Workers) -> None:
    result = run(workers, "print('begin')\nfor _ in range(500): print('x' * 100_000)\nprint('end')")
    assert result.failure is None
    assert result.output.startswith("begin\nxxx")
    assert result.output.endswith("xxx\nend\n")
    assert len(result.output) < 70_000


def test_what_a_crash_printed_is_kept(workers: Workers) -> None:
    assert run(workers, "import os; print('last words'); os._exit(0)").output == "last words\n"


@linux_only
def test_a_fork_bomb_is_bounded(workers: Workers) -> None:
    found = failure(workers, "import os\nwhile True: os.fork()")
    assert (found.kind, found.detail) == (
        FailureKind.TOO_MANY_PROCESSES,
        "started more than 16 processes at once and was stopped",
    )


@linux_only
@pytest.mark.parametrize("ending", ["", "os._exit(0)", "1 / 0"])
def test_a_daemon_does_not_outlive_its_job(workers: Workers, ending: str) -> None:
    code = (
        "import os, time\nreading, writing = os.pipe()\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\n"
        "    os.write(writing, str(os.getpid()).encode())\n    time.sleep(600)\n"
        "print(os.read(reading, 20).decode(), flush=True)\n"
    )
    daemon = int(run(workers, code + ending).output.split()[0])
    assert not Path(f"/proc/{daemon}").exists()


@linux_only
def test_a_copy_of_the_worker_delivers_nothing(workers: Workers) -> None:
    result = run(workers, "import os\nif os.fork(): os.wait()")
    assert result.failure is None


@linux_only
def test_killing_the_supervisor_is_a_failure(unconfined: Workers) -> None:
    found = failure(unconfined, "import os, time; os.kill(os.getppid(), 9); time.sleep(600)")
    assert found == Failure(
        FailureKind.NOT_DELIVERED, "lost the process that watches over it, so its result cannot be trusted"
    )


@linux_only
def test_killing_the_server_harms_no_job(unconfined: Workers) -> None:
    code = (
        "import os\nstatus = open(f'/proc/{os.getppid()}/stat').read()\n"
        "os.kill(int(status.rpartition(')')[2].split()[1]), 9)"
    )
    assert run(unconfined, code).failure is None


@linux_only
def test_a_daemon_does_not_outlive_the_supervisor_that_its_job_kills(
    unconfined: Workers, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        f"    os.setsid()\n    held = open({str(fifo)!r}, 'w')\n    time.sleep(600)\n"
        f"open({str(fifo)!r}, 'w').write('both are there')\n"
        "os.kill(os.getppid(), 9); time.sleep(600)\n"
    )
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    assert failure(unconfined, code).kind is FailureKind.NOT_DELIVERED
    os.set_blocking(reader, True)
    with open(reader) as stream:
        assert stream.read() in ("both are there", "")  # it ends, because all who held it open are dead
