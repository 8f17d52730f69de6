"""Confinement: a worker writes into its own folder and signals its own processes only."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tinytorch_build.workers import FailureKind, Job, Workers
from tinytorch_build.workers.capabilities import drop_dangerous
from tinytorch_build.workers.confine import confine


def can_confine(folder: str) -> bool:
    """Whether this system can; leaves the process confined."""
    drop_dangerous()
    return confine(Path(folder))


@pytest.fixture(scope="module", autouse=True)
def _only_where_it_works(unconfined: Workers, course_root: Path) -> None:
    if not unconfined.run(Job(can_confine, (str(course_root),))).value:
        assert sys.platform != "linux" or "confine" in __name__
        pytest.skip("this system has no Landlock")


def detail(workers: Workers, code: str) -> str:
    found = workers.run(Job(exec, (code, {}))).failure
    assert found is not None
    assert found.kind is FailureKind.RAISED
    return found.detail


@pytest.mark.parametrize(
    "action",
    [
        "open(target, 'w')",
        "open(target, 'a')",
        "import os; os.truncate(target, 0)",
        "import os; os.remove(target)",
        "import os; os.rename(target, target + '.old')",
        "import os; os.symlink('elsewhere', target + '.link')",
        "import os; os.mkdir(target + '.folder')",
    ],
)
def test_files_of_others_cannot_be_changed(workers: Workers, tmp_path: Path, action: str) -> None:
    target = tmp_path / "modules.toml"
    target.write_text("precious")
    said = detail(workers, f"target = {str(target)!r}\n{action}")
    assert "[Errno 13] Permission denied" in said or "[Errno 30] Read-only file system" in said
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious"]


def test_its_own_folders_can_be_written(workers: Workers) -> None:
    code = (
        "import os, tempfile, pathlib\nopen('here', 'w').write('x')\n"
        "with tempfile.NamedTemporaryFile() as file: file.write(b'x')\n"
        "(pathlib.Path.home() / 'x').mkdir()\nos.rename('here', pathlib.Path.home() / 'x' / 'there')\n"
        "open(os.devnull, 'w').write('x')\n"
        "import multiprocessing; multiprocessing.Lock()\n"
    )
    assert workers.run(Job(exec, (code, {}))).failure is None


@pytest.mark.parametrize("target", ["os.getppid()", pytest.param(str(os.getpid()), id="the build")])
def test_processes_of_others_cannot_be_signalled(workers: Workers, target: str) -> None:
    found = detail(workers, f"import os; os.kill({target}, 9)")
    assert found == "raised PermissionError: [Errno 1] Operation not permitted"


@pytest.mark.parametrize("name", ["environ", "mem"])
def test_the_secrets_of_the_build_cannot_be_read(workers: Workers, name: str) -> None:
    code = f"open('/proc/{os.getpid()}/{name}', 'rb')"
    assert detail(workers, code).startswith("raised PermissionError: ")


@pytest.mark.parametrize("action", ["os.chmod(target, 0)", "os.utime(target)", "os.chown(target, 7, 7)"])
def test_permissions_and_times_of_others_cannot_be_changed(
    workers: Workers, tmp_path: Path, action: str
) -> None:
    if not workers.shut_in():
        pytest.skip("this system gives a worker no file system of its own")
    target = tmp_path / "modules.toml"
    target.write_text("precious")
    before = target.stat()
    assert "Read-only file system" in detail(workers, f"import os\ntarget = {str(target)!r}\n{action}")
    assert target.stat() == before


def test_shared_memory_is_its_own(workers: Workers) -> None:
    if not workers.shut_in():
        pytest.skip("this system gives a worker no file system of its own")
    before = os.listdir("/dev/shm")
    code = "import os\nassert os.listdir('/dev/shm') == []\nopen('/dev/shm/left', 'w').write('x')"
    for _ in range(2):
        assert workers.run(Job(exec, (code, {}))).failure is None
    assert os.listdir("/dev/shm") == before
