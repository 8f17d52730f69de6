"""What an export offers: the promised names, its own names, docstrings."""

from __future__ import annotations

import pytest

from tests.build_system.checks.samples import EXPORT, GOOD, SOURCE, after, course, exported
from tinytorch_build.checks.public import provides_what_it_promises


@pytest.mark.parametrize(
    "code",
    [
        "class Layer: ...",
        "def Layer(): ...",
        "Layer = object",
        "Layer: type = object",
        "a, (Layer, *b) = 1, (2, 3)",
        "if SIZE:\n    Layer = 1",
        "if SIZE:\n    def Layer(): ...",
        "for Layer in (): ...",
        "with open('') as Layer: ...",
    ],
)
def test_promised_names_that_are_defined(code: str) -> None:
    assert provides_what_it_promises(exported(f"{GOOD}{EXPORT}{code}\n", course(provides=("Layer",)))) == []


DEFINE = "define it in an exported cell, or take it out of provides of [modules.layers]"


@pytest.mark.parametrize(
    ("code", "cure"),
    [
        ("x = 1", DEFINE),
        ("from demo.core.tensor import Layer", DEFINE),
        ("def f():\n    Layer = 1", DEFINE),
        ("x = [Layer for Layer in ()]", DEFINE),
        ("class Layers: ...", "did you mean `Layers`?"),
        (
            "x = 1\n\n# %%\nclass Layer: ...",
            "line 14 defines it in a cell that is not exported: write `#| export` as its first line",
        ),
    ],
)
def test_a_promised_name_that_is_missing(code: str, cure: str) -> None:
    export = exported(f"{GOOD}{EXPORT}{code}\n", course(provides=("Layer",)))
    assert [str(problem) for problem in provides_what_it_promises(export)] == [
        f"{SOURCE}: layers does not define `Layer`, which modules.toml says it provides [missing-name]\n"
        f"  cure: {cure}"
    ]


def test_a_name_that_another_module_exports() -> None:
    text = f"{GOOD}{EXPORT}def relu():\n    '''Cut.'''\n\n\n_hidden = 1\n"
    taken = {"relu": "dense", "_hidden": "dense", "Tensor": "tensor"}
    assert after(text, taken=taken) == [
        f"{SOURCE}:11: layers exports `relu`, and so does dense [name-taken]\n"
        "  cure: give one of them another name, or one that begins with an underscore"
    ]


def test_missing_docstrings() -> None:
    code = "def f(): ...\n\n\n@property\ndef g():\n    return 1\n\n\ndef _h(): ...\n\n\nclass A:\n    x = 1\n"
    cure = "cure: say in a docstring what it is for"
    assert after(f"{GOOD}{EXPORT}{code}") == [
        f"{SOURCE}:11: warning: `f` has no docstring [missing-docstring]\n  {cure}",
        f"{SOURCE}:15: warning: `g` has no docstring [missing-docstring]\n  {cure}",
        f"{SOURCE}:22: warning: `A` has no docstring [missing-docstring]\n  {cure}",
    ]
