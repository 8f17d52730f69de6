"""The plan: which tasks there are, what each needs, and which of them are a module's gates. Pure data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from tinytorch_build.graph import closure
from tinytorch_build.model import CourseModule, Manifest, PackageStage, Stage

REPORT = "report"
"""The goal after whose run the page and the JUnit file are written, also if something failed."""


class TestKind(StrEnum):
    """What a file of inter-module tests is for; also the first part of its task's name."""

    __test__ = False

    INTEGRATION = "integration"
    """Guards the border between modules; a gate of the last of them."""
    SYSTEM = "system"
    """Runs whole pipelines over all modules."""
    VALIDATION = "validation"
    """States what must hold of the assembled package."""


@dataclass(frozen=True, slots=True)
class TestFile:
    """A file of tests that belongs to no single module.

    Attributes:
        path: POSIX path from the course's root.
        name: its path inside the folder of its kind, as task names show it.
        kind: which folder it lies in.
        modules: the modules that it imports, in course order; all of them for system and validation tests.
    """

    __test__ = False

    path: str
    name: str
    kind: TestKind
    modules: tuple[str, ...]

    @property
    def owner(self) -> str | None:
        """The module that this file is a gate of: the last that it imports, in course order."""
        if self.kind is not TestKind.INTEGRATION or not self.modules:
            return None
        return self.modules[-1]

    @property
    def task(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """One task of the run.

    Attributes:
        name: as doit shows it, such as `export:tensor`.
        doc: one sentence for `doit list`.
        needs: tasks that must have passed before this one may run.
        module: the module it works for, or None.
        stage: the stage of that module that it is, or None for test files and goals.
        test_file: the file of inter-module tests that it runs, or None.
        package_stage: what it does with the package as a whole, or None.
    """

    name: str
    doc: str
    needs: tuple[str, ...] = ()
    module: str | None = None
    stage: Stage | None = None
    test_file: TestFile | None = None
    package_stage: PackageStage | None = None

    @property
    def is_goal(self) -> bool:
        """Whether it only gathers other tasks and does nothing itself."""
        return self.stage is None and self.test_file is None and self.package_stage is None


@dataclass(frozen=True)
class Plan:
    """Every task of a course, in an order in which each stands after what it needs."""

    tasks: tuple[PlannedTask, ...]

    @cached_property
    def by_name(self) -> Mapping[str, PlannedTask]:
        return {task.name: task for task in self.tasks}

    def root_causes(self, name: str, failed: Iterable[str]) -> tuple[str, ...]:
        """The failed tasks that keep a task from running: those that themselves needed nothing that failed.

        Args:
            name: a task that was not tried.
            failed: the tasks that were tried and failed.
        """
        wanted, seen, found = frozenset(failed), {name}, []
        waiting = list(self.by_name[name].needs)
        while waiting:
            current = waiting.pop()
            if current in seen:
                continue
            seen.add(current)
            if current in wanted:
                found.append(current)
            else:
                waiting.extend(self.by_name[current].needs)
        position = {task.name: index for index, task in enumerate(self.tasks)}
        return tuple(sorted(found, key=position.__getitem__))


def task_name(stage: Stage, module: str) -> str:
    """`export:tensor`: how a module's task is called."""
    return f"{stage}:{module}"


def make_plan(manifest: Manifest, test_files: Sequence[TestFile]) -> Plan:
    """The tasks of a course.

    A module's import-check waits for the gates of the modules that it declares, so that a fault is
    reported once, where it is, and everything after it says by what it is blocked.

    Args:
        manifest: the course.
        test_files: its inter-module tests.
    """
    owned: dict[str, list[TestFile]] = {module.name: [] for module in manifest.modules}
    for file in test_files:
        if file.owner is not None:
            owned[file.owner].append(file)
    tasks: list[PlannedTask] = []
    for module in manifest.modules:
        tasks += _module_tasks(module, owned)
    tasks += _goals(manifest, test_files)
    tasks += _package_tasks()
    return Plan(tuple(tasks))


def gates(module: str, owned: Mapping[str, Sequence[TestFile]]) -> tuple[str, ...]:
    """The tasks that must have passed before a module is fit to stand in the package or to be built upon."""
    return (task_name(Stage.TEST, module), *(file.task for file in owned[module]))


def _module_tasks(module: CourseModule, owned: Mapping[str, Sequence[TestFile]]) -> Iterator[PlannedTask]:
    name = module.name
    convert, export, check, test, publish = (task_name(stage, name) for stage in Stage)
    yield PlannedTask(convert, f"Check the source of {name} and make its notebook.", (), name, Stage.CONVERT)
    yield PlannedTask(
        export, f"Export the notebook of {name} into the staging folder.", (convert,), name, Stage.EXPORT
    )
    ready = tuple(gate for dependency in module.depends_on for gate in gates(dependency, owned))
    yield PlannedTask(
        check,
        f"Check the export of {name} and import it alone in an isolated process.",
        (export, *ready),
        name,
        Stage.IMPORT_CHECK,
    )
    yield PlannedTask(test, f"Run the inline cells and unit tests of {name}.", (check,), name, Stage.TEST)
    for file in owned[name]:
        needs = tuple(task_name(Stage.TEST, other) for other in file.modules)
        yield PlannedTask(
            file.task, f"Test {_listed(file.modules)} together ({file.path}).", needs, test_file=file
        )
    yield PlannedTask(
        publish,
        f"Put {name} into the package, with everything that passed together with it.",
        gates(name, owned),
        name,
        Stage.PUBLISH,
    )


def _goals(manifest: Manifest, test_files: Sequence[TestFile]) -> Iterator[PlannedTask]:
    for module in manifest.modules:
        needs = (
            task_name(Stage.PUBLISH, module.name),
            *(f"validate:{dependency}" for dependency in module.depends_on),
        )
        yield PlannedTask(f"validate:{module.name}", f"Validate {module.name} and what it needs.", needs)
    unowned = [file for file in test_files if file.owner is None and file.kind is TestKind.INTEGRATION]
    for file in unowned:
        yield PlannedTask(file.task, f"Run {file.path}, which imports no module.", (), test_file=file)
    everything = (
        *(f"validate:{module.name}" for module in manifest.modules),
        *(file.task for file in unowned),
    )
    yield PlannedTask(
        "validate", "Take every module from its source into the package (the default).", everything
    )
    for kind, doc in (
        (TestKind.SYSTEM, "Run the system tests over the validated modules."),
        (TestKind.VALIDATION, "Run the validation tests over the validated modules."),
    ):
        files = [file for file in test_files if file.kind is kind]
        for file in files:
            yield PlannedTask(file.task, f"Run {file.path} over all modules.", ("validate",), test_file=file)
        yield PlannedTask(kind.value, doc, ("validate", *(file.task for file in files)))


_PACKAGE_TASKS: Mapping[PackageStage, tuple[str, tuple[str, ...]]] = {
    PackageStage.BOUNDARIES: (
        "Compare what the published modules import of each other with what they declare.",
        ("validate",),
    ),
    PackageStage.COMPATIBILITY: (
        "Compare the public names of the package with those of the last release.",
        ("validate",),
    ),
    PackageStage.BUILD: (
        "Make wheel and source archive of the package, if every test has passed.",
        (
            "validate",
            PackageStage.BOUNDARIES,
            PackageStage.COMPATIBILITY,
            TestKind.SYSTEM,
            TestKind.VALIDATION,
        ),
    ),
    PackageStage.VERIFY: (
        "Install the wheel in a fresh environment and test it there; install a fresh clone.",
        (PackageStage.BUILD,),
    ),
}
"""What is done with the package as a whole: a sentence for `doit list`, and what must have passed before."""


def _package_tasks() -> Iterator[PlannedTask]:
    for stage, (doc, needs) in _PACKAGE_TASKS.items():
        yield PlannedTask(stage.value, doc, tuple(str(need) for need in needs), package_stage=stage)
    yield PlannedTask(
        REPORT,
        "Do all of this, and say what it came to in build/report/index.html and junit.xml.",
        (PackageStage.VERIFY.value,),
    )


def _listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def visible_modules(manifest: Manifest, names: Iterable[str]) -> tuple[str, ...]:
    """The named modules and everything that these need to be imported, in course order."""
    depends = {module.name: module.depends_on for module in manifest.modules}
    wanted = set(names)
    for name in tuple(wanted):
        wanted.update(closure(depends, name))
    return tuple(module.name for module in manifest.modules if module.name in wanted)
