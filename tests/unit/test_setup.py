"""Unit tests of the setup module: how versions compare, which facts are found, what a verdict says."""

import os
import platform
import re
import sys
from dataclasses import FrozenInstanceError
from importlib import metadata
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.core.setup import (
    COURSE_REQUIREMENTS,
    Requirement,
    RequirementVerdict,
    check_environment,
    check_requirement,
    environment_facts,
    environment_report,
    installed_version,
    parse_version,
)

deterministic = settings(derandomize=True, max_examples=60, deadline=None)
releases = st.lists(st.integers(0, 30), min_size=1, max_size=4)
NOBODYS = "a-package-that-nobody-wrote"


def dotted(numbers: list[int]) -> str:
    return ".".join(str(number) for number in numbers)


@deterministic
@given(releases, releases)
def test_releases_compare_number_by_number(first: list[int], second: list[int]) -> None:
    width = max(len(first), len(second))
    padded = [numbers + [0] * (width - len(numbers)) for numbers in (first, second)]
    a, b = parse_version(dotted(first)), parse_version(dotted(second))
    assert (a < b) == (padded[0] < padded[1])
    assert (a == b) == (padded[0] == padded[1])


@deterministic
@given(releases)
def test_stages_stand_in_the_order_of_pep_440(numbers: list[int]) -> None:
    release = dotted(numbers)
    suffixes = [
        ".dev1",
        "a1.dev1",
        "a1",
        "a2",
        "b1",
        "rc1.dev3",
        "rc1",
        "rc1.post1",
        "",
        ".post1.dev2",
        ".post1",
        ".post2",
    ]
    versions = [parse_version(release + suffix) for suffix in suffixes]
    assert all(before < after for before, after in pairwise(versions))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.0", "1"),
        ("v1.2", "1.2"),
        (" 1.2 ", "1.2"),
        ("1.0rc1", "1.0.c-1"),
        ("1.0-1", "1.0.post1"),
        ("1.0a", "1.0a0"),
    ],
)
def test_spellings_of_one_version_are_equal(one: str, other: str) -> None:
    assert parse_version(one) == parse_version(other)


def test_a_local_label_is_not_older_and_an_epoch_is_newer() -> None:
    assert parse_version("2.1.0+cu118") == parse_version("2.1.0")
    assert parse_version("1!0.1") > parse_version("99.0")


@pytest.mark.parametrize("text", ["", "latest", "1..2", "1.x", "1.0 beta!", ">=1.0", "1.0+", "\u0663.\u0661"])
def test_text_that_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"a version looks like '1\.26\.4'"):
        parse_version(text)


def test_a_number_is_no_version() -> None:
    with pytest.raises(TypeError, match="found float"):
        parse_version(1.26)  # type: ignore[arg-type]


def test_facts_are_those_of_this_process() -> None:
    facts = environment_facts()
    assert facts.python == platform.python_version()
    assert facts.numpy == np.__version__
    assert facts.implementation == platform.python_implementation()
    assert 1 <= facts.cores <= (os.cpu_count() or 1)
    assert facts.virtual_environment == (sys.prefix != sys.base_prefix)


def test_memory_that_the_system_does_not_tell_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert environment_facts().memory_bytes is None
    assert "Memory   unknown" in environment_report(())


def test_facts_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        environment_facts().cores = 64  # type: ignore[misc]


def test_installed_version_reads_metadata() -> None:
    assert installed_version("numpy") == metadata.version("numpy")
    assert installed_version(NOBODYS) is None


def test_a_requirement_that_is_met() -> None:
    verdict = check_requirement(Requirement("numpy", "1.0"))
    assert verdict == RequirementVerdict(Requirement("numpy", "1.0"), np.__version__)
    assert verdict.met
    assert not verdict.blocking
    assert str(verdict) == f"numpy: {np.__version__} is ready"


def test_something_missing_is_cured_by_installing() -> None:
    verdict = check_requirement(Requirement(NOBODYS, "1.5"))
    assert verdict.found is None
    assert verdict.blocking
    assert str(verdict) == (
        f'{NOBODYS}: version 1.5 or newer is needed, found none; run: python -m pip install "{NOBODYS}>=1.5"'
    )


def test_something_optional_never_blocks() -> None:
    verdict = check_requirement(Requirement(NOBODYS, "1.5", optional=True))
    assert not verdict.met
    assert not verdict.blocking


def test_something_old_is_cured_by_upgrading() -> None:
    verdict = check_requirement(Requirement("numpy", "99.1"))
    assert verdict.problem == f"version 99.1 or newer is needed, found {np.__version__}"
    assert verdict.cure == 'run: python -m pip install --upgrade "numpy>=99.1"'


def test_an_old_python_is_not_cured_by_pip() -> None:
    verdict = check_requirement(Requirement("python", "99"))
    assert verdict.blocking
    assert verdict.cure == "install Python 99 or newer and make a virtual environment with it"


def test_a_damaged_installation_is_noticed() -> None:
    verdict = check_requirement(Requirement("numpy", "1.0", module="a_module_that_nobody_wrote"))
    assert "recorded as installed, but its module cannot be found" in verdict.problem
    assert "--force-reinstall" in verdict.cure


def test_every_requirement_is_checked_also_after_a_failure() -> None:
    wanted = [Requirement(NOBODYS, "1"), Requirement("numpy", "99"), Requirement("python", "3.0")]
    assert [verdict.met for verdict in check_environment(wanted)] == [False, False, True]


def test_a_senseless_minimum_is_an_error() -> None:
    with pytest.raises(ValueError, match="found 'newest'"):
        check_requirement(Requirement("numpy", "newest"))


def test_the_course_needs_python_and_numpy_and_nothing_else() -> None:
    assert [needed.name for needed in COURSE_REQUIREMENTS if not needed.optional] == ["python", "numpy"]


def test_the_report_counts_what_blocks() -> None:
    wanted = [
        Requirement("numpy", "99"),
        Requirement(NOBODYS, "1"),
        Requirement("pip-of-nobody", "1", optional=True),
    ]
    lines = environment_report(wanted).splitlines()
    assert lines[-1] == "2 to cure before you begin"
    assert [line[:4] for line in lines[-4:-1]] == ["cure", "cure", "note"]
    assert environment_report([]).endswith("Ready to begin")


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: installed_version(None),
            TypeError,
            "a distribution is named by text that is not empty, found None",
        ),
        (
            lambda: installed_version(""),
            TypeError,
            "a distribution is named by text that is not empty, found ''",
        ),
        (
            lambda: check_environment(None),
            TypeError,
            "a collection of requirements is expected, found NoneType",
        ),
        (lambda: check_requirement("numpy"), TypeError, "a Requirement is expected, found str"),
        (lambda: check_environment(["numpy"]), TypeError, "a Requirement is expected, found str"),
    ],
)
def test_bad_input_is_answered_with_what_was_expected_and_found(
    call: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=re.escape(text)):
        call()
