"""What test files import of the course."""

from __future__ import annotations

import pytest

from tests.build_system.checks.samples import course
from tinytorch_build.checks.imports import check_test_imports, modules_imported

EVERYTHING = {"setup", "tensor", "layers", "dense"}


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        ("import os\n", set()),
        ("from demo.core.tensor import Tensor\nfrom demo.core.dense import Dense\n", {"tensor", "dense"}),
        ("import demo.core.tensor as t\n", {"tensor"}),
        ("from demo.core import tensor, layers\n", {"tensor", "layers"}),
        ("def test_f():\n    from demo.core.tensor import Tensor\n", {"tensor"}),
        ("from demo import Tensor, greet\n", {"tensor", "setup"}),
        ("from demo import Tensor, other\n", EVERYTHING),
        ("import demo\n", EVERYTHING),
        ("from demo import *\n", EVERYTHING),
        ("import demo.core\n", EVERYTHING),
        ("from demo.core.tensr import Tensor\n", EVERYTHING),
        ("x = importlib.import_module('demo.core.tensor')\n", {"tensor"}),
        ("monkeypatch.setattr('demo.core.tensor.Tensor', 1)\n", {"tensor"}),
        ("x = 'demo.core.tensors'\n", set()),
        ("x = (\n", None),
    ],
)
def test_modules_imported(text: str, modules: set[str] | None) -> None:
    assert modules_imported(course(), text) == modules


PATH = "tests/unit/test_layers.py"
TEST = "def test_it(): ...\n"


def said(text: str, owner: str = "layers", allowed: tuple[str, ...] = ("tensor", "layers")) -> list[str]:
    return [str(problem) for problem in check_test_imports(course(), owner, allowed, PATH, text + TEST)]


@pytest.mark.parametrize(
    "text",
    [
        "from demo.core.layers import SIZE\nfrom demo.core.tensor import Tensor\nfrom demo import Tensor\n",
        "import demo\nfrom demo import *\nfrom demo import __version__\n",
        "import numpy as np, pytest\nfrom . import conftest\n",
    ],
)
def test_allowed_imports_pass(text: str) -> None:
    assert said(text) == []


@pytest.mark.parametrize(
    "text", ["from demo.core.setup import greet\n", "def test_f():\n    from demo import greet\n"]
)
def test_an_undeclared_module(text: str) -> None:
    line = text.count("\n")
    assert said(text) == [
        f"{PATH}:{line}: Module dependencies not satisfied: a test of layers imports setup, which it "
        f"does not declare "
        '[undeclared-import]\n  cure: add "setup" to depends of [modules.layers] in modules.toml, or '
        "move the test into tests/integration"
    ]


def test_a_later_module() -> None:
    assert said("import demo.core.dense\n") == [
        f"{PATH}:1: Module dependencies not satisfied: a test of layers imports dense, which comes later "
        "in the course [undeclared-import]\n"
        "  cure: move the test into tests/integration, or do without dense"
    ]


def test_an_unknown_module() -> None:
    assert said("from demo.core.tensr import Tensor\n", "tests/integration/test_x.py") == [
        f"{PATH}:1: Module dependencies not satisfied: tests/integration/test_x.py imports "
        f"demo.core.tensr, which "
        "is no module of the course [unknown-module]\n  cure: did you mean `demo.core.tensor`?"
    ]


def test_an_import_of_a_source() -> None:
    assert said("from layers_dev import SIZE\n") == [
        f"{PATH}:1: `layers_dev` is a source of the course, which the package cannot import [source-import]\n"
        "  cure: import from demo.core.layers"
    ]


def test_a_test_file_that_is_no_python() -> None:
    assert said("x = (\n") == [
        f"{PATH}:1: the test file is not valid Python: '(' was never closed [syntax-error]"
    ]
