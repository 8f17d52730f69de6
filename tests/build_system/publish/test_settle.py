"""Settling a course: what gets in, what is held back, what is restored."""

from __future__ import annotations

from pathlib import Path

from .builders import Course

CHAIN = {"tensor": (), "layers": ("tensor",), "training": ("tensor", "layers")}


def test_a_module_that_passes_is_published(tmp_path: Path) -> None:
    course = Course(tmp_path, {"tensor": ()})
    course.stage("tensor", "x = 1\n")
    settlement = course.passes("tensor")
    assert settlement.problems == ()
    assert course.modules() == {"core/tensor.py": "x = 1\n"}
    assert course.record_agrees()
