"""What versions allow and announce."""

from __future__ import annotations

import pytest

from tinytorch_build.versions import allows, announces_break, next_break


@pytest.mark.parametrize(
    ("specifier", "version", "allowed"),
    [
        ("", "0.1", True),
        (">=1.0,<2", "1.9.3", True),
        (">=1.0,<2", "2.0", False),
        (">=1.0,<2", "1.5rc1", True),
        ("~=1.4", "1.3", False),
    ],
)
def test_constraints(specifier: str, version: str, allowed: bool) -> None:
    assert allows(specifier, version) is allowed


@pytest.mark.parametrize(
    ("old", "new", "announced"),
    [
        ("1.0.0", "2.0.0", True),
        ("1.0.0", "2.0.0rc1", True),
        ("1.0.0", "1.9", False),
        ("1.0.0", "1.0.0", False),
        ("2.0", "1.0", False),
        ("0.3.1", "0.4", True),
        ("0.3.1", "0.3.2", False),
        ("0.3.1", "1.0", True),
        ("0.3.1", "0.3.1.post1", False),
        ("5.0", "1!1.0", True),
        ("2.0.0rc1", "2.0.0", True),
        ("2.0.0rc1", "2.0.0rc1", False),
    ],
)
def test_what_announces_a_break(old: str, new: str, announced: bool) -> None:
    assert announces_break(old, new) is announced


@pytest.mark.parametrize(
    ("old", "new"),
    [("1.4.2", "2.0.0"), ("0.3.1", "0.4.0"), ("0", "0.1.0"), ("2.0.0rc1", "2.0.0"), ("1!2.3", "1!3.0.0")],
)
def test_the_next_version_that_announces_a_break(old: str, new: str) -> None:
    assert next_break(old) == new
    assert announces_break(old, new)
