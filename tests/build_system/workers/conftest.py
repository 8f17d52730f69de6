"""Workers that the tests of this folder share: a server costs a third of a second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tinytorch_build.workers import Workers


@pytest.fixture(scope="session")
def course_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a course that holds nothing."""
    return tmp_path_factory.mktemp("course")


@pytest.fixture(scope="session")
def workers(course_root: Path) -> Iterator[Workers]:
    """Workers with every guard."""
    with Workers(course_root) as started:
        yield started


@pytest.fixture(scope="session")
def unconfined(course_root: Path) -> Iterator[Workers]:
    """Workers as they are where the system cannot confine processes."""
    with Workers(course_root, confine=False) as started:
        yield started
