"""The surroundings of a worker: variables, search path, folders. They are built, not inherited."""

from __future__ import annotations

import importlib
import importlib.util
import os
import site
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from tinytorch_build.workers.wire import library_folders, lies_in

KEPT = (
    "PATH",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "SYSTEMROOT",  # without it Windows starts no Python
    "TZ",
    "VIRTUAL_ENV",
    "PYTHONHOME",
    "PYTHONNOUSERSITE",
    "OPENBLAS_CORETYPE",  # some processors compute wrong results without the right kernels
    "OPENBLAS_L2_SIZE",
)
"""Variables that a worker is given as they are: what programs need to start, and nothing secret."""

FIXED = {
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "PYTHONUTF8": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "CI": "true",  # hypothesis then draws the same examples every time, without a deadline or a database
    "OPENBLAS_NUM_THREADS": "1",  # more threads make workers slow each other down
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
}
"""What makes two runs of one test alike."""

WORK, HOME, TEMPORARY = "work", "home", "tmp"
"""A worker's current folder, home and temporary folder, inside the folder that is its own."""


def build_environment(inherited: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment variables of a server or of a worker.

    Args:
        inherited: the environment of the build.
        folder: the folder that is the process's own.
    """
    kept = {name: inherited[name] for name in KEPT if name in inherited}
    if site.ENABLE_USER_SITE:
        kept["PYTHONUSERBASE"] = site.getuserbase()  # else it would be looked for in the new home
    return kept | FIXED | own_folders(folder)


def own_folders(folder: Path) -> dict[str, str]:
    """The variables that name a process's own folders."""
    home, temporary = str(folder / HOME), str(folder / TEMPORARY)
    names = {"HOME": home, "USERPROFILE": home}
    return names | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), temporary)


def make_folders(folder: Path) -> None:
    """Make the folders that a process calls its own."""
    for name in (WORK, HOME, TEMPORARY):
        (folder / name).mkdir(parents=True)


def search_path(entries: list[str], root: Path) -> list[str]:
    """What remains of `sys.path` for a worker.

    An editable install puts a repository's root on the path, with the published package in it, the tests
    and `dodo.py`. So the course's root, folders inside it, and the folder from which the build itself comes
    go, unless they are folders of installed distributions.

    Args:
        entries: `sys.path`.
        root: the course's root.
    """
    libraries = (*library_folders(), *_zipped_library())
    own = (root.resolve(), Path(__file__).resolve().parents[2])
    return [
        entry
        for entry in entries
        if entry and (lies_in(Path(entry), libraries) or not lies_in(Path(entry), own))
    ]


def _zipped_library() -> tuple[Path, ...]:
    name = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    return (Path(sysconfig.get_paths()["stdlib"]).resolve().parent / name,)


def load_beforehand(names: Sequence[str]) -> None:
    """Import modules that jobs are likely to need; those that are not installed are left out."""
    for name in ("cloudpickle", *names):
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            importlib.import_module(name)


def enter(folder: Path) -> None:
    """Make the folders of a worker and move in: current folder, home, temporary folder."""
    make_folders(folder)
    os.chdir(folder / WORK)
    os.environ.update(own_folders(folder))
