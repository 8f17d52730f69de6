"""Loads what every run of pytest loads; the server imports this, so that no worker needs to."""

from __future__ import annotations

import contextlib
import importlib

import _pytest.config

import tinytorch_build.stages.recorder  # noqa: F401 - to have it loaded is the point
from tinytorch_build.stages.inside_pytest import distrust_cached_tests

NEEDS_REWRITING = frozenset({"pytester"})
"""Left out: pytest rewrites its assertions, and nobody here uses it."""

for _name in frozenset(_pytest.config.default_plugins) - NEEDS_REWRITING:
    importlib.import_module(f"_pytest.{_name}")

with contextlib.suppress(ModuleNotFoundError):
    importlib.import_module("_hypothesis_pytestplugin")

distrust_cached_tests()  # here, so that a worker leaves pytest exactly as it finds it
