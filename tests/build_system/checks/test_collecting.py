"""Tests that pytest would never collect. What pytest really collects is asked of pytest."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tinytorch_build.checks.collecting import check_collection

PATH = "tests/unit/test_layers.py"


def said(text: str) -> list[str]:
    return [str(problem) for problem in check_collection(PATH, ast.parse(text))]


@pytest.mark.parametrize(
    ("text", "place", "name", "first"),
    [
        ("def test_a(): ...\ndef test_a(): ...\n", 2, "test_a", 1),
        ("class TestA:\n    def test_a(self): ...\n    def test_a(self): ...\n", 3, "TestA.test_a", 2),
        (
            "class TestA:\n    def test_a(self): ...\nclass TestA:\n    def test_b(self): ...\n",
            3,
            "TestA",
            1,
        ),
    ],
)
def test_a_test_that_another_one_replaces(text: str, place: int, name: str, first: int) -> None:
    assert said(text) == [
        f"{PATH}:{place}: `{name}` is defined here again, so the one in line {first} never runs "
        f"[overwritten-test]\n"
        "  cure: give one of them another name"
    ]


@pytest.mark.parametrize("constructor", ["__init__", "__new__"])
def test_a_test_class_with_a_constructor(constructor: str) -> None:
    text = f"class TestA:\n    def {constructor}(self): ...\n    def test_a(self): ...\ndef test_b(): ...\n"
    assert said(text) == [
        f"{PATH}:2: pytest does not collect `TestA`, because it has `{constructor}` [uncollected-test]\n"
        "  cure: set the tests up in a fixture, or in `setup_method`"
    ]


def test_a_class_whose_name_does_not_begin_with_test() -> None:
    assert said("class Layers:\n    def test_a(self): ...\ndef test_b(): ...\n") == [
        f"{PATH}:1: pytest does not collect the tests of `Layers`, whose name does not begin with Test "
        "[uncollected-test]\n  cure: call it `TestLayers`"
    ]


@pytest.mark.parametrize("text", ["", "def check(): ...\n", "class TestA:\n    def check(self): ...\n"])
def test_a_file_without_tests(text: str) -> None:
    assert said(text) == [
        f"{PATH}: the file holds no test that pytest would collect [no-tests]\n"
        "  cure: write functions whose names begin with `test_`"
    ]


COLLECTED = [
    "def test_a(): ...\ndef test_b(): ...\n",
    "import unittest\nclass Layers(unittest.TestCase):\n    def __init__(self, name):\n        "
    "super().__init__(name)\n"
    "    def test_a(self): ...\n",
    "class Shared:\n    def test_a(self): ...\nclass TestA(Shared): ...\n",
    "class TestA:\n    def test_a(self): ...\nclass TestB:\n    def test_a(self): ...\n",
    "import unittest\nclass Machine:\n    class TestCase(unittest.TestCase):\n        def test_a(self): ...\n"
    "TestMachine = Machine.TestCase\n",
]


@pytest.mark.parametrize("text", COLLECTED)
def test_what_pytest_collects_passes(text: str) -> None:
    assert said(text) == []


def test_pytest_agrees(tmp_path: Path) -> None:
    for number, text in enumerate(COLLECTED):
        (tmp_path / f"test_good_{number}.py").write_text(text)
    (tmp_path / "test_bad.py").write_text(
        "class TestA:\n    def __init__(self): ...\n    def test_lost(self): ...\n"
        "class Layers:\n    def test_lost(self): ...\ndef test_found(): ...\n"
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        ".",
    ]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    found = {line.split("::")[0] for line in finished.stdout.splitlines() if "::" in line}
    assert found >= {f"test_good_{number}.py" for number in range(len(COLLECTED))}
    assert [line for line in finished.stdout.splitlines() if line.startswith("test_bad.py::")] == [
        "test_bad.py::test_found"
    ]
