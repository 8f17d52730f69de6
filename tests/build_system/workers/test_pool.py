"""The build's side: jobs, threads, the end of the server, and what the caller is told."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import pytest

from tinytorch_build.errors import WorkerUnavailable
from tinytorch_build.model import Problem
from tinytorch_build.workers import Activity, FailureKind, Job, Workers, announce

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and subreapers")


class OfTheCourse:
    """A class that the build does not have."""


def square(number: int) -> int:
    return number * number


def fail_while(what: str) -> None:
    announce(what, "file.py", 7)
    raise ValueError(what)


def no_value(make: Callable[[], object]) -> object:
    return make()


def test_a_value_comes_back_with_the_output(workers: Workers) -> None:
    result = workers.run(Job(print, ("hello", "you")))
    assert (result.value, result.failure, result.output) == (None, None, "hello you\n")
    assert result.seconds > 0


def test_a_function_of_the_course_travels_with_its_code(workers: Workers) -> None:
    offset = 1000

    def beside(number: int) -> list[Problem]:
        return [Problem("own-check", f"found {square(number) + offset}")]

    assert workers.run(Job(beside, (7,))).value == [Problem("own-check", "found 1049")]


@pytest.mark.parametrize(
    ("make", "detail"),
    [
        (
            lambda: Fraction(1, 2),
            "delivered a result that cannot be read: "
            "fractions.Fraction is neither a builtin value nor one of tinytorch_build",
        ),
        (OfTheCourse, "returned something that cannot be sent: Can't pickle <class "),
        (lambda: lambda: 1, "returned something that cannot be sent: "),
        (lambda: b"x" * (65 << 20), "delivered a result of more than 64 MB"),
    ],
)
def test_a_result_that_is_not_plain_data_is_refused(
    workers: Workers, make: Callable[[], object], detail: str
) -> None:
    failure = workers.run(Job(no_value, (make,))).failure
    assert failure is not None
    assert failure.kind is FailureKind.NOT_DELIVERED
    assert failure.detail.startswith(detail)


def test_a_failure_says_what_was_being_done(workers: Workers) -> None:
    failure = workers.run(Job(fail_while, ("the first test",))).failure
    assert failure is not None
    assert (failure.detail, failure.doing) == (
        "raised ValueError: the first test",
        Activity("the first test", "file.py", 7),
    )


def test_announcing_outside_of_a_worker_does_nothing() -> None:
    announce("nothing")


def test_jobs_of_many_threads_do_not_mix(workers: Workers) -> None:
    def job(number: int) -> tuple[int | None, str]:
        result = workers.run(Job(lambda: print(number) or square(number)))
        return result.value, result.output

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(job, range(12))) == [(number**2, f"{number}\n") for number in range(12)]


def test_a_server_that_was_killed_is_replaced(course_root: Path) -> None:
    with Workers(course_root, preload=()) as workers:
        assert workers.run(Job(square, (2,))).value == 4
        os.kill(workers._servers[-1]._process.pid, signal.SIGKILL)
        assert workers.run(Job(square, (3,))).value == 9


def test_closing_twice_and_using_after(course_root: Path) -> None:
    workers = Workers(course_root, preload=())
    workers.close()
    workers.close()
    with pytest.raises(WorkerUnavailable, match=r"^the isolated processes have been ended$"):
        workers.run(Job(square, (2,)))


def test_closing_ends_running_jobs(course_root: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    said: list[str] = []
    code = f"import os, time; held = open({str(fifo)!r}, 'w'); time.sleep(600)"

    def run() -> None:
        try:
            workers.run(Job(exec, (code, {}), seconds=600))
        except WorkerUnavailable as error:
            said.append(str(error))

    with Workers(course_root, preload=(), confine=False) as workers:
        thread = threading.Thread(target=run)
        thread.start()
        with fifo.open() as stream:  # opens when the worker does
            workers.close()
            assert stream.read() == ""  # ends when the worker does
        thread.join()
    assert said == ["the isolated processes were ended while a job was running"]


def test_a_server_that_cannot_start_says_why(course_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinytorch_build.workers.pool._START", "raise RuntimeError('broken Python')")
    with (
        Workers(course_root) as workers,
        pytest.raises(WorkerUnavailable, match="does not start: RuntimeError: broken Python"),
    ):
        workers.run(Job(square, (2,)))


def test_the_server_leaves_no_folder_behind(
    course_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Workers(course_root, preload=()) as workers:
        code = "import os; os.makedirs('a/b'); os.chmod('a', 0)"
        assert workers.run(Job(exec, (code, {}))).failure is None
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


CLIENT = """
import sys
from fractions import Fraction
from pathlib import Path
from tinytorch_build.workers import Job, Workers
code = f"import os, time; print(os.getpid(), file=open({sys.argv[2]!r}, 'w'), flush=True); time.sleep(600)"
Workers(Path(sys.argv[1]), preload=(), confine=False).run(Job(exec, (code, {}), seconds=600))
"""


@linux_only
def test_workers_end_when_the_build_is_killed(course_root: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    holder = str(Path(__file__).resolve().parents[3])
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(course_root), str(fifo)], env={**os.environ, "PYTHONPATH": holder}
    )
    worker = os.pidfd_open(int(fifo.read_text()))
    client.kill()
    client.wait()
    try:
        assert select.select([worker], [], [], 20)[0] == [worker]
    finally:
        os.close(worker)
