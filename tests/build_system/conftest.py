"""The order of the tests."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole runs come first: they take longest, and with two processes the short tests even out the end."""
    items.sort(key=lambda item: "functional" not in item.path.parts)
