"""Runs the system and validation tests against an installed package, from a copy outside the repository."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from tinytorch_build.model import Manifest, Problem
from tinytorch_build.plan import TestFile
from tinytorch_build.programs import Command, Finished, Programs
from tinytorch_build.verify.attempts import AttemptFailed, NotApplicable
from tinytorch_build.verify.environments import Environment
from tinytorch_build.workers.environment import FIXED

_START_SECONDS = 60.0
"""Wall-clock time for pytest itself, over the limit for each file."""


def run_tests_outside(
    manifest: Manifest,
    files: Sequence[TestFile],
    environment: Environment,
    work: Path,
    programs: Programs,
) -> str:
    """Run test files in an environment where the package is installed.

    A pass is what pytest's record of the run says, with at least one test passed in each file; an exit
    status alone is worth nothing, since a test can end the process with any.

    Args:
        manifest: the course.
        files: the test files.
        environment: where package and test tools are installed.
        work: a folder outside the repository; the tests are copied into it.
        programs: runs pytest.

    Returns:
        a remark on how many tests passed.

    Raises:
        AttemptFailed: a test failed, or a file brought no pass.
        NotApplicable: there are no such files.
    """
    if not files:
        raise NotApplicable("the course has no system and no validation tests")
    copy, record = work / "copy of the tests", work / "junit.xml"
    copy_tests(manifest, files, copy)
    (work / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    record.unlink(missing_ok=True)
    places: Command = ["-c", work / "pytest.ini", "--rootdir", copy, "--confcutdir", copy]
    manners = ["--import-mode", "importlib", "-p", "no:cacheprovider", "--color=no", "--tb=short"]
    records = ["-o", "junit_family=xunit1", f"--junitxml={record}"]
    pytest: Command = [environment.python, "-I", "-m", "pytest", *places, *manners, *records]
    seconds = _START_SECONDS + manifest.limits.test_seconds * len(files)
    command: Command = [*pytest, *(file.path for file in files)]
    finished = programs.run(command, copy, seconds=seconds, extra=FIXED)  # as they ran in the workers
    return judge_record(record, [file.path for file in files], finished)


def copy_tests(manifest: Manifest, files: Sequence[TestFile], goal: Path) -> None:
    """Copy the folders of test files, with the `conftest.py`s above them and nothing else of the course."""
    root = manifest.root
    folders = {manifest.tests.system, manifest.tests.validation}
    for folder in sorted(folders):
        if (root / folder).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(root / folder, goal / folder, ignore=ignored, dirs_exist_ok=True)
    for parent in {parent for file in files for parent in PurePosixPath(file.path).parents}:
        if (root / parent / "conftest.py").is_file():
            (goal / parent).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / parent / "conftest.py", goal / parent / "conftest.py")


def judge_record(record: Path, expected: Sequence[str], finished: Finished) -> str:
    """A remark on pytest's record of a run in which everything passed.

    Args:
        record: the JUnit file (family xunit1) that pytest should have written.
        expected: the test files, each of which must have brought a pass.
        finished: how pytest ended.

    Raises:
        AttemptFailed: it tells of failures, lacks files, or is not there.
    """
    cases = _cases(record)
    if cases is None:
        raise AttemptFailed(
            Problem("tests-not-finished", f"the run of the tests brought no record: {finished.how}"),
            output=finished.output,
        )
    problems = [*_failures(cases), *_without_a_pass(cases, expected)]
    if not problems and not finished.succeeded:
        problems.append(Problem("tests-not-finished", f"every test passed, and still pytest: {finished.how}"))
    if problems:
        raise AttemptFailed(*problems, output=finished.output)
    return f"{sum(_passed(case) for case in cases)} tests passed in {len(expected)} files"


def _cases(record: Path) -> list[ElementTree.Element] | None:
    try:
        return list(ElementTree.parse(record).getroot().iter("testcase"))
    except (FileNotFoundError, ElementTree.ParseError):
        return None


def _passed(case: ElementTree.Element) -> bool:
    return all(case.find(kind) is None for kind in ("failure", "error", "skipped"))


def _failures(cases: Sequence[ElementTree.Element]) -> Iterator[Problem]:
    for case in cases:
        for kind in ("failure", "error"):
            found = case.find(kind)
            if found is not None:
                said = (found.get("message") or found.text or kind).strip().splitlines()
                line = case.get("line")
                yield Problem(
                    "test-of-the-installed-package",
                    f"{case.get('name')} fails with the installed package: {said[0] if said else kind}",
                    case.get("file"),
                    int(line) + 1 if line is not None else None,
                )


def _without_a_pass(cases: Sequence[ElementTree.Element], expected: Sequence[str]) -> Iterator[Problem]:
    met = {case.get("file") for case in cases}
    passed = {case.get("file") for case in cases if _passed(case)}
    for file in expected:
        if file not in met:
            yield Problem("tests-not-run", f"no test of {file} was run", file)
        elif file not in passed:
            yield Problem("tests-not-run", f"no test of {file} passed", file)
