"""The import graph of a package on disk, read without running it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinytorch_build.boundaries.graph import FoundImport, GraphUnreadable, imports_within
from tinytorch_build.programs import Programs


def lay_out(root: Path, **texts: str) -> Path:
    """A package `toy` whose files do harm when they are run."""
    package = root / "toy"
    (package / "core").mkdir(parents=True)
    for name, text in {"": "", "core": "", **texts}.items():
        path = package / (
            "__init__.py" if not name else f"{name}/__init__.py" if name == "core" else f"core/{name}.py"
        )
        path.write_text(f"{text}\nopen({str(root / 'run')!r}, 'w')\n")
    return package


def test_imports_are_found_wherever_they_stand_and_nothing_is_run(tmp_path: Path) -> None:
    package = lay_out(
        tmp_path,
        tensor="import math",
        layers="from toy.core.tensor import Tensor\nfrom . import tensor\n\n\ndef late():\n    import toy.core.tensor as t",
        dense="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .layers import Linear",
        whole="import toy\nfrom toy.core import nothing",
    )
    layers, tensor = "toy.core.layers", "toy.core.tensor"
    assert imports_within(package, Programs()) == (
        FoundImport("toy.core.dense", layers, 3),
        FoundImport(layers, tensor, 1),
        FoundImport(layers, tensor, 2),
        FoundImport(layers, tensor, 6),
        FoundImport("toy.core.whole", "toy", 1),
        FoundImport("toy.core.whole", "toy.core", 2),
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toy"]
    assert list(package.rglob("__pycache__")) == []


def test_a_folder_of_the_name_of_a_library_does_not_take_its_place(tmp_path: Path) -> None:
    package = lay_out(tmp_path, tensor="")
    (tmp_path / "grimp.py").write_text("raise SystemExit(1)")
    (tmp_path / "json.py").write_text("raise SystemExit(1)")
    assert imports_within(package, Programs()) == ()


def test_a_file_that_does_not_parse_is_named(tmp_path: Path) -> None:
    package = lay_out(tmp_path, tensor="def broken(:")
    with pytest.raises(GraphUnreadable, match=r"grimp could not read the imports of toy: .*tensor\.py"):
        imports_within(package, Programs())
