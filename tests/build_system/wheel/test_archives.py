"""The build backend: what is said where it does not make what it was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinytorch_build.programs import Programs
from tinytorch_build.wheel.archives import BackendFailed, make_distributions

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "{backend}"

[project]
name = "geometry"
version = "1.0"
"""


def make(folder: Path, backend: str) -> str:
    """What is said of a project that cannot be built."""
    (folder / "project/geometry").mkdir(parents=True)
    (folder / "project/geometry/__init__.py").write_text("")
    (folder / "project/pyproject.toml").write_text(PYPROJECT.format(backend=backend))
    (folder / "out").mkdir()
    with pytest.raises(BackendFailed) as failure:
        make_distributions(folder / "project", folder / "out", Programs())
    return str(failure.value)


def test_the_last_words_of_the_backend_are_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    assert make(tmp_path, "hatchling.build") == (
        "the build backend made no sdist: ValueError: invalid literal for int() with base 10: 'yesterday'"
    )


def test_a_backend_that_is_not_there(tmp_path: Path) -> None:
    said = make(tmp_path, "no.such.backend")
    assert said.startswith("the build backend made no sdist: ")
    assert said.count("the build backend made") == 1
