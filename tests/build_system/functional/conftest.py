"""What the tests of whole runs have in common."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import pytest

from tests.build_system.functional.course_states import Made, State, built_from_nothing


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Mapping[State, Made]:
    """What each state of the small course gives when it is built from nothing."""
    if sys.platform != "linux":
        pytest.skip("forks")
    return built_from_nothing(tmp_path_factory.mktemp("clean"))
