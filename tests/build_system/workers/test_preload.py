"""What is loaded beforehand: what the course's files name, and pytest if there are tests."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tinytorch_build.workers.preload import EVERYTHING, FOR_CELLS, FOR_TESTS, worth_loading


def test_what_the_files_name_is_loaded(tmp_path: Path) -> None:
    source, test = tmp_path / "a_dev.py", tmp_path / "test_a.py"
    source.write_text("import math\n", encoding="utf-8")
    test.write_text("from hypothesis import given\n", encoding="utf-8")
    assert worth_loading([source], []) == FOR_CELLS
    assert worth_loading([source], [test]) == ("hypothesis", *FOR_TESTS, *FOR_CELLS)
    source.write_text("import numpy as np\n", encoding="utf-8")
    assert set(worth_loading([source], [test])) == set(EVERYTHING)
    assert worth_loading([source, tmp_path / "missing.py"], []) == ("numpy", "numpy.random", *FOR_CELLS)


def test_all_that_may_be_loaded_is_there() -> None:
    assert all(importlib.util.find_spec(name) is not None for name in EVERYTHING)
