"""The wiring: from a course's folder to doit's tasks, and to a run of them as a plain function."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from doit import get_var
from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain
from doit.exceptions import InvalidDodoFile

from tinytorch_build.doit_plugins.backend import SqliteBackend
from tinytorch_build.doit_plugins.course_task import CourseTask
from tinytorch_build.doit_plugins.reporter import CourseReporter
from tinytorch_build.errors import CourseError, ManifestError
from tinytorch_build.files import withdraw
from tinytorch_build.layout import MANIFEST, Layout
from tinytorch_build.manifest import load_manifest
from tinytorch_build.model import Outcome, Problem
from tinytorch_build.plan import make_plan
from tinytorch_build.refusals import Refusal
from tinytorch_build.report.outcome import Report, write_report
from tinytorch_build.session import Session
from tinytorch_build.test_files import find_test_files

if TYPE_CHECKING:
    from tinytorch_build.stages.custom_checks import CustomCheck

GROUPS = {
    "convert": "Check sources and make their notebooks.",
    "export": "Export notebooks into the staging folder.",
    "import-check": "Check exports and import each alone in an isolated process.",
    "test": "Run inline cells and unit tests.",
    "integration": "Run the tests between modules.",
    "publish": "Put what passed together into the package.",
}
"""The groups of tasks that no goal of the plan stands for, each with a sentence for `doit list`."""


def open_session(root: Path, checks: Sequence[CustomCheck] = (), against: str = "") -> Session:
    """The session of a course.

    Args:
        root: the course's root, the folder of `modules.toml`.
        checks: the course's own checks.
        against: what to compare the package with: a tag, or the path of a wheel; empty for the last release.

    Raises:
        ManifestError: with everything that is wrong with the manifest.
        CourseError: a folder of the course cannot be read.
    """
    try:
        manifest = load_manifest(root / MANIFEST)
        test_files = find_test_files(manifest)
    except ManifestError as error:
        _report_unusable(root, error.problems)
        raise
    except OSError as error:
        refusal = Refusal.of(error, root)
        _report_unusable(root, [refusal.problem("the course cannot be read")])
        raise CourseError(f"the course cannot be read: {refusal}") from error
    return Session(manifest, make_plan(manifest, test_files), checks, against)


def _report_unusable(root: Path, problems: Sequence[Problem]) -> None:
    """An earlier run's report must not stay behind as if it were this one's."""
    layout = Layout(root, "")
    for page in (layout.page, layout.junit):  # there is no course that they could show
        withdraw(page)
    try:
        if layout.report.exists():
            write_report(layout.report, Report(Outcome.FAILED, problems=tuple(problems)))
    except OSError:
        withdraw(layout.report)


def for_course(
    dodo_file: str, checks: Sequence[CustomCheck] = (), against: str | None = None
) -> tuple[dict[str, Any], Callable[[], Iterator[dict[str, Any]]]]:
    """What a course's `dodo.py` needs, in two lines:

        from tinytorch_build.tasks import for_course
        DOIT_CONFIG, task_course = for_course(__file__)

    Args:
        dodo_file: the path of the dodo file, which lies beside `modules.toml`.
        checks: the course's own checks: functions from `CustomCheckInput` to a list of problems.
        against: what to compare the package with: a tag, or the path of a wheel; if left out, what the
            command line says (`doit build against=v0.1.0`), else the last release.

    Raises:
        InvalidDodoFile: the manifest cannot be used; doit shows the message and ends with status 3.
    """
    root = Path(dodo_file).absolute().parent
    try:
        named = get_var("against") if against is None else against
        session = open_session(root, checks, str(named or ""))
    except CourseError as error:
        raise InvalidDodoFile(str(error)) from None

    def task_course() -> Iterator[dict[str, Any]]:
        return doit_tasks(session)

    return doit_config(session.layout), task_course


def doit_config(layout: Layout) -> dict[str, Any]:
    """How doit runs a course: to the end, in threads, with our database and reporter."""
    # Python 3.11 fills this table without a lock, so two threads that ask first get half of it; ruff's
    # finder is one that asks. The tasks run in threads, so it is filled before there are any.
    sysconfig.get_config_vars()
    return {
        "backend": "course",
        "dep_file": str(layout.database),
        "reporter": CourseReporter,
        "default_tasks": ["validate"],
        "continue": True,
        "num_process": os.cpu_count() or 1,
        "par_type": "thread",
        "verbosity": 0,
    }


def doit_tasks(session: Session) -> Iterator[dict[str, Any]]:
    """The tasks of a course, as doit wants them."""
    yield from ({"basename": name, "name": None, "doc": doc} for name, doc in GROUPS.items())
    goals = [task for task in session.plan.tasks if task.is_goal]
    for task in goals:
        if ":" not in task.name:
            yield {"basename": task.name, "name": None, "doc": task.doc, "task_dep": list(task.needs)}
    for task in session.plan.tasks:
        basename, _, name = task.name.partition(":")
        if not task.is_goal:
            yield CourseTask.make(session, task).to_doit()
        elif name:
            yield {
                "basename": basename,
                "name": name,
                "doc": task.doc,
                "actions": None,
                "task_dep": list(task.needs),
            }


def validate(
    course_root: Path | str,
    tasks: Sequence[str] = ("validate",),
    *,
    checks: Sequence[CustomCheck] = (),
    against: str = "",
    stream: TextIO | None = None,
) -> Report:
    """Run tasks of a course through doit and say what they came to.

    Args:
        course_root: the folder of `modules.toml`.
        tasks: names of doit tasks.
        checks: the course's own checks.
        against: what to compare the package with: a tag, or the path of a wheel; empty for the last release.
        stream: where the run is shown; standard output by default.

    Returns:
        the report, which is also written to `build/report/report.json`.

    Raises:
        ManifestError: with everything that is wrong with the manifest.
        CourseError: the run could not begin, because another one is under way or a task has no such name.
    """
    session = open_session(Path(course_root).absolute(), checks, against)
    reporter = CourseReporter(stream or sys.stdout, {})
    namespace = {
        "DOIT_CONFIG": {**doit_config(session.layout), "reporter": reporter},
        "task_course": lambda: doit_tasks(session),
    }
    extra = {"BACKEND": {"course": f"{SqliteBackend.__module__}:{SqliteBackend.__name__}"}}
    status = DoitMain(ModuleTaskLoader(namespace), config_filenames=(), extra_config=extra).run(
        ["run", *tasks]
    )
    if reporter.report is None:
        raise CourseError(f"the run of {', '.join(tasks)} could not begin (status {status})")
    return reporter.report
