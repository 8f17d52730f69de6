"""One course and one run for each file of this folder: its cases are modules of that course.

The run is made once a file, which pytest-xdist keeps in one process (`--dist=loadfile`).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest

from tests.build_system.functional.hostile.yard import Yard
from tinytorch_build.workers import Workers


@pytest.fixture(scope="module")
def yard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """The course after a run in which the cases of the file (`CASES`) have turned hostile."""
    cases = request.module.CASES
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("hostile")
        patch.setattr(tempfile, "tempdir", str(folder / "temporary"))
        defaults = Workers.__init__.__kwdefaults__ or {}
        if not getattr(request.module, "CONFINED", True):
            patch.setattr(Workers.__init__, "__kwdefaults__", {**defaults, "confine": False})
            patch.setattr(os, "cpu_count", lambda: 1)  # one task at a time: two could not be told apart
        patch.setenv("API_TOKEN", "a secret of the person at the keyboard")
        course = Yard.publish(folder, cases)
        course.turn_hostile(cases)
        yield course
