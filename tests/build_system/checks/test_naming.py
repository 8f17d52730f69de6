"""File names, names that are defined twice, and imports of other sources."""

from __future__ import annotations

import pytest

from tests.build_system.checks.samples import EXPORT, GOOD, SOURCE, TOP, before, course
from tinytorch_build.checks.before_export import check_before_export


@pytest.mark.parametrize(
    ("path", "ending"),
    [
        ("src/layers/layers_dev.py", ".py"),
        ("src/3_layers/layers_dev.py", ".py"),
        ("src/03_layer/layers_dev.py", ".py"),
        ("src/03_layers/layers.py", ".py"),
        ("layers_dev.py", ".py"),
        ("src/03_layers/03_layers.md", ".md"),
    ],
)
def test_another_name_than_the_convention_asks(path: str, ending: str) -> None:
    manifest = course(source=path)
    text = GOOD if ending == ".py" else "```python\n#| default_exp core.layers\n#| export\nx = 1\n```\n"
    assert [str(problem) for problem in check_before_export(manifest, manifest["layers"], text.encode())] == [
        f"{path}: warning: the source is not called NN_layers/layers_dev{ending} as sources of a course are "
        "[naming-convention]\n  cure: rename it, with the module's place in the course for NN, and change "
        "source of [modules.layers]"
    ]


def test_a_function_that_is_lost() -> None:
    assert before(f"{GOOD}{EXPORT}def f(): ...\n\n{EXPORT}def f(): ...\n") == [
        f"{SOURCE}:15: `f` is defined here again, after line 11 [repeated-definition]\n"
        "  cure: give one of them another name, or take it out"
    ]


@pytest.mark.parametrize(
    "code",
    [
        f"class A: ...\n\n{EXPORT}class A(A): ...\n",
        f"class A: ...\n\n{EXPORT}B = A\nclass A: ...\n",
    ],
)
def test_a_class_that_is_used_before_it_is_replaced(code: str) -> None:
    (message,) = before(f"{GOOD}{EXPORT}{code}")
    line = 15 + code.count("B =")
    assert message == (
        f"{SOURCE}:{line}: warning: `A` is defined here again, after line 11 [repeated-definition]\n"
        "  cure: give one of them another name, or take it out"
    )


@pytest.mark.parametrize(
    "code",
    [
        "def _f(): ...\ndef _f(): ...\n",
        "@overload\ndef f(a: int): ...\n@overload\ndef f(a: str): ...\ndef f(a): ...\n",
        "x = 1\nx = 2\n",
        "class A:\n    def f(self): ...\nclass B:\n    def f(self): ...\n",
    ],
)
def test_other_repetitions_pass(code: str) -> None:
    assert before(f"{GOOD}{EXPORT}{code}") == []


def test_a_late_future_import() -> None:
    assert before(f"{GOOD}{EXPORT}from __future__ import annotations\n") == [
        f"{SOURCE}:11: `from __future__ import annotations` stands below other exported code "
        "[late-future-import]\n  cure: move it to the top of the first exported cell"
    ]


def test_a_future_import_below_the_docstring_is_early_enough() -> None:
    assert before(f'{TOP}{EXPORT}"""Layers."""\n\n{EXPORT}from __future__ import annotations\nx = 1\n') == []


@pytest.mark.parametrize(
    ("code", "name", "cure"),
    [
        ("import tensor_dev", "tensor_dev", "import from demo.core.tensor"),
        ("from tensor_dev import Tensor", "tensor_dev", "import from demo.core.tensor"),
        ("import src.tensor.tensor_dev as t", "tensor_dev", "import from demo.core.tensor"),
        ("from src.tensor import tensor_dev", "tensor_dev", "import from demo.core.tensor"),
        (
            "def f():\n    import other_dev",
            "other_dev",
            "import from the module of demo that is exported from it",
        ),
    ],
)
@pytest.mark.parametrize("top", [EXPORT, "# %%\n#| hide\n"])
def test_an_import_of_a_source(code: str, name: str, cure: str, top: str) -> None:
    line = 11 + code.count("\n")
    assert before(f"{GOOD}{top}{code}\n") == [
        f"{SOURCE}:{line}: `{name}` is a source of the course, which the package cannot import "
        f"[source-import]\n  cure: {cure}"
    ]


def test_an_import_of_a_source_with_an_ordinary_name() -> None:
    manifest = course(source="03_layers/layers.py")
    text = f"{GOOD}# %%\nimport layers\nfrom demo.core import layers\n"
    first, _ = [str(problem) for problem in check_before_export(manifest, manifest["layers"], text.encode())][
        ::-1
    ]
    assert first == (
        "03_layers/layers.py:10: `layers` is a source of the course, which the package cannot import "
        "[source-import]\n  cure: import from demo.core.layers"
    )


@pytest.mark.parametrize(
    ("statement", "whole"),
    [
        ("from .tensor import Tensor", "demo.core.tensor"),
        ("from . import tensor", "demo.core"),
        ("from ..core.tensor import Tensor", "demo.core.tensor"),
    ],
)
def test_a_relative_import(statement: str, whole: str) -> None:
    assert before(f"{GOOD}{EXPORT}{statement}\n") == [
        f"{SOURCE}:11: `{statement}` is relative, which neither a notebook nor nbdev understands "
        f"[relative-import]\n  cure: write the whole name: `from {whole} import ...`"
    ]
