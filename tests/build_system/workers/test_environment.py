"""Surroundings: what a worker is given, and what it is not."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

from tinytorch_build.workers import Job, Workers
from tinytorch_build.workers.environment import FIXED, build_environment, search_path

HOLDER = str(Path(__file__).resolve().parents[3])
"""The folder that holds `tinytorch_build` in a checkout."""


def surroundings() -> dict[str, object]:
    """What a job sees around it."""
    import numpy as np

    return {
        "environment": dict(os.environ),
        "path": list(sys.path),
        "folder": str(Path.cwd()),
        "left": os.listdir(),
        "home": str(Path.home()),
        "input": sys.stdin.read(),
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd"))
        if sys.platform == "linux"
        else [],
        "random": float(np.random.random()),
        "main": sorted(vars(sys.modules["__main__"])),
    }


def value_of(workers: Workers) -> dict[str, object]:
    result = workers.run(Job(surroundings))
    assert result.failure is None
    assert result.value is not None
    return result.value


def test_secrets_stay_outside(tmp_path: Path) -> None:
    inherited = {
        "PATH": "/bin",
        "AWS_SECRET_ACCESS_KEY": "s3cret",
        "PYTHONPATH": "/src",
        "PYTEST_ADDOPTS": "-x",
    }
    built = build_environment(inherited, tmp_path)
    assert "s3cret" not in built.values()
    assert built.keys() - FIXED.keys() == {"PATH", "HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"} | (
        built.keys() & {"PYTHONUSERBASE"}
    )


def test_the_course_and_the_checkout_leave_the_path_and_libraries_stay(tmp_path: Path) -> None:
    library = sysconfig.get_paths()["purelib"]
    other = tmp_path / "other"
    course = tmp_path / "course"
    entries = ["", HOLDER, str(course), str(course / "src"), library, str(other)]
    assert search_path(entries, course) == [library, str(other)]


def test_a_worker_has_folders_of_its_own_and_nothing_else(workers: Workers) -> None:
    first, second = value_of(workers), value_of(workers)
    environment = first["environment"]
    assert isinstance(environment, dict)
    assert environment["HOME"] == first["home"]
    assert environment["TMPDIR"] != os.environ.get("TMPDIR", "/tmp")
    assert first["folder"] != second["folder"]
    assert (first["left"], first["input"]) == ([], "")
    assert not Path(str(first["folder"])).exists()


def test_a_worker_does_not_find_the_checkout(workers: Workers) -> None:
    path = value_of(workers)["path"]
    assert isinstance(path, list)
    assert HOLDER not in path
    assert "" not in path


def test_random_numbers_are_the_same_in_every_worker(workers: Workers) -> None:
    assert value_of(workers)["random"] == value_of(workers)["random"]


def test_the_main_module_is_fresh(workers: Workers) -> None:
    assert value_of(workers)["main"] == ["__doc__", "__loader__", "__name__", "__package__", "__spec__"]


def test_only_streams_and_the_pipes_to_the_supervisor_are_open(workers: Workers) -> None:
    descriptors = value_of(workers)["descriptors"]
    assert isinstance(descriptors, list)
    assert len(descriptors) == (6 if sys.platform == "linux" else 0)  # with the one that lists them
