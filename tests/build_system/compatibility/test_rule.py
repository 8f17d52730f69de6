"""Which changes need which version raised, and what is said where it was not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.build_system.builders import course_module
from tests.build_system.publish.builders import entry
from tinytorch_build.compatibility.changes import Change, Part
from tinytorch_build.compatibility.included import hand_written
from tinytorch_build.compatibility.rule import (
    broken_promises,
    changes_of_included_files,
    changes_of_modules,
    parts_of,
    placed,
)
from tinytorch_build.model import CourseModule, Manifest, Package, Problem
from tinytorch_build.publish import SUBPACKAGE_INIT, Record, render_init

REMOVED = Change(
    "tensor",
    "demo.core.tensor.zeros",
    "removed",
    True,
    "`zeros`: Public object was removed",
    "src/01_tensor/tensor_dev.py",
    None,
    18,
)


def manifest(tensor: str, package: str = "0.1.0") -> Manifest:
    modules = (course_module("tensor", version=tensor), course_module("layers"), course_module("fresh"))
    return Manifest(Path("/course"), Package("demo", package), modules)


def record(tensor: str = "1.0.0", package: str = "0.1.0", **targets: str) -> Record:
    entries = {name: entry(name, target=target) for name, target in targets.items()}
    return Record("demo", package, {}, {"tensor": entry("tensor", version=tensor), **entries})


def promised(change: Change, old: str, new: str) -> list[Problem]:
    return broken_promises([change], record(old), manifest(new), "v0.1.0")


def test_a_break_without_a_raised_version_says_what_where_and_what_to_do() -> None:
    assert promised(REMOVED, "1.0.0", "1.0.0") == [
        Problem(
            "api-break",
            "Module tensor 1.0.0 breaks what v0.1.0 promised (1.0.0): "
            "`zeros`: Public object was removed (line 18 of it there)",
            "src/01_tensor/tensor_dev.py",
            None,
            "raise version of [modules.tensor] in modules.toml from 1.0.0 to 2.0.0, "
            "or keep the old name beside the new one",
        )
    ]


@pytest.mark.parametrize(
    ("old", "new", "problems"),
    [
        ("1.0.0", "1.9", 1),
        ("1.0.0", "2.0", 0),
        ("0.3.0", "0.3.1", 1),
        ("0.3.0", "0.4", 0),
        ("0.3.0", "1.0", 0),
    ],
)
def test_below_one_the_minor_number_counts(old: str, new: str, problems: int) -> None:
    assert len(promised(REMOVED, old, new)) == problems


def test_an_addition_needs_no_version() -> None:
    assert promised(replace(REMOVED, kind="added", breaking=False), "1.0.0", "1.0.0") == []


def test_a_module_that_left_or_moved_needs_the_packages_version() -> None:
    old, new = record(layers="core.layers", gone="core.gone"), record(layers="nn.layers", fresh="core.fresh")
    changes = placed(list(changes_of_modules(old, new)), manifest("1.0.0"), lambda module, line: None)
    assert [(change.module, change.name, change.kind) for change in changes[:2]] == [
        (None, "demo.core.layers", "removed"),
        (None, "demo.core.gone", "removed"),
    ]
    assert "is imported as `demo.nn.layers` now" in changes[0].explanation
    problems = broken_promises(changes[:2], old, manifest("1.0.0", "0.1.5"), "v0.1.0")
    assert [problem.message for problem in problems] == [
        "Package demo 0.1.5 breaks what v0.1.0 promised (0.1.0): "
        "module layers, which was imported as `demo.core.layers`, is imported as `demo.nn.layers` now",
        "Package demo 0.1.5 breaks what v0.1.0 promised (0.1.0): "
        "module gone, which was imported as `demo.core.gone`, has left the package",
    ]
    assert {problem.file for problem in problems} == {"modules.toml"}
    assert "raise version of [package] in modules.toml from 0.1.5 to 0.2.0" in problems[0].cure
    assert broken_promises(changes[:2], old, manifest("1.0.0", "0.2.0"), "v0.1.0") == []
    assert parts_of(old, new, ["demo.data"]) == [
        Part("tensor", "demo.core.tensor", "demo.core.tensor"),
        Part("layers", "demo.core.layers", "demo.nn.layers"),
        Part(None, "demo.data", "demo.data"),
    ]


def test_lines_of_the_published_file_become_lines_of_the_source() -> None:
    def locate(module: CourseModule, line: int) -> int | None:
        return line + 100

    change = Change("tensor", "demo.core.tensor.x", "changed", True, "…", line=7)
    (found,) = placed([change], manifest("1"), locate)
    assert (found.file, found.line) == ("src/01_tensor/tensor_dev.py", 107)


def test_hand_written_files_belong_to_the_package(tmp_path: Path) -> None:
    package = tmp_path / "demo"
    texts = {
        "__init__.py": render_init("demo", "1", [], {}),
        "core/__init__.py": SUBPACKAGE_INIT,
        "plots/__init__.py": "",
        "plots/lines.py": "",
        "_private.py": "",
        "data.txt": "",
    }
    for path, text in texts.items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_text(text)
    found = hand_written(package, Record("demo", "1", dict.fromkeys(texts, "0" * 64), {}))
    assert found == ("demo.plots", "demo.plots.lines")
    changes = list(changes_of_included_files(found, ("demo.plots", "demo.more")))
    assert [(change.name, change.kind, change.breaking) for change in changes] == [
        ("demo.plots.lines", "removed", True),
        ("demo.more", "added", False),
    ]
