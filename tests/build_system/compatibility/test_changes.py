"""What griffe finds between two small packages, and which module answers for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinytorch_build.compatibility.changes import (
    Change,
    ComparisonFailed,
    Part,
    changes_between,
    with_new_homes,
)
from tinytorch_build.programs import Programs

TENSOR = '''\
__all__ = ["Tensor", "zeros"]
import numpy


class Tensor:
    """A tensor."""

    def __init__(self, data, dtype=None):
        self.data = data

    def sum(self, axis=None) -> float:
        return 0.0

    def _hidden(self, x):
        pass


def zeros(shape):
    return Tensor(shape)


def helper(x):
    return x
'''
LAYERS = """\
__all__ = ["Parameter"]
from .tensor import Tensor


class Parameter(Tensor):
    trained = True
"""
PARTS = (
    Part("tensor", "toy.core.tensor", "toy.core.tensor"),
    Part("layers", "toy.core.layers", "toy.core.layers"),
)


def lay_out(folder: Path, tensor: str = TENSOR, layers: str = LAYERS) -> Path:
    """A package whose files do harm when they are run."""
    core = folder / "toy" / "core"
    core.mkdir(parents=True)
    harm = "\nraise SystemExit('this was run')\n"
    for path, text in {
        folder / "toy" / "__init__.py": "",
        core / "__init__.py": "",
        core / "tensor.py": tensor,
        core / "layers.py": layers,
    }.items():
        path.write_text(text + harm)
    return folder


def compared(tmp_path: Path, tensor: str = TENSOR, layers: str = LAYERS) -> list[Change]:
    old, new = lay_out(tmp_path / "old"), lay_out(tmp_path / "new", tensor, layers)
    return changes_between(old, new, "toy", PARTS, Programs())


def edited(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def test_the_same_package_has_no_changes(tmp_path: Path) -> None:
    assert compared(tmp_path) == []


def test_private_names_and_names_outside_of_all_do_not_count(tmp_path: Path) -> None:
    tensor = edited(TENSOR, ("def helper(x)", "def helped(y, z)"), ("def _hidden(self, x)", "def _hid(self)"))
    assert compared(tmp_path, tensor) == []


def test_a_removed_name(tmp_path: Path) -> None:
    tensor = edited(TENSOR, ("def zeros(shape)", "def ones(shape)"), ('"zeros"', '"ones"'))
    removed, added = compared(tmp_path, tensor)
    assert removed == Change(
        "tensor",
        "toy.core.tensor.zeros",
        "removed",
        True,
        "`zeros`: Public object was removed",
        old_line=18,
    )
    assert added == Change(
        "tensor", "toy.core.tensor.ones", "added", False, "`toy.core.tensor.ones` is new", line=18
    )


def test_a_changed_signature_is_told_where_it_is_defined_and_not_of_classes_that_inherit_it(
    tmp_path: Path,
) -> None:
    tensor = edited(TENSOR, ("def sum(self, axis=None)", "def sum(self, axes, keep)"))
    assert compared(tmp_path, tensor) == [
        Change(
            "tensor", "toy.core.tensor.Tensor.sum", "changed", True, f"`Tensor.sum({name})`: {what}", line=11
        )
        for name, what in (
            ("axis", "Parameter was removed"),
            ("axes", "Parameter was added as required"),
            ("keep", "Parameter was added as required"),
        )
    ]


def test_a_changed_default_shows_both(tmp_path: Path) -> None:
    (change,) = compared(tmp_path, edited(TENSOR, ("dtype=None", "dtype='float32'")))
    assert change.explanation == (
        "`Tensor.__init__(dtype)`: Parameter default was changed: `None` -> `'float32'`"
    )
    assert change.line == 8


def test_a_removed_member_points_to_its_class(tmp_path: Path) -> None:
    (change,) = compared(tmp_path, edited(TENSOR, ("def sum(", "def _sum(")))
    assert (change.module, change.name, change.line) == ("tensor", "toy.core.tensor.Tensor.sum", 5)


def test_what_a_class_no_longer_inherits_is_lost_by_that_class(tmp_path: Path) -> None:
    layers = edited(LAYERS, ("class Parameter(Tensor)", "class Parameter"))
    changes = compared(tmp_path, layers=layers)
    assert {change.module for change in changes} == {"layers"}
    assert "toy.core.layers.Parameter.sum" in {change.name for change in changes if change.kind == "removed"}


def test_additions_to_classes_and_functions_do_not_break(tmp_path: Path) -> None:
    tensor = edited(
        TENSOR, ("def zeros(shape)", "def zeros(shape, dtype=None)"), ("def _hidden", "def shown")
    )
    changes = compared(tmp_path, tensor)
    assert [(change.name, change.breaking) for change in changes] == [
        ("toy.core.tensor.Tensor.shown", False),
        ("toy.core.tensor.zeros(dtype)", False),
    ]


def test_a_name_from_another_library_in_all(tmp_path: Path) -> None:
    old = lay_out(
        tmp_path / "old", edited(TENSOR, ("import numpy", "from numpy import eye"), ('"zeros"', '"eye"'))
    )
    new = lay_out(tmp_path / "new")
    changes = changes_between(old, new, "toy", PARTS, Programs())
    assert [(change.name, change.kind) for change in changes] == [
        ("toy.core.tensor.eye", "removed"),
        ("toy.core.tensor.zeros", "added"),
    ]


def test_a_name_that_has_moved_says_where_it_is_now(tmp_path: Path) -> None:
    tensor = edited(TENSOR, ("def zeros", "def _zeros"), (', "zeros"', ""))
    layers = edited(LAYERS, ('["Parameter"]', '["Parameter", "zeros"]')) + "\n\ndef zeros(shape): ...\n"
    explanations = [change.explanation for change in with_new_homes(compared(tmp_path, tensor, layers))]
    assert explanations[0] == ("`zeros`: Public object was removed (there is now `toy.core.layers.zeros`)")


def test_a_file_that_does_not_parse_fails_the_comparison(tmp_path: Path) -> None:
    with pytest.raises(ComparisonFailed, match="griffe could not compare the package: "):
        compared(tmp_path, "def broken(:")
