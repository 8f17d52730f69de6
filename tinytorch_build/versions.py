"""What versions say (PEP 440): whether a constraint allows one, and whether one announces a break.

`packaging` is imported where a version is looked into: most runs look into none, and do not pay for it.
"""

from __future__ import annotations

import functools


@functools.lru_cache(maxsize=1 << 12)
def allows(specifier: str, version: str) -> bool:
    """Whether a constraint such as `>=1.0,<2` allows a version; the empty one allows all.

    Raises:
        ValueError: one of the two is not of the form that PEP 440 gives it.
    """
    if not specifier:
        return True
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(specifier).contains(version, prereleases=True)


def announces_break(old: str, new: str) -> bool:
    """Whether going from one version to another says that something may have been removed or changed.

    From 1.0 on the major number has to rise, below that the minor (or the major). What follows a
    pre-release may always break with it (Semantic Versioning 2.0.0, items 4, 8 and 9).

    Raises:
        ValueError: one of the two is no version.
    """
    from packaging.version import Version

    before, after = Version(old), Version(new)
    if before.is_prerelease:
        return after > before
    if before.major >= 1:
        return (after.epoch, after.major) > (before.epoch, before.major)
    return (after.epoch, after.major, after.minor) > (before.epoch, before.major, before.minor)


def next_break(old: str) -> str:
    """The lowest version after `old` that announces a break: `2.0.0` after `1.4.2`, `0.4.0` after `0.3.1`.

    Raises:
        ValueError: it is no version.
    """
    from packaging.version import Version

    before = Version(old)
    if before.is_prerelease:
        return before.base_version
    epoch = f"{before.epoch}!" if before.epoch else ""
    numbers = (before.major + 1, 0) if before.major >= 1 else (0, before.minor + 1)
    return f"{epoch}{numbers[0]}.{numbers[1]}.0"
