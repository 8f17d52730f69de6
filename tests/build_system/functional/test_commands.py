"""doit and tito as a user runs them: from any folder, with typos, with a broken manifest."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.build_system.geometry_course import GeometryCourse
from tinytorch_build.run_lock import RunLock

MINE = """

def task_mine():
    return {"actions": ["exit 3"]}
"""

SLOW = """\
import time

from geometry.base.shapes import Square


def test_side() -> None:
    time.sleep(60)
    assert Square(4).side == 4
"""


@pytest.fixture
def course(tmp_path: Path) -> GeometryCourse:
    return GeometryCourse.write(tmp_path / "Kurs=mit Leerzeichen é")


def test_a_course_builds_from_an_unrelated_folder(course: GeometryCourse, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = course.doit("-f", str(course.root / "dodo.py"), cwd=elsewhere)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(elsewhere.iterdir()) == []
    assert (course.root / "geometry/summary.py").is_file()
    report = json.loads(course.text("build/report/report.json"))
    assert report["schema"] == 1
    assert report["outcome"] == "passed"
    assert report["modules"]["shapes"]["published"] is True
    assert report["modules"]["shapes"]["stages"]["convert"]["outcome"] == "ran"
    assert report["integration"]["checks/integration/test_shapes_areas.py"]["modules"] == ["shapes", "areas"]


def test_doit_list_explains_every_task(course: GeometryCourse) -> None:
    done = course.doit("list", "--all")
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert lines["convert:shapes"] == "Check the source of shapes and make its notebook."
    assert lines["validate"].startswith("Take every module from its source into the package")
    assert lines["validate:areas"] == "Validate areas and what it needs."
    assert all(sentence.endswith(".") or sentence.endswith(").") for sentence in lines.values())


def test_validate_of_one_module_leaves_the_others_alone(course: GeometryCourse) -> None:
    course.run("validate:areas")
    assert course.outcomes() == {
        "shapes": "passed",
        "colours": "not-run",
        "areas": "passed",
        "summary": "not-run",
    }
    assert "geometry/colours.py" not in course.published()


def test_a_broken_manifest_ends_with_status_3_and_no_traceback(course: GeometryCourse) -> None:
    course.edit("modules.toml", 'depends = ["shapes"]', 'depends = ["shape"]')
    course.edit("modules.toml", 'target = "colours"', 'traget = "colours"')
    for done in (course.doit(), course.tito("test", "shapes")):
        assert done.returncode == 3
        assert "Traceback" not in done.stdout + done.stderr
        assert "did you mean 'shapes'" in done.stderr
        assert "traget" in done.stderr


def test_a_broken_manifest_does_not_leave_the_last_report_behind(course: GeometryCourse) -> None:
    course.run("validate:shapes")
    course.edit("modules.toml", 'target = "colours"', 'traget = "colours"')
    assert course.doit().returncode == 3
    report = json.loads(course.text("build/report/report.json"))
    assert report["outcome"] == "failed"
    assert [problem["check"] for problem in report["problems"]] == ["unknown-key"]


def test_a_file_whose_name_fits_twice_is_one_test_file(course: GeometryCourse) -> None:
    text = course.text("checks/integration/test_shapes_areas.py")
    course.put("checks/integration/test_areas_test.py", text)
    done = course.doit("list", "--all")
    assert done.stdout.count("integration:test_areas_test.py") == 1


def test_a_task_of_the_courses_own_is_not_silent(course: GeometryCourse) -> None:
    course.put("dodo.py", course.text("dodo.py") + MINE)
    done = course.doit("mine")
    assert done.returncode not in (0, 3)
    assert "task mine failed: " in done.stdout
    assert json.loads(course.text("build/report/report.json"))["outcome"] == "failed"


def test_nothing_is_cleaned_while_a_run_is_under_way(course: GeometryCourse) -> None:
    course.run("export:shapes")
    lock = RunLock(course.root / "build/run.lock")
    lock.acquire("doit validate")
    staged = course.digests("build/staging")
    refused = [course.doit("clean"), course.doit(), course.doit("-r", "console", "test:shapes")]
    lock.release()
    assert all(done.returncode != 0 for done in refused)
    assert all("`doit validate`, process" in done.stdout + done.stderr for done in refused)
    assert course.digests("build/staging") == staged
    assert course.doit("clean", "export:shapes").returncode == 0
    assert course.digests("build/staging") == {}


@pytest.mark.parametrize("command", ["validate:shapes", "clean"])
def test_whatever_follows_a_killed_run_clears_away_what_it_had_begun(
    course: GeometryCourse, command: str
) -> None:
    course.put("build/run.lock.holder", '{"what": "doit", "pid": 1, "since": "2026-01-01 00:00:00"}')
    course.put("build/staging/geometry/.colours.py.x.unfinished", "half of it")
    assert course.doit(command).returncode == 0
    assert not (course.root / "build/staging/geometry/.colours.py.x.unfinished").exists()


def test_sigterm_ends_a_run_without_traceback_or_litter(course: GeometryCourse) -> None:
    course.put("checks/unit/test_shapes.py", SLOW)
    running = subprocess.Popen(
        [sys.executable, "-m", "doit"],
        cwd=course.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with running:
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith("shapes") and "import-check" in line:
                break
        running.terminate()
        said = running.stdout.read()
    assert running.returncode != 0
    assert "Traceback" not in said
    assert "interrupted; the package is as the last complete step left it" in said
    assert json.loads(course.text("build/report/report.json"))["outcome"] == "failed"
    assert course.digests("geometry").keys().isdisjoint({"geometry/base/shapes.py"})
    course.put("checks/unit/test_shapes.py", SLOW.replace("time.sleep(60)", "pass"))
    assert course.doit().returncode == 0


def test_tito_runs_the_same_tasks(course: GeometryCourse) -> None:
    done = course.tito("export", "areas")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (course.root / "build/staging/geometry/base/areas.py").is_file()
    assert not (course.root / "build/staging/geometry/summary.py").exists()
    assert course.tito("test", "unit", "integration").returncode == 0
    assert course.tito("export", "--all", cwd=course.root / "lessons").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export", "shape"], "ERROR: 'shape' is no module of this course; did you mean 'shapes'?\n"),
        (["export"], "ERROR: tito export wants the names of modules, or --all\n"),
        (
            ["test", "intergration"],
            "ERROR: 'intergration' is no module of this course; did you mean 'integration'?\n",
        ),
    ],
)
def test_tito_answers_typos(course: GeometryCourse, arguments: list[str], said: str) -> None:
    done = course.tito(*arguments)
    assert (done.returncode, done.stderr) == (3, said)


def test_tito_help_names_every_command_and_every_action(tmp_path: Path) -> None:
    """It needs no course: a student asks before there is one."""
    course = GeometryCourse(tmp_path)
    for arguments, choices in (
        ((), ("export", "test", "package", "notebook")),
        (("package",), ("validate", "test", "build", "verify", "report")),
        (("notebook",), ("diff", "accept", "merge", "discard")),
    ):
        done = course.tito(*arguments, "--help")
        assert done.returncode == 0
        entries = re.findall(r"(?m)^    (\w+) +\w+", done.stdout)
        assert entries == list(choices), "each with a sentence"


def test_tito_outside_a_course(tmp_path: Path) -> None:
    done = GeometryCourse(tmp_path).tito("test", "unit")
    assert done.returncode == 3
    assert done.stderr.startswith(f"ERROR: no modules.toml in {tmp_path} or above")


def test_a_course_adds_a_check_of_its_own(course: GeometryCourse) -> None:
    course.put(
        "dodo.py",
        "from tinytorch_build.model import Problem\n"
        "from tinytorch_build.tasks import for_course\n\n\n"
        "def no_todo(given):\n"
        '    """Exported code is finished."""\n'
        "    lines = given.source_text.splitlines()\n"
        "    return [\n"
        '        Problem("no-todo", "a TODO is left", given.source, number, "finish it")\n'
        '        for number, line in enumerate(lines, 1) if "TODO" in line\n'
        "    ]\n\n\n"
        "DOIT_CONFIG, task_course = for_course(__file__, checks=[no_todo])\n",
    )
    assert course.doit().returncode == 0
    course.edit("lessons/02_colours/colours_dev.py", "return f", "# TODO nicer\n    return f")
    done = course.doit()
    assert done.returncode not in (0, 3)
    assert "Module colours export validation failed: a TODO is left" in done.stdout
    assert "lessons/02_colours/colours_dev.py:8  [no-todo]" in done.stdout


def test_a_run_that_leaves_out_what_is_ignored_is_no_success(course: GeometryCourse) -> None:
    assert course.doit("ignore", "test:shapes").returncode == 0
    ended = course.doit("build")
    assert ended.returncode == 3, ended.stdout
    assert "doit has been told to ignore test:shapes, so nothing was done that needs it" in ended.stdout
    assert "cure `doit forget test:shapes`" in ended.stdout
    assert not (course.root / "dist").exists()
