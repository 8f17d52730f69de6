"""Workers and a course that the tests of the stages share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build_system.stages.staged_course import StagedCourse
from tinytorch_build.workers import Workers


@pytest.fixture(scope="session")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Workers of a course that lies elsewhere: what they run is given with each job."""
    with Workers(tmp_path_factory.mktemp("elsewhere")) as started:
        yield started


@pytest.fixture
def course(tmp_path: Path) -> StagedCourse:
    """A course in which nothing is staged yet."""
    return StagedCourse(tmp_path)
