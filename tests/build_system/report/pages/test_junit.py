"""The JUnit file is well-formed whatever course code printed, and counts what it holds."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

from hypothesis import given

from tests.build_system.report.pages.reports import EVIDENCE, HOSTILE, failing, ready
from tests.build_system.report.pages.test_visible import ANY_TEXT
from tinytorch_build.model import Outcome, Problem
from tinytorch_build.report import Report
from tinytorch_build.report.pages.evidence import Evidence
from tinytorch_build.report.pages.junit import junit_xml
from tinytorch_build.report.pages.visible import visible


def parsed(report: Report, evidence: Evidence = EVIDENCE) -> ET.Element:
    return ET.fromstring(junit_xml("demo", report, evidence))


def case(root: ET.Element, suite: str, name: str) -> ET.Element:
    found = root.find(f"testsuite[@name='{suite}']/testcase[@name='{name}']")
    assert found is not None
    return found


def test_suites_and_cases() -> None:
    root = parsed(ready())
    suites = [suite.get("name") for suite in root]
    assert suites[:2] == ["setup", "tensor"]
    assert suites[-4:] == ["integration", "system", "validation", "package"]
    stages = [case.get("name") for case in root[0]]
    assert stages == ["convert", "export", "import-check", "test", "publish"]
    assert (root.get("failures"), root.get("skipped")) == ("0", "0")
    assert root.get("tests") == str(len(root.findall(".//testcase")))


def test_a_failure_says_what_where_and_how_to_cure_it() -> None:
    root = parsed(failing())
    failure = case(root, "layers", "import-check").find("failure")
    assert failure is not None
    assert failure.get("message") == "`np` is not defined"
    assert failure.get("type") == "undefined-name"
    assert failure.text is not None
    assert "src/01_layers/layers_dev.py:12" in failure.text
    assert "cure: import it" in failure.text
    log = case(root, "layers", "import-check").findtext("system-out")
    assert log is not None
    assert "NameError" in log
    assert root.get("failures") == "1"


def test_blocked_and_not_run_are_skipped_with_the_reason() -> None:
    root = parsed(failing())
    skipped = case(root, "dense", "test").find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "blocked by import-check:layers"
    assert root.get("skipped") == str(len(root.findall(".//skipped")))
    nothing = parsed(Report(Outcome.PASSED))
    assert nothing.get("tests") == "0"


def test_what_concerns_the_whole_is_a_case() -> None:
    root = parsed(ready(problems=(Problem("damaged", "the package was damaged"),)))
    failure = case(root, "package", "the package as a whole").find("failure")
    assert failure is not None
    assert failure.get("message") == "the package was damaged"


def test_more_than_one_problem_is_counted() -> None:
    report = failing()
    layers = report.modules["layers"]
    (stage, task), *_ = [(stage, task) for stage, task in layers.stages.items() if task.problems]
    twice = replace(task, problems=task.problems * 2)
    modules = {**report.modules, "layers": replace(layers, stages={**layers.stages, stage: twice})}
    failure = case(parsed(replace(report, modules=modules)), "layers", "import-check").find("failure")
    assert failure is not None
    assert failure.get("message") == "`np` is not defined (and 1 more)"


def test_hostile_output_stays_text() -> None:
    log = "build/logs/export/layers.log"
    data = junit_xml("demo", failing(HOSTILE, log), Evidence(logs={log: HOSTILE}))
    assert b"]]>" not in data
    assert not any(byte < 32 and byte not in b"\n\t" for byte in data)
    root = ET.fromstring(data)
    assert case(root, "layers", "import-check").findtext("system-out") == visible(HOSTILE)
    assert root.find(".//script") is None


@given(ANY_TEXT)
def test_any_text_comes_back_as_it_is_shown(text: str) -> None:
    log = "build/logs/export/layers.log"
    root = parsed(failing(text, log), Evidence(logs={log: text}))
    failure = case(root, "layers", "import-check").find("failure")
    assert failure is not None
    assert failure.text is not None
    assert visible(text) in failure.text
    assert case(root, "layers", "import-check").findtext("system-out") == visible(text)


def test_the_same_report_gives_the_same_bytes() -> None:
    assert junit_xml("demo", failing(), EVIDENCE) == junit_xml("demo", failing(), EVIDENCE)
