"""`doit report` of a course that fails, and whose output is hostile: page, JUnit file and terminal."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.build_system.geometry_course import GeometryCourse

PAGE, JUNIT = "build/report/index.html", "build/report/junit.xml"
HOSTILE = r"</script><script>alert(1)</script> \x1b[31mred\x1b[0m \x00 ]]> \ud800 \x1b]0;title\x07"


class Scripts(HTMLParser):
    """How many scripts a page has."""

    count = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.count += tag == "script"


@pytest.fixture
def course(tmp_path: Path) -> GeometryCourse:
    """A module whose test cell prints and raises what would harm a page, a terminal or an XML file."""
    course = GeometryCourse.write(tmp_path / "course")
    course.edit(
        "lessons/03_areas/areas_dev.py",
        "assert area(Square(3)) == 9",
        f'import sys\nsys.stdout.reconfigure(errors="surrogatepass")\nprint("{HOSTILE}")\nraise ValueError("{HOSTILE}")',
    )
    return course


def test_a_failing_and_hostile_course(course: GeometryCourse) -> None:
    done = course.doit("report")
    assert done.returncode not in (0, 3), done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert "Export validation:              blocked" in lines
    assert "Integration results:            FAILED" in lines
    assert "    Integration failed, blocking release" in lines
    assert "    Package validation requires these tests to pass: test:areas" in lines
    assert "    not ready for student testing: blocked by test:areas" in lines
    assert lines[-1] == f"the report is in {PAGE}, {JUNIT}"
    report = json.loads(course.text("build/report/report.json"))
    assert report["outcome"] == "failed"

    page = course.text(PAGE)
    assert f"geometry 0.3.0, {report['finished'][:16].replace('T', ' ')} UTC" in page
    scripts = Scripts()
    scripts.feed(page)
    assert scripts.count == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\\x00" in page
    assert not any(letter in page for letter in "\x00\x1b\x07")

    root = ET.fromstring((course.root / JUNIT).read_bytes())
    failure = root.find("testsuite[@name='areas']/testcase[@name='test']/failure")
    assert failure is not None
    assert failure.text is not None
    assert "<script>alert(1)</script>" in failure.text
    assert "lessons/03_areas/areas_dev.py:" in failure.text
    assert root.get("failures") == "1"


def test_other_runs_leave_the_page_alone_and_do_not_pay_for_it(course: GeometryCourse) -> None:
    course.run("report")
    page = course.text(PAGE)
    course.run("validate")
    assert course.text(PAGE) == page
    assert "the report is in" not in course.said
    loaded = "import sys, runpy; sys.argv = ['doit', 'convert']\ntry: runpy.run_module('doit', run_name='__main__')\n"
    loaded += "except SystemExit: pass\nprint('jinja2' in sys.modules, 'xml.etree' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", loaded],
        cwd=course.root,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.splitlines()[-1] == "False False"


def test_a_broken_manifest_leaves_no_page_of_an_earlier_run(course: GeometryCourse) -> None:
    course.run("report")
    course.edit("modules.toml", 'name = "geometry"', 'name = "geometry"\nunknown = 1')
    assert course.doit("report").returncode == 3
    assert not (course.root / PAGE).exists()
    assert not (course.root / JUNIT).exists()
