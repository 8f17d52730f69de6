"""What is wrong with a name, version, constraint or requirement: one sentence's end and a cure, or nothing.

`packaging` judges what is not plain. It takes 35 ms to import, about half of what doit itself takes to start,
and nearly every manifest is plain throughout: hence the expressions for plain forms, which accept nothing
that `packaging` refuses.
"""

from __future__ import annotations

import keyword
import re
import sys
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

_LONGEST = 300
_NUMBERS = r"[0-9]{1,9}(?:\.[0-9]{1,9})*"
_CLAUSE = rf"(?:(?:==|!=|<=|>=|<|>) *{_NUMBERS}|~= *[0-9]{{1,9}}(?:\.[0-9]{{1,9}})+)"
_PLAIN_VERSION = re.compile(_NUMBERS)
_PLAIN_CONSTRAINT = re.compile(rf"(?:{_CLAUSE}(?: *, *{_CLAUSE})*)?")
_PLAIN_REQUIREMENT = re.compile(
    rf"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])? *(?:{_CLAUSE}(?: *, *{_CLAUSE})*)?"
)
_DISTRIBUTION = re.compile(r"[A-Za-z](?:[A-Za-z0-9_]*[A-Za-z0-9])?")

_COMMON_LICENSES = frozenset(
    ("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "GPL-3.0-or-later", "MIT", "MPL-2.0")
)

LONGEST_NAME = 200
"""Bytes of a file's or folder's name: file systems hold 255, and the build adds endings of its own."""

LONGEST_PATH = 1000
"""Bytes of a path from the course's root: systems hold 4,096, and the root stands before it."""

ALL = "all"
"""In `depends`: every module declared above."""


class Fault(NamedTuple):
    """Why a value will not do: `reason` ends a sentence that begins with the value."""

    reason: str
    cure: str


_PLAIN_NAME = "use letters, digits and underscores, and begin with a letter"


def name_fault(name: str) -> Fault | None:
    """Why code could not use a name."""
    if not name:
        return Fault("which is empty", _PLAIN_NAME)
    if not name.isidentifier():
        return Fault("which is no Python identifier", _PLAIN_NAME)
    if keyword.iskeyword(name):
        return Fault("which is a keyword of Python", "choose another name")
    if len(name.encode()) > LONGEST_NAME:
        return Fault(f"which is longer than {LONGEST_NAME} bytes", "choose a shorter name")
    if unicodedata.normalize("NFKC", name) != name:  # the form in which Python looks a name up
        return Fault("which Python would look up in another Unicode form", _PLAIN_NAME)
    return None


def module_fault(name: str) -> Fault | None:
    """Why a module cannot have a name."""
    if name == ALL:
        return Fault("which stands for every module in depends", "choose another name")
    return name_fault(name)


def package_fault(name: str) -> Fault | None:
    """Why a package cannot have a name: its wheel and its folder bear it, too."""
    fault = name_fault(name)
    if fault is not None:
        return fault
    if not _DISTRIBUTION.fullmatch(name):
        return Fault(
            "which no wheel can be called", "use ASCII letters, digits and, between them, underscores"
        )
    if name.casefold() in {known.casefold() for known in sys.stdlib_module_names}:
        return Fault(
            "which is a module of Python's standard library", "choose a name that nothing else bears"
        )
    if name.casefold() in ("build", "tests", __name__.partition(".")[0]):
        return Fault("which is taken by the build", "choose a name that nothing else bears")
    return None


def target_fault(target: str) -> Fault | None:
    """Why a target cannot be a module inside the package."""
    if len(target) > LONGEST_PATH:
        return Fault(f"which is longer than {LONGEST_PATH} characters", "choose a shorter target")
    for part in target.split("."):
        fault = name_fault(part) if part or not target else Fault("which has an empty part", "")
        if fault is not None:
            which = f" in the part {part[:60]!r}" if part and part != target else ""
            return Fault(f"{fault.reason}{which}", "write identifiers with dots between, such as core.NAME")
        if part.startswith("__") and part.endswith("__"):
            return Fault("a name that Python keeps for itself", "choose another name")
    return None


def version_fault(text: str) -> Fault | None:
    """Why a text is no PEP 440 version."""
    if _PLAIN_VERSION.fullmatch(text):
        return None
    from packaging.version import Version

    return _judged(Version, text, "which is no version", "write numbers with dots, such as 1.0.0 (PEP 440)")


def constraint_fault(text: str, example: str) -> Fault | None:
    """Why a text is no PEP 440 version constraint; the empty one is fine."""
    if _PLAIN_CONSTRAINT.fullmatch(text):
        return None
    from packaging.specifiers import SpecifierSet

    return _judged(SpecifierSet, text, "which is no version constraint", f"write it as {example} (PEP 440)")


def requirement_fault(text: str) -> Fault | None:
    """Why a text is no PEP 508 requirement."""
    if _PLAIN_REQUIREMENT.fullmatch(text):
        return None
    from packaging.requirements import Requirement

    return _judged(Requirement, text, "which is no requirement", "write it as NAME or NAME>=1.0,<2 (PEP 508)")


def description_fault(text: str) -> Fault | None:
    """Why a text is no summary of a package."""
    if not text.strip() or not text.isprintable():
        return Fault("which is no line of text", "describe the package in one line")
    if len(text) > _LONGEST:
        return Fault(f"which is longer than {_LONGEST} characters", "describe the package in one line")
    return None


def license_fault(text: str) -> Fault | None:
    """Why a text is no SPDX licence expression."""
    if text in _COMMON_LICENSES:
        return None
    from packaging.licenses import canonicalize_license_expression

    cure = "write an SPDX expression, such as MIT or Apache-2.0"
    fault = _judged(canonicalize_license_expression, text, "which is no licence expression", cure)
    if fault is None and canonicalize_license_expression(text) != text:
        return Fault("which is not in its normal form", f"write {canonicalize_license_expression(text)}")
    return fault


def same_distribution(name: str, requirement: str) -> bool:
    """Whether a requirement asks for the distribution of that name, by the rules of PEP 503."""
    found = re.match(r"[A-Za-z0-9._-]*", requirement.strip())
    return found is not None and _canonical(found[0]) == _canonical(name)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _judged(parse: Callable[[str], object], text: str, reason: str, cure: str) -> Fault | None:
    if len(text) > _LONGEST:
        return Fault(f"{reason} (longer than {_LONGEST} characters)", cure)
    try:
        parse(text)
    except (ValueError, RecursionError):  # deeply nested markers; all other errors are ValueErrors
        return Fault(reason, cure)
    return None
