"""File names of distributions, held against the library that defines them."""

from __future__ import annotations

import pytest
from packaging.utils import parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

from tinytorch_build.model import Package
from tinytorch_build.wheel.names import distribution_names


@pytest.mark.parametrize("name", ["tinytorch", "TinyTorch", "my__course", "a_b"])
@pytest.mark.parametrize(
    "version", ["0.1.0", "1", "01.02", "1.0rc1", "1.0-post3", "2!1.0", "1.0+Local.7", "v3"]
)
def test_names_are_what_packaging_reads(name: str, version: str) -> None:
    sdist, wheel = distribution_names(Package(name, version))
    assert parse_sdist_filename(sdist) == parse_wheel_filename(wheel)[:2]
    assert parse_wheel_filename(wheel)[1] == Version(version)


def test_plain_names() -> None:
    assert distribution_names(Package("tinytorch", "0.1.0")) == (
        "tinytorch-0.1.0.tar.gz",
        "tinytorch-0.1.0-py3-none-any.whl",
    )
