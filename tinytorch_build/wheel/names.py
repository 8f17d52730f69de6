"""How a package's distributions are called."""

from __future__ import annotations

import re

from tinytorch_build.model import Package

_NORMAL_VERSION = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*")


def distribution_names(package: Package) -> tuple[str, str]:
    """The file names of a package's source archive and wheel.

    As PEP 625 and the specification of binary distributions want them: the name in lower case with
    underscores, the version in its normal form.
    """
    name = re.sub(r"[-_.]+", "_", package.name).lower()
    stem = f"{name}-{_normal(package.version)}"
    return f"{stem}.tar.gz", f"{stem}-py3-none-any.whl"


def _normal(version: str) -> str:
    if _NORMAL_VERSION.fullmatch(version):
        return version
    from packaging.version import Version  # 35 ms, which every run would pay

    return str(Version(version))
