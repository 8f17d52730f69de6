"""Builders for the tests of checks: a course of four modules, sources of its `layers`, and their exports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tinytorch_build.checks.after_export import ExportUnderCheck, check_after_export
from tinytorch_build.checks.before_export import check_before_export
from tinytorch_build.literate import document_of
from tinytorch_build.model import CourseModule, Dependency, Manifest, Package
from tinytorch_build.stages.convert import notebook_text
from tinytorch_build.stages.export import export_text

SOURCE = "src/03_layers/layers_dev.py"
STAGED = "build/staging/demo/core/layers.py"

TOP = "# %%\n#| default_exp core.layers\n\n"
"""The first three lines of every sample."""

EXPORT = "# %%\n#| export\n"
"""How an exported cell begins."""

GOOD = f"{TOP}{EXPORT}from demo.core.tensor import Tensor\nSIZE = Tensor\n\n"
"""Nothing is wrong with this source; it is eight lines long."""


def course(package: Package | None = None, **changes: object) -> Manifest:
    """`setup`, `tensor`, `layers` (which declares `tensor`) and `dense`; `changes` are fields of `layers`."""
    layers = CourseModule("layers", SOURCE, "core.layers", (Dependency("tensor"),), line=20)
    modules = (
        CourseModule("setup", "src/01_setup/setup_dev.py", "core.setup", provides=("greet",)),
        CourseModule("tensor", "src/02_tensor/tensor_dev.py", "core.tensor", (), "1.0.0", ("Tensor",)),
        replace(layers, **changes),  # type: ignore[arg-type]  # fields by name, checked at run time
        CourseModule("dense", "src/04_dense/dense_dev.py", "core.dense", provides=("Dense",)),
    )
    return Manifest(Path("/course"), package or Package("demo", dependencies=("packaging>=20",)), modules)


def before(text: str | bytes, manifest: Manifest | None = None) -> list[str]:
    """What the checks before the export say of a source of `layers`."""
    manifest = manifest or course()
    raw = text.encode() if isinstance(text, str) else text
    return [str(problem) for problem in check_before_export(manifest, manifest["layers"], raw)]


def exported(
    text: str, manifest: Manifest | None = None, taken: Mapping[str, str] | None = None
) -> ExportUnderCheck:
    """The export that jupytext and nbdev make of a source of `layers`."""
    manifest = manifest or course()
    raw = text.encode()
    target = manifest["layers"].target
    made = export_text(notebook_text(raw, SOURCE), package="demo", target=target, source=SOURCE)
    document = document_of(raw, SOURCE)
    return ExportUnderCheck.of(manifest, manifest["layers"], document, made, STAGED, taken or {})


def after(text: str, manifest: Manifest | None = None, taken: Mapping[str, str] | None = None) -> list[str]:
    """What the checks after the export say of a source of `layers`, put through jupytext and nbdev."""
    return [str(problem) for problem in check_after_export(exported(text, manifest, taken))]
