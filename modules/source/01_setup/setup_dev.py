# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Module 01: Setup
#
# Before the first tensor is multiplied, one question has to be answered: is this computer ready?
# Sooner or later every project meets the sentence "but it works on my machine". The cure is to write
# down what *my machine* is, and to compare it with what the project needs.
#
# This module does both, with the standard library alone:
#
# | you write | and get |
# |---|---|
# | `environment_facts()` | what this machine is: Python, platform, NumPy, cores, memory |
# | `parse_version("1.26.4")` | a version that compares correctly |
# | `check_environment()` | one verdict per requirement: met, or what is wrong and how to cure it |
# | `environment_report()` | both as text, to be pasted into a question or a bug report |
#
# It is also a gentle start into how the course is made. Cells marked `#| export` become the package
# `tinytorch`; the cells between them explain and test. What a module exports must stand on its own.

# %%
#| default_exp core.setup

# %%
#| export
import os
import platform
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

# %% [markdown]
# ## 1. Versions are not text and not numbers
#
# Which NumPy is newer, 1.9 or 1.26? As text, `"1.9" > "1.26"`, since `"9" > "2"`. As decimal numbers,
# 1.9 is greater than 1.26, too. Both answers are wrong: a version is a *sequence of whole numbers*,
# compared from the left, and 9 < 26.
#
# Python tuples compare in exactly this way: `(1, 9) < (1, 26)`. Three details remain, all settled by
# the standard for Python's versions (PEP 440, now part of the *Version specifiers* specification of
# the Python Packaging User Guide):
#
# 1. **Missing numbers are zeros**: 2.0 and 2.0.0 are the same version. So trailing zeros are dropped
#    before the comparison.
# 2. **Pre-releases come before the release**: `2.0.0rc1 < 2.0.0`. The tests of a candidate are not
#    finished, so someone who asks for 2.0 does not have it yet. The order of stages is
#    development < alpha < beta < candidate < final < post-release.
# 3. **A local label** such as `+cu118` says how a version was built and does not make it older.
#
# A worked example, with the stages coded as the numbers -4 to 1:
#
#     "1.9"        epoch 0, release (1, 9),  stage ( 0, 0)
#     "1.26.0"     epoch 0, release (1, 26), stage ( 0, 0)      later: 26 > 9
#     "2.0.0rc1"   epoch 0, release (2,),    stage (-1, 1)
#     "2.0"        epoch 0, release (2,),    stage ( 0, 0)      later: 0 > -1
#
# (An *epoch*, as in `1!2.0`, is for projects that changed their scheme of numbering. It is rare, and
# costs one number.)
#
# The class below is a frozen dataclass with `order=True`: Python writes the comparisons, field by
# field from top to bottom. That is why the order of the fields matters.

# %%
#| export
_VERSION_PATTERN = re.compile(
    r"""
    v?
    (?:(?P<epoch>\d+)!)?
    (?P<release>\d+(?:\.\d+)*)
    (?:[-_.]?(?P<stage>alpha|beta|preview|pre|rc|a|b|c)[-_.]?(?P<stage_number>\d*))?
    (?P<post>[-_.]?(?:post|rev|r)[-_.]?(?P<post_number>\d*)|-(?P<bare_post>\d+))?
    (?P<dev>[-_.]?dev[-_.]?(?P<dev_number>\d*))?
    (?:\+[a-z0-9]+(?:[-_.][a-z0-9]+)*)?
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_STAGES = {"a": -3, "alpha": -3, "b": -2, "beta": -2, "c": -1, "rc": -1, "pre": -1, "preview": -1}
_NO_DEV = sys.maxsize  # within one stage, a development version comes before the thing it leads to


@dataclass(frozen=True, order=True, slots=True)
class ReleaseVersion:
    """A version in a form that compares as PEP 440 orders versions.

    Attributes:
        epoch: The number before `!`; 0 for nearly every project.
        release: The numbers between the dots, without trailing zeros.
        stage: Kind and number: kind -4 development, -3 alpha, -2 beta, -1 candidate, 0 final.
        post: The number of the post-release; -1 for none.
        dev: The number of the development version; a very large number for none.
    """

    epoch: int
    release: tuple[int, ...]
    stage: tuple[int, int]
    post: int
    dev: int


def parse_version(text: str) -> ReleaseVersion:
    """Read a version so that it can be compared with others.

    Args:
        text: A version as PEP 440 defines it, such as "3.11.4", "2.0.0rc1" or "1.0+local".

    Returns:
        A value that orders correctly; "2.0" and "2.0.0" are equal.

    Raises:
        ValueError: If the text is no such version.
        TypeError: If it is no text.
    """
    if not isinstance(text, str):
        raise TypeError(f"a version is text such as '1.26.4', found {type(text).__name__}")
    match = _VERSION_PATTERN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"a version looks like '1.26.4' or '2.0.0rc1' (PEP 440), found {text!r}")
    numbers = [int(number) for number in match["release"].split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    has_dev, has_post = match["dev"] is not None, match["post"] is not None
    stage = (0, 0)
    if match["stage"] is not None:
        stage = (_STAGES[match["stage"].lower()], int(match["stage_number"] or 0))
    elif has_dev and not has_post:
        stage = (-4, 0)
    return ReleaseVersion(
        epoch=int(match["epoch"] or 0),
        release=tuple(numbers),
        stage=stage,
        post=int(match["post_number"] or match["bare_post"] or 0) if has_post else -1,
        dev=int(match["dev_number"] or 0) if has_dev else _NO_DEV,
    )


# %%
assert "1.9" > "1.26"  # the trap: as text
assert parse_version("1.9") < parse_version("1.26")
assert parse_version("2.0") == parse_version("2.0.0")
in_order = [
    "1.0.dev1",
    "1.0a1.dev2",
    "1.0a1",
    "1.0b2",
    "1.0rc1",
    "1.0",
    "1.0.post1.dev1",
    "1.0.post1",
    "1.0.1",
    "1!0.1",
]
assert sorted(in_order, key=parse_version) == in_order
assert parse_version("2.1.0+cu118") == parse_version("2.1")

try:
    parse_version("latest")
except ValueError as error:
    message = str(error)
else:
    raise AssertionError("a word is no version")
assert "found 'latest'" in message

# %% [markdown]
# ## 2. Facts about this machine
#
# What does somebody need to know who wants to reproduce your result or your problem?
#
# - **Python's version and implementation.** CPython 3.11 and PyPy 3.11 differ in speed and in their
#   garbage collection.
# - **The platform.** Rounding of `exp` or `tanh` may differ in the last digit between processors.
# - **NumPy's version.** NumPy 2 changed how dtypes combine.
# - **Cores.** Not how many the machine has, but how many *this process may use*: in a container or on
#   a shared server the two differ, and starting one worker for every core of the machine makes
#   everything slower.
# - **Memory.** A `float32` takes 4 bytes, so a model of 100 million parameters needs 0.4 GB for its
#   weights, as much again for the gradients, and twice as much again for the Adam optimizer.
# - **Virtual environment or not.** Installing into the system's own Python is a way to break it.
#
# Some facts cannot be had everywhere: Windows does not tell its memory through `os.sysconf`. An
# unknown fact is `None`, never a guess, and never an exception: a report that fails on the broken
# machine is of no use.
#
# To learn a package's version we read its *metadata* (`importlib.metadata`), the small text file that
# the installer left beside the package. Importing the package and asking for `__version__` would run
# its code. That is slow, it can fail, and not all packages have the attribute.


# %%
#| export
@dataclass(frozen=True, slots=True)
class EnvironmentFacts:
    """What a reader of a result or of a bug report needs to know about a machine.

    Attributes:
        python: Version of Python, such as "3.11.4".
        implementation: Which Python it is, such as "CPython".
        system: Operating system and its release.
        machine: Architecture of the processor, such as "x86_64".
        numpy: Version of NumPy, or None if it is not installed.
        cores: How many processor cores this process may use, at least 1.
        memory_bytes: Physical memory in bytes, or None where the system does not tell.
        virtual_environment: Whether this Python runs in a virtual environment.
    """

    python: str
    implementation: str
    system: str
    machine: str
    numpy: str | None
    cores: int
    memory_bytes: int | None
    virtual_environment: bool


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution from its metadata, or None if there is none."""
    if not isinstance(distribution, str) or not distribution:
        raise TypeError(f"a distribution is named by text that is not empty, found {distribution!r}")
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _usable_cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # Linux: respects containers and taskset
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _physical_memory() -> int | None:
    """Return the machine's memory in bytes, or None where the system does not tell."""
    if not hasattr(os, "sysconf"):
        return None
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):  # the name is unknown, or the value is not available
        return None
    return size if size > 0 else None


def environment_facts() -> EnvironmentFacts:
    """Collect the facts about the Python and the machine that run this.

    Returns:
        The facts. What cannot be found out is None.
    """
    return EnvironmentFacts(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        system=f"{platform.system()} {platform.release()}".strip() or "unknown",
        machine=platform.machine() or "unknown",
        numpy=installed_version("numpy"),
        cores=_usable_cores(),
        memory_bytes=_physical_memory(),
        virtual_environment=sys.prefix != sys.base_prefix,
    )


# %%
facts = environment_facts()
assert parse_version(facts.python).release[:2] == sys.version_info[:2]
assert facts.cores >= 1
assert facts.memory_bytes is None or facts.memory_bytes > 1_000_000
assert installed_version("a-package-that-nobody-wrote") is None

# %% [markdown]
# ## 3. From facts to verdicts
#
# A requirement says what is needed, and a verdict says whether it is there. A good verdict answers
# three questions in one sentence each: *what* was expected, *what* was found, and *what to do now*.
# Compare:
#
#     AssertionError
#
#     numpy: version 1.26 or newer is needed, found 1.21.0; run: python -m pip install --upgrade "numpy>=1.26"
#
# There are four ways for a package to be:
#
# | state | how we know |
# |---|---|
# | ready | metadata are there, the version is new enough, the module can be found |
# | missing | no metadata |
# | too old | the version compares as smaller |
# | damaged | metadata say it is installed, but no module of that name can be found |
#
# The last happens after an interrupted installation. `find_spec` looks for the module without
# running it.
#
# A requirement may be *optional*: the course's package needs NumPy alone, while the notebooks and tests
# ask for more. Something optional that is missing is worth a word, but does not stop anyone. A common
# mistake in such checks is to stop at the first problem. The reader cures it, runs again, and meets the
# next one. So we look at everything and report everything.


# %%
#| export
@dataclass(frozen=True, slots=True)
class Requirement:
    """Something that must be installed: Python itself or a distribution.

    Attributes:
        name: Name of the distribution, or "python".
        minimum: The oldest version that will do.
        optional: Whether the course can be followed without it.
        module: Name under which it is imported, if that is not `name`.
    """

    name: str
    minimum: str
    optional: bool = False
    module: str = ""


@dataclass(frozen=True, slots=True)
class RequirementVerdict:
    """Whether a requirement is met, and if not, why not and what to do.

    Attributes:
        requirement: What was asked for.
        found: The version that is there, or None.
        problem: What is wrong, in one sentence; empty if the requirement is met.
        cure: What to do about it; empty if the requirement is met.
    """

    requirement: Requirement
    found: str | None
    problem: str = ""
    cure: str = ""

    @property
    def met(self) -> bool:
        """Whether the requirement is fulfilled."""
        return not self.problem

    @property
    def blocking(self) -> bool:
        """Whether the course cannot be followed until this is cured."""
        return not self.met and not self.requirement.optional

    def __str__(self) -> str:
        if self.met:
            return f"{self.requirement.name}: {self.found} is ready"
        return f"{self.requirement.name}: {self.problem}; {self.cure}"


COURSE_REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("python", "3.11"),
    Requirement("numpy", "1.26"),
    Requirement("jupytext", "1.16", optional=True),
    Requirement("pytest", "7.4", optional=True),
)


def _found_version(requirement: Requirement) -> str | None:
    """Return the version that is there, or None."""
    if requirement.name == "python":
        return platform.python_version()
    return installed_version(requirement.name)


def _install_command(requirement: Requirement, option: str) -> str:
    """Return what to type to get a distribution."""
    return f'run: python -m pip install {option}"{requirement.name}>={requirement.minimum}"'


def check_requirement(requirement: Requirement) -> RequirementVerdict:
    """Compare a requirement with what is installed.

    Args:
        requirement: What is needed.

    Returns:
        The verdict; its problem and cure are empty if the requirement is met.

    Raises:
        ValueError: If the requirement's own minimum is no version.
        TypeError: If it is no Requirement.
    """
    if not isinstance(requirement, Requirement):
        raise TypeError(f"a Requirement is expected, found {type(requirement).__name__}")
    minimum = parse_version(requirement.minimum)
    found = _found_version(requirement)
    needed = f"version {requirement.minimum} or newer is needed"
    if found is None:
        problem, cure = f"{needed}, found none", _install_command(requirement, "")
    elif parse_version(found) < minimum:
        problem, cure = f"{needed}, found {found}", _install_command(requirement, "--upgrade ")
        if requirement.name == "python":
            cure = f"install Python {requirement.minimum} or newer and make a virtual environment with it"
    elif requirement.name != "python" and find_spec(requirement.module or requirement.name) is None:
        problem = f"version {found} is recorded as installed, but its module cannot be found"
        cure = _install_command(requirement, "--force-reinstall ")
    else:
        return RequirementVerdict(requirement, found)
    return RequirementVerdict(requirement, found, problem, cure)


def check_environment(
    requirements: Iterable[Requirement] = COURSE_REQUIREMENTS,
) -> tuple[RequirementVerdict, ...]:
    """Check every requirement, also after one that is not met.

    Args:
        requirements: What is needed; by default what the course needs.

    Returns:
        One verdict per requirement, in the same order.

    Raises:
        ValueError: If the minimum of a requirement is no version.
        TypeError: If something is no requirement.
    """
    if not isinstance(requirements, Iterable):
        raise TypeError(f"a collection of requirements is expected, found {type(requirements).__name__}")
    return tuple(check_requirement(requirement) for requirement in requirements)


# %%
verdicts = check_environment()
assert [verdict.requirement.name for verdict in verdicts][:2] == ["python", "numpy"]
assert not any(verdict.blocking for verdict in verdicts), [str(verdict) for verdict in verdicts]

future = check_requirement(Requirement("numpy", "99.0"))
assert not future.met
assert future.blocking
assert "version 99.0 or newer is needed, found " in str(future)
assert str(future).endswith('run: python -m pip install --upgrade "numpy>=99.0"')

absent = check_requirement(Requirement("a-package-that-nobody-wrote", "1.0", optional=True))
assert absent.found is None
assert not absent.blocking
damaged = check_requirement(Requirement("numpy", "1.0", module="a_module_that_nobody_wrote"))
assert "cannot be found" in damaged.problem

# %% [markdown]
# ## 4. A report for people
#
# The last function turns facts and verdicts into text. It returns the text instead of printing it:
# a function that returns can be tested, logged or mailed, and one that prints can only be watched.
#
# Memory is shown in GiB ($2^{30}$ bytes), the unit in which memory is built. Disks are sold in GB
# ($10^9$ bytes), which is 7 percent less. Confusing the two is a classic.


# %%
#| export
def environment_report(requirements: Iterable[Requirement] = COURSE_REQUIREMENTS) -> str:
    """Describe this machine and what is missing on it.

    Args:
        requirements: What is needed; by default what the course needs.

    Returns:
        Several lines of text: the facts, one verdict per line, and a conclusion.
    """
    facts = environment_facts()
    verdicts = check_environment(requirements)
    memory = "unknown" if facts.memory_bytes is None else f"{facts.memory_bytes / 2**30:.1f} GiB"
    blocking = sum(verdict.blocking for verdict in verdicts)
    conclusion = f"{blocking} to cure before you begin" if blocking else "Ready to begin"
    return "\n".join(
        [
            f"Python   {facts.python} ({facts.implementation})",
            f"System   {facts.system} on {facts.machine}",
            f"NumPy    {facts.numpy or 'not installed'}",
            f"Cores    {facts.cores}",
            f"Memory   {memory}",
            f"Virtual environment: {'yes' if facts.virtual_environment else 'no'}",
            *(
                f"{'ok  ' if verdict.met else 'cure' if verdict.blocking else 'note'} {verdict}"
                for verdict in verdicts
            ),
            conclusion,
        ]
    )


# %%
report = environment_report()
assert report.splitlines()[0].startswith("Python   3.")
assert report.endswith("Ready to begin")
assert environment_report([Requirement("numpy", "99")]).endswith("1 to cure before you begin")

# %% [markdown]
# ## Summary
#
# - A version is a sequence of numbers, with a stage. Text and decimal numbers compare wrongly.
# - Facts that cannot be had are `None`; a check reports all problems, each with its cure.
# - Metadata tell a version without running anybody's code.
# - Frozen dataclasses are good carriers of facts: they compare, they print, nobody changes them.
#
# ## Exercises
#
# 1. Add the free space on the disk to the facts (`shutil.disk_usage`). What should the report say if the
#    current folder was deleted meanwhile?
# 2. Requirements such as `numpy>=1.26,<3` have an upper limit as well. Extend `Requirement`. Is 3.0rc1
#    below 3? The order says yes; PEP 440 says that `<3` excludes it. Why is that wise?
# 3. `_usable_cores` does not see a container's CPU *quota* (a share of time, not a set of cores). Find out
#    where Linux keeps it, and take the smaller number.
