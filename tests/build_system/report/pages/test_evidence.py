"""What is read from the course for a report, and what is not."""

from __future__ import annotations

from pathlib import Path

from tests.build_system.builders import manifest_of
from tinytorch_build.layout import Layout
from tinytorch_build.model import Outcome, Problem
from tinytorch_build.plan import make_plan
from tinytorch_build.report import TaskReport, assemble
from tinytorch_build.report.pages.evidence import LOG_BYTES, Evidence, Line, gather


def evidence_of(root: Path, tasks: dict[str, TaskReport], *problems: Problem) -> Evidence:
    manifest = manifest_of({"a": []}, root)
    report = assemble(manifest, make_plan(manifest, ()), tasks, (), problems=problems)
    return gather(Layout.of(manifest), manifest, report)


def put(root: Path, name: str, data: bytes) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_lines_around_a_problem(tmp_path: Path) -> None:
    put(tmp_path, "src/a.py", b"one\ntwo\nthree\nfour\n")
    found = evidence_of(tmp_path, {}, Problem("c", "m", "src/a.py", 1)).excerpts
    assert found == {("src/a.py", 1): (Line(1, "one", True), Line(2, "two", False), Line(3, "three", False))}


def test_what_lies_outside_the_course_is_not_read(tmp_path: Path) -> None:
    put(tmp_path, "secret.txt", b"a password\n")
    course = tmp_path / "course"
    course.mkdir()
    (course / "link.py").symlink_to(tmp_path / "secret.txt")
    problems = [
        Problem("c", "m", name, 1)
        for name in ("../secret.txt", str(tmp_path / "secret.txt"), "link.py", "a\x00b", "absent.py", ".")
    ]
    assert evidence_of(course, {}, *problems).excerpts == {}


def test_a_line_that_is_not_there_has_no_excerpt(tmp_path: Path) -> None:
    put(tmp_path, "a.py", b"one\n")
    assert (
        evidence_of(tmp_path, {}, Problem("c", "m", "a.py", 99), Problem("c", "m", "a.py", 0)).excerpts == {}
    )


def test_of_a_long_log_the_end_is_shown_from_a_whole_line(tmp_path: Path) -> None:
    text = "".join(f"line {number}\n" for number in range(10_000))
    put(tmp_path, "build/logs/a.log", text.encode())
    task = TaskReport(Outcome.FAILED, log="build/logs/a.log")
    shown = evidence_of(tmp_path, {"test:a": task}).logs["build/logs/a.log"]
    first, second, *_ = shown.splitlines()
    assert first == f"… {len(text) - LOG_BYTES} bytes before this are in the file …"
    assert second.startswith("line ")
    assert shown.endswith("line 9999\n")


def test_a_short_log_is_shown_whole_and_an_absent_one_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, "build/logs/a.log", b"said \xff\n")
    tasks = {
        "test:a": TaskReport(Outcome.FAILED, log="build/logs/a.log"),
        "export:a": TaskReport(Outcome.FAILED, log="build/logs/gone.log"),
    }
    assert evidence_of(tmp_path, tasks).logs == {"build/logs/a.log": "said \ufffd\n"}


def test_docstrings_are_those_of_the_valid_export_else_of_the_published_one(tmp_path: Path) -> None:
    put(tmp_path, "build/staging/demo/core/a.py", b'def new():\n    """It is."""\n')
    put(tmp_path, "demo/core/a.py", b"def old(): ...\n")
    exported = evidence_of(tmp_path, {"export:a": TaskReport(Outcome.RAN)}).docstrings["a"]
    assert exported.documented == ("new",)
    failed = evidence_of(tmp_path, {"export:a": TaskReport(Outcome.FAILED)}).docstrings["a"]
    assert failed.missing == ("old",)


def test_without_an_export_there_is_no_coverage(tmp_path: Path) -> None:
    assert evidence_of(tmp_path, {}).docstrings == {}
