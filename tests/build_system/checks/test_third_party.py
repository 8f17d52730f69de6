"""What an export imports from outside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.build_system.checks.samples import EXPORT, GOOD, SOURCE, after, course
from tinytorch_build.model import Package


def install(folder: Path, name: str, version: str, files: Sequence[str], top_level: str = "") -> None:
    """A distribution as pip leaves it."""
    for path in files:
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).touch()
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in files))
    if top_level:
        (info / "top_level.txt").write_text(top_level)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path, "Course-Plots", "1.5", ["plots/__init__.py", "drawing.py", "fast.abi3.so"])
    install(tmp_path, "course-tables", "2.0", ["tables/__init__.py"], "tabular\n_tabular\n")
    return tmp_path


def said(code: str, *requirements: str) -> list[str]:
    manifest = course(Package("demo", dependencies=requirements))
    text = f"{GOOD}{EXPORT}{code}\n"
    return [message for message in after(text, manifest) if "third-party" in message]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("code", "requirement"),
    [
        ("import os.path, sys, _thread", "course-plots"),
        ("import plots.axes", "course-plots"),
        ("import plots", "COURSE_PLOTS>=1,<2"),
        ("from drawing import line", "course.plots"),
        ("import fast", "course-plots"),
        ("import course_plots", "course-plots"),
        ("from tabular import Table", "course-tables"),
        ("def f():\n    import _tabular", "course-tables"),
        ("import plots", 'course-plots; python_version >= "3.8"'),
        ("import packaging.version", "packaging"),
    ],
)
def test_declared_imports_pass(code: str, requirement: str) -> None:
    assert said(code, requirement) == []


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("code", "name"),
    [("import plots.axes", "plots"), ("from tabular import Table", "tabular"), ("import tables", "tables")],
)
def test_an_import_that_is_not_declared(code: str, name: str) -> None:
    assert said(code, "packaging") == [
        f"{SOURCE}:11: layers imports {name}, neither of the standard library nor a dependency of the "
        f"package [third-party-import]\n"
        "  cure: do without it, or add its distribution to dependencies of [package] in modules.toml"
    ]


@pytest.mark.usefixtures("environment")
def test_a_requirement_of_another_system_is_no_declaration() -> None:
    (message,) = said("import plots", 'course-plots; python_version < "3"')
    assert "neither of the standard library nor a dependency" in message


def test_a_declared_distribution_that_is_not_installed() -> None:
    assert said("import no_such_thing", "no-such-thing>=1") == [
        f"{SOURCE}:11: layers imports no_such_thing, and no-such-thing, a dependency of the package, is not "
        'installed [third-party-import]\n  cure: run `python -m pip install "no-such-thing>=1"`'
    ]


def test_an_import_that_a_missing_distribution_may_bring() -> None:
    assert said("import plots", "no-such-thing>=1", "packaging", "nor-this") == [
        f"{SOURCE}:11: layers imports plots, which no installed dependency of the package brings "
        "[third-party-import]\n"
        "  cure: install no-such-thing, nor-this, or add the distribution of plots to dependencies "
        "of [package] in modules.toml"
    ]


@pytest.mark.usefixtures("environment")
def test_an_installed_version_that_does_not_do() -> None:
    assert said("import plots", "course-plots>=2") == [
        f"{SOURCE}:11: layers imports course-plots, whose installed version 1.5 is not >=2 as the "
        f'package asks [third-party-import]\n  cure: run `python -m pip install "course-plots>=2"`'
    ]


@pytest.mark.parametrize("code", ["import tensor", "from core.tensor import Tensor"])
def test_a_module_of_the_course_by_half_its_name(code: str) -> None:
    name = code.split()[1].split(".")[0]
    (message,) = said(code)
    assert message.startswith(
        f"{SOURCE}:11: layers imports `{name}`, a module of the course, by less than its whole name "
        "[third-party-import]\n  cure: write `from demo.core."
    )


def test_each_import_is_named_once() -> None:
    assert len(said("import plots\nimport plots.axes\nfrom plots import line")) == 1
