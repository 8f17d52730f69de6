"""The two trials of a release: the wheel in an environment of its own, the repository in a fresh clone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tinytorch_build.model import Manifest, Problem
from tinytorch_build.plan import TestFile
from tinytorch_build.programs import Command, Programs
from tinytorch_build.verify.attempts import Attempt, AttemptFailed, Line, NotApplicable, attempt_all
from tinytorch_build.verify.clones import Checkout, clone, find_checkout
from tinytorch_build.verify.environments import Environment, Installer
from tinytorch_build.verify.imports import import_everything
from tinytorch_build.verify.tests_outside import run_tests_outside

_LIST_SECONDS = 120.0


@dataclass
class WheelTrial:
    """A wheel, installed in an environment that holds nothing else, imported and tested.

    Attributes:
        manifest: the course.
        wheel: the wheel.
        names: every name that the package should give.
        files: the test files to run against it.
        installer: makes the environment.
        programs: runs what is installed.
        work: an empty folder outside the repository.
    """

    manifest: Manifest
    wheel: Path
    names: Sequence[str]
    files: Sequence[TestFile]
    installer: Installer
    programs: Programs
    work: Path
    _environment: Environment | None = field(default=None, init=False)

    def run(self) -> Line:
        """Try it; what was found."""
        return attempt_all(
            (
                Attempt("install the wheel in a fresh environment", self._install),
                Attempt("import everything that it holds", self._import),
                Attempt("install the test tools", self._equip),
                Attempt("run system and validation tests against it", self._test),
            )
        )

    @property
    def environment(self) -> Environment:
        assert self._environment is not None, "nothing is tried before there is an environment"
        return self._environment

    def _install(self) -> str:
        self._environment = self.installer.create(self.work / "environment")
        self.installer.install(self.environment, [self.wheel], self.work)
        return f"{self.wheel.name}, by {self.installer.name}"

    def _import(self) -> str:
        home = self.environment.folder
        return import_everything(self.manifest, self.names, self.environment, home, self.work, self.programs)

    def _equip(self) -> str:
        if not self.files:
            raise NotApplicable("the course has no system and no validation tests")
        requires = self.manifest.tests.requires
        self.installer.install(self.environment, requires, self.work)
        return ", ".join(requires)

    def _test(self) -> str:
        return run_tests_outside(self.manifest, self.files, self.environment, self.work, self.programs)


@dataclass
class CloneTrial:
    """The repository, freshly cloned and installed in place, as those who work on the course have it.

    Attributes:
        manifest: the course.
        names: every name that the package should give.
        installer: makes the environment.
        programs: runs what is installed.
        work: an empty folder outside the repository.
    """

    manifest: Manifest
    names: Sequence[str]
    installer: Installer
    programs: Programs
    work: Path
    _checkout: Checkout | None = field(default=None, init=False)
    _root: Path = field(default=Path(), init=False)
    _environment: Environment | None = field(default=None, init=False)

    def run(self) -> Line:
        """Try it; what was found."""
        return attempt_all(
            (
                Attempt("clone the repository", self._clone),
                Attempt("install the clone in place", self._install),
                Attempt("import everything from the clone", self._import),
                Attempt("list the clone's tasks", self._list),
            )
        )

    @property
    def uncommitted(self) -> int:
        """How many files the clone lacks or has otherwise, because they are not committed."""
        return self._checkout.uncommitted if self._checkout is not None else 0

    def _clone(self) -> str:
        self._checkout = find_checkout(self.manifest.root, self.programs)
        self._root = clone(self._checkout, self.work / "a fresh clone", self.programs)
        if not (self._root / "pyproject.toml").is_file():
            raise NotApplicable("the repository has no pyproject.toml, so it cannot be installed in place")
        return f"commit {self._checkout.commit[:12]}"

    def _install(self) -> str:
        self._environment = self.installer.create(self.work / "environment of the clone")
        self.installer.install(self._environment, ["-e", self._root], self._root)
        return f"in place (-e), by {self.installer.name}"

    def _import(self) -> str:
        assert self._environment is not None
        return import_everything(
            self.manifest, self.names, self._environment, self._root, self.work, self.programs
        ).partition(";")[0]

    def _list(self) -> str:
        assert self._environment is not None
        if not (self._root / "dodo.py").is_file():
            raise NotApplicable("the course has no dodo.py")
        command: Command = [self._environment.python, "-m", "doit", "list"]
        finished = self.programs.run(command, self._root, seconds=_LIST_SECONDS)
        if finished.output.rstrip().endswith("No module named doit"):
            raise NotApplicable("what the clone installs does not bring doit")
        if not finished.succeeded:
            problem = Problem(
                "clone-tasks",
                f"`doit list` fails in a fresh clone: {finished.last_words or finished.how}",
                cure="see the log; is everything committed that the course needs?",
            )
            raise AttemptFailed(problem, output=finished.output)
        return f"{len(finished.output.splitlines())} tasks"
