"""The report in JUnit's XML, as CI servers read it: a suite for each module, a case for each task."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence

from tinytorch_build.model import Outcome, Problem, errors
from tinytorch_build.plan import TestKind
from tinytorch_build.report.outcome import Report, TaskReport
from tinytorch_build.report.pages.evidence import Evidence
from tinytorch_build.report.pages.visible import visible

Case = tuple[str, TaskReport]


def junit_xml(package: str, report: Report, evidence: Evidence) -> bytes:
    """A report as JUnit's XML 1.0, in UTF-8.

    Suites: one for each module, whose cases are its stages; one for each kind of inter-module tests, whose
    cases are the files; and `package`. What is blocked or was not run counts as skipped. The time of a case
    is that of its last execution, also where it was up to date. What concerns the package as a whole is a
    case of its own.

    Args:
        package: the name of the course's package.
        report: the report.
        evidence: the ends of its logs.
    """
    suites = [_suite(name, cases, evidence) for name, cases in _suites(report)]
    root = ET.Element("testsuites", name=visible(package), time=f"{report.seconds:.3f}")
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in suites)))
    root.extend(suites)
    ET.indent(root)
    data: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def _suites(report: Report) -> Iterator[tuple[str, Sequence[Case]]]:
    for name, module in report.modules.items():
        yield name, [(stage.value, task) for stage, task in module.stages.items()]
    for kind in TestKind:
        yield (
            kind.value,
            [(file.file.path, file.task) for file in report.test_files if file.file.kind is kind],
        )
    whole: list[Case] = [(stage.value, task) for stage, task in report.package.items()]
    if report.problems:
        outcome = Outcome.FAILED if errors(report.problems) else Outcome.RAN
        whole.append(("the package as a whole", TaskReport(outcome, problems=report.problems)))
    yield "package", whole


def _suite(name: str, cases: Sequence[Case], evidence: Evidence) -> ET.Element:
    outcomes = [task.outcome for _, task in cases]
    suite = ET.Element(
        "testsuite",
        name=visible(name),
        tests=str(len(cases)),
        failures=str(outcomes.count(Outcome.FAILED)),
        errors="0",
        skipped=str(sum(outcome in (Outcome.BLOCKED, Outcome.NOT_RUN) for outcome in outcomes)),
        time=f"{sum(task.seconds for _, task in cases):.3f}",
    )
    suite.extend(_case(name, title, task, evidence) for title, task in cases)
    return suite


def _case(suite: str, title: str, task: TaskReport, evidence: Evidence) -> ET.Element:
    case = ET.Element("testcase", classname=visible(suite), name=visible(title), time=f"{task.seconds:.3f}")
    found = errors(task.problems)
    if task.outcome is Outcome.FAILED:
        first = found[0] if found else Problem("failed", "it failed")
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        failure = ET.SubElement(
            case, "failure", message=_attribute(first.message + more), type=visible(first.check)
        )
        failure.text = visible("\n\n".join(map(str, found)))
    elif task.outcome is Outcome.BLOCKED:
        ET.SubElement(case, "skipped", message=_attribute(f"blocked by {', '.join(task.blocked_by)}"))
    elif task.outcome is Outcome.NOT_RUN:
        ET.SubElement(case, "skipped", message="not run")
    said = [str(problem) for problem in task.problems if problem not in found]
    said += [evidence.logs[task.log]] if task.log in evidence.logs else []
    if said:
        ET.SubElement(case, "system-out").text = visible("\n\n".join(said))
    return case


def _attribute(text: str) -> str:
    """A text of one line: parsers turn line feeds in attributes to spaces."""
    return " ".join(visible(text, 2000).split())
