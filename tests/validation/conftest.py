"""Finds the modules of the package under test, wherever it was imported from."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import tinytorch.core.tensor

ROOT = Path(tinytorch.core.tensor.__file__).parents[2]
"""The folder that holds the package: an environment's site-packages, or the course's own."""


def module_names() -> list[str]:
    """Full dotted names of the modules whose files lie in the package, in alphabetical order."""
    files = [path for path in (ROOT / "tinytorch").rglob("*.py") if path.name != "__init__.py"]
    return sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `module_name` runs once for each module."""
    if "module_name" in metafunc.fixturenames:
        metafunc.parametrize("module_name", module_names())


@pytest.fixture(scope="session")
def modules() -> dict[str, ModuleType]:
    """Every module of the package by its full name."""
    return {name: importlib.import_module(name) for name in module_names()}


@pytest.fixture(scope="session")
def bare_python() -> list[str]:
    """The start of a command line: a Python that sees the package, NumPy's folder and nothing else.

    Without `site`, no `.pth` file puts another copy of the package on the path. Warnings are errors.
    """
    folders = [str(ROOT), str(Path(np.__file__).parents[1])]
    start = f"import sys; sys.path[:0] = {folders!r}; sys.dont_write_bytecode = True\n"
    return [sys.executable, "-I", "-S", "-W", "error", "-c", start + "exec(sys.argv[1])"]
