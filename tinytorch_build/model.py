"""The values of the build: manifest, modules, problems and outcomes. Frozen, and able to print themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any


class Word(StrEnum):
    """A choice among words. It travels between processes as its class and the word.

    Python 3.11.2, which Debian 12 has, would have it travel as a call of `getattr` instead, and the build
    calls nothing that a worker names.
    """

    def __reduce_ex__(self, proto: object) -> tuple[Any, ...]:
        return type(self), (self.value,)


class Severity(Word):
    """Whether a problem fails its stage (`error`) or is only shown (`warning`)."""

    ERROR = "error"
    WARNING = "warning"


class Stage(StrEnum):
    """The steps that a module takes on its way into the package, in their order."""

    CONVERT = "convert"
    EXPORT = "export"
    IMPORT_CHECK = "import-check"
    TEST = "test"
    PUBLISH = "publish"


class PackageStage(StrEnum):
    """The steps that the package takes as a whole, once its modules stand in it, in their order."""

    BOUNDARIES = "boundaries"
    COMPATIBILITY = "compatibility"
    BUILD = "build"
    VERIFY = "verify"


class Outcome(StrEnum):
    """What became of a task, or of a module as a whole, in one run."""

    PASSED = "passed"
    """A module: every stage ran well or was up to date."""
    RAN = "ran"
    """A stage: it was executed and succeeded."""
    UP_TO_DATE = "up-to-date"
    """A stage: nothing that goes into it has changed since it last succeeded."""
    FAILED = "failed"
    BLOCKED = "blocked"
    """It was not tried, because something that it needs failed."""
    NOT_RUN = "not-run"
    """It was not asked for, or the run ended before its turn."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and how to put it right.

    Attributes:
        check: the name of the check that found it, such as `undefined-name`.
        message: what was found, in one sentence without a full stop.
        file: path from the course's root in POSIX form, or None where no file is to blame.
        line: 1-based line in `file`, or None where it cannot be known.
        cure: what to do about it.
        severity: an error fails its stage, a warning is only shown.
    """

    check: str
    message: str
    file: str | None = None
    line: int | None = None
    cure: str = ""
    severity: Severity = Severity.ERROR

    @property
    def place(self) -> str:
        """`file:line`, `file`, or the empty string."""
        if self.file is None:
            return ""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    def __str__(self) -> str:
        place = f"{self.place}: " if self.place else ""
        kind = "warning: " if self.severity is Severity.WARNING else ""
        cure = f"\n  cure: {self.cure}" if self.cure else ""
        return f"{place}{kind}{self.message} [{self.check}]{cure}"

    def to_json(self) -> dict[str, str | int | None]:
        """The form in which `report.json` and doit's database hold a problem."""
        return {
            "check": self.check,
            "severity": self.severity.value,
            "file": self.file,
            "line": self.line,
            "message": self.message,
            "cure": self.cure,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Problem:
        """The problem that `to_json` wrote."""
        return cls(
            check=data["check"],
            message=data["message"],
            file=data["file"],
            line=data["line"],
            cure=data["cure"],
            severity=Severity(data["severity"]),
        )


def errors(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Those of the problems that fail a stage."""
    return tuple(problem for problem in problems if problem.severity is Severity.ERROR)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a process that runs course code may use.

    Attributes:
        import_seconds: wall-clock seconds for the import of one module.
        test_seconds: wall-clock seconds for the inline cells, and again for one test run.
        memory_mb: mebibytes of private memory.
    """

    import_seconds: float = 20.0
    test_seconds: float = 120.0
    memory_mb: int = 2048


@dataclass(frozen=True, slots=True)
class Dependency:
    """A module that another one declares, with an optional PEP 440 constraint such as `>=1.0,<2`."""

    name: str
    specifier: str = ""

    def __str__(self) -> str:
        return f"{self.name}{self.specifier}"


@dataclass(frozen=True, slots=True)
class CourseModule:
    """One module of the course, as the manifest declares it.

    Attributes:
        name: its name in the manifest and in task names.
        source: the literate source, POSIX path from the course's root.
        target: dotted name inside the package, such as `core.tensor`.
        depends: the modules that it may import, in course order (`all` is already spelled out).
        version: PEP 440 version of the module.
        provides: names that its export must define.
        tests: unit test files, POSIX paths from the course's root.
        limits: what its processes may use.
        line: 1-based line of its table in the manifest.
    """

    name: str
    source: str
    target: str
    depends: tuple[Dependency, ...] = ()
    version: str = "0.1.0"
    provides: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    line: int | None = None

    @property
    def depends_on(self) -> tuple[str, ...]:
        """The names of the modules that it declares."""
        return tuple(dependency.name for dependency in self.depends)


@dataclass(frozen=True, slots=True)
class Package:
    """The package that the course adds up to.

    Attributes:
        name: import name, and name of the folder it is published to.
        version: PEP 440 version of the whole.
        requires_python: PEP 440 constraint on Python.
        dependencies: PEP 508 requirements: what exported code may import beside the standard library.
        include: folder of hand-written files that belong in the package as they are, or None.
        description: what it is, in one line; for the wheel.
        readme: file that the wheel's long description is read from, POSIX path from the course's root; a list
            of the modules, if there is none.
        license: SPDX expression of its licence, or the empty string.
        license_files: files that go with the wheel as its licence, POSIX paths from the course's root.
    """

    name: str
    version: str = "0.1.0"
    requires_python: str = ">=3.11"
    dependencies: tuple[str, ...] = ()
    include: str | None = None
    description: str = ""
    readme: str | None = None
    license: str = ""
    license_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TestFolders:
    """Where the tests live that belong to no single module.

    Attributes:
        integration: folder of tests between modules, POSIX path from the course's root.
        system: folder of tests of whole pipelines.
        validation: folder of tests of what must hold of the assembled package.
        requires: PEP 508 requirements of system and validation tests, which are installed beside the wheel.
    """

    __test__ = False  # so that pytest, which collects by name, leaves it alone

    integration: str = "tests/integration"
    system: str = "tests/system"
    validation: str = "tests/validation"
    requires: tuple[str, ...] = ("pytest",)


@dataclass(frozen=True)
class Manifest:
    """`modules.toml`, read and found to be sound. Course order is a topological order of the dependencies.

    Attributes:
        root: the course's root: absolute folder of the manifest.
        package: the package that the course adds up to.
        modules: every module, in course order.
        tests: where the inter-module tests live.
        limits: the course's defaults, which a module may override.
    """

    root: Path
    package: Package
    modules: tuple[CourseModule, ...]
    tests: TestFolders = field(default_factory=TestFolders)
    limits: Limits = field(default_factory=Limits)

    @cached_property
    def by_name(self) -> Mapping[str, CourseModule]:
        """Every module under its name, in course order."""
        return {module.name: module for module in self.modules}

    def __getitem__(self, name: str) -> CourseModule:
        return self.by_name[name]

    def dotted(self, module: CourseModule) -> str:
        """The full import name of a module: `tinytorch.core.tensor`."""
        return f"{self.package.name}.{module.target}"

    def declares_all(self, module: CourseModule) -> bool:
        """Whether a module's `depends` says "all", as far as can be told: two or more modules, all above."""
        above = list(self.by_name)[: list(self.by_name).index(module.name)]
        plain = not any(dependency.specifier for dependency in module.depends)
        return len(above) > 1 and plain and set(module.depends_on) == set(above)

    @cached_property
    def by_dotted(self) -> Mapping[str, CourseModule]:
        """Every module under its full import name."""
        return {self.dotted(module): module for module in self.modules}
