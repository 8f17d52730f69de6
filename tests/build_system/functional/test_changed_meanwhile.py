"""A source that is saved while the run checks it: what ran is never taken for what was fingerprinted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.build_system.geometry_course import GeometryCourse
from tinytorch_build.session import SourceChanged
from tinytorch_build.tasks import open_session


def test_cells_other_than_those_that_were_converted_are_refused(tmp_path: Path) -> None:
    course = GeometryCourse.write(tmp_path / "course")
    session = open_session(course.root)
    shapes = session.manifest["shapes"]
    session.cells(shapes)
    course.edit(shapes.source, "# A square has a side.", "# A square has four sides.")
    session.document(shapes)  # prose does not matter
    course.edit(shapes.source, "assert Square(2).side == 2", "pass")
    with pytest.raises(
        SourceChanged, match=r"^lessons/01_shapes/shapes_dev\.py changed while it was being checked"
    ):
        session.document(shapes)
