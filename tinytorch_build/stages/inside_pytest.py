"""What runs in the worker of a test run: pytest, cut off from everybody's configuration."""

from __future__ import annotations

import contextlib
import importlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tinytorch_build.stages.session_facts import SessionFacts

UNUSED_PLUGINS = (
    "cacheprovider",  # would write into the course
    "faulthandler",  # would take the supervisor's place
    *("doctest", "junitxml", "pastebin", "setuponly", "setupplan", "stepwise"),
)


def run_pytest(root: str, files: Sequence[str]) -> SessionFacts:
    """Run test files.

    No ini file is read, no plugin is loaded but hypothesis' own, and no cached bytecode is believed.
    `conftest.py` files count from the root down to the files.

    Args:
        root: absolute path of the course's root.
        files: POSIX paths of the test files from there.
    """
    import pytest

    from tinytorch_build.stages.recorder import Recorder

    recorder = Recorder(Path(root))
    plugins: list[object] = [recorder]
    with contextlib.suppress(ModuleNotFoundError):
        # As an object and not by `-p`, which would have its assertions rewritten in each worker anew.
        plugins.append(importlib.import_module("_hypothesis_pytestplugin"))
    distrust_cached_tests()
    status = pytest.main([*options(root), *(str(Path(root, file)) for file in files)], plugins=plugins)
    return recorder.facts(int(status))


def options(root: str) -> Iterator[str]:
    """pytest's command line, before the files."""
    descriptor, ini = tempfile.mkstemp(prefix="pytest-", suffix=".ini")
    os.close(descriptor)
    yield from ("-c", ini, "--rootdir", root, "--confcutdir", root, "--import-mode", "importlib")
    for plugin in UNUSED_PLUGINS:
        yield from ("-p", f"no:{plugin}")
    # Nothing is captured: the supervisor keeps the output, also that of a test that kills its process.
    yield from ("--continue-on-collection-errors", "-s", "-v", "--tb=short", "--color=no", "--no-header")


def distrust_cached_tests() -> None:
    """Keep pytest from the bytecode beside the tests, which it takes for fresh if time and size agree."""
    import _pytest.assertion.rewrite as rewrite

    if not hasattr(rewrite, "get_cache_dir"):
        raise RuntimeError("this pytest keeps its rewritten tests in a way that the build does not know")
    rewrite.get_cache_dir = _empty_cache


def _empty_cache(file_path: Path) -> Path:
    """A folder that holds no bytecode; none is written, either."""
    return Path(tempfile.gettempdir(), "rewritten")
