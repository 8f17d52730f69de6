"""Every source is refused with problems, or exported so that nothing of its exported cells is lost or added."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from hypothesis import given

from tests.build_system.any_input.profiles import CASES, bounded
from tests.build_system.any_input.python_reading import (
    code_statements,
    export_statements,
    exported_statements,
    is_exported,
)
from tests.build_system.any_input.sources import sources
from tests.build_system.any_input.surroundings import Surroundings
from tests.build_system.builders import course_module
from tinytorch_build.checks.after_export import ExportUnderCheck, check_after_export, check_fidelity
from tinytorch_build.checks.before_export import check_before_export
from tinytorch_build.layout import Layout
from tinytorch_build.literate import SourceLines, UnreadableSource, document_of
from tinytorch_build.model import CourseModule, Manifest, Package, Problem, errors
from tinytorch_build.notebooks.making import make_notebook
from tinytorch_build.stages.export import NothingExported, export_text


def course_of(root: Path, ending: str) -> tuple[Manifest, CourseModule]:
    """A course of two modules, and the one whose source a case makes."""
    mine = course_module("mine", ["other"], source=f"src/02_mine/mine_dev{ending}")
    return Manifest(root, Package("course"), (course_module("other"), mine)), mine


def check_problems(problems: list[Problem], module: CourseModule, raw: bytes) -> None:
    lines = raw.count(b"\n") + raw.count(b"\r") + 1
    for problem in problems:
        str(problem).encode()
        assert problem.message
        assert problem.file is not None
        if problem.file == module.source:
            assert problem.line is None or 1 <= problem.line <= lines, problem


def exported(manifest: Manifest, module: CourseModule, raw: bytes) -> str | None:
    """The export of a source that passes every check but those of names and imports; None for any other."""
    problems = check_before_export(manifest, module, raw)
    check_problems(problems, module, raw)
    if errors(problems):
        return None
    layout = Layout.of(manifest)
    layout.notebook(module).unlink(missing_ok=True)
    try:
        made, _ = make_notebook(layout, module, raw)
    except UnreadableSource as error:
        check_problems([error.problem], module, raw)
        return None
    assert made == []
    try:
        text = export_text(
            layout.notebook(module).read_text(encoding="utf-8"),
            package=manifest.package.name,
            target=module.target,
            source=module.source,
        )
    except NothingExported:
        text = ""
    problems = check_fidelity(manifest, module, document_of(raw, module.source), text)
    check_problems(problems, module, raw)
    return None if errors(problems) else text


def check_export(manifest: Manifest, module: CourseModule, raw: bytes, text: str) -> None:
    """The further checks of an export end well, and its lines lead into the source."""
    document = document_of(raw, module.source)
    export = ExportUnderCheck.of(manifest, module, document, text, "build/staging/x.py", {})
    check_problems(check_after_export(export), module, raw)
    lines = SourceLines(text, document)
    count = raw.count(b"\n") + 1
    for number in range(text.count("\n") + 3):
        found = lines.source_line(number)
        assert found is None or 1 <= found <= count


def expected(ending: str, raw: bytes) -> list[str] | None:
    """The exported statements by a reading that shares nothing with the build's; None where there is none."""
    text = raw.decode().replace("\r\n", "\n")
    if ending == ".py":
        return exported_statements(text)
    if ending != ".ipynb":
        return None
    sources = ("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code")
    cells = (source for source in sources if is_exported(source.split("\n")))
    return [statement for cell in cells for statement in code_statements(cell)]


def test_any_source_is_refused_or_exported_whole(tmp_path: Path) -> None:
    place = Surroundings.at(tmp_path)
    tally: Counter[str] = Counter()

    @CASES
    @given(sources())
    def any_source(case: tuple[str, bytes]) -> None:
        ending, raw = case
        manifest, module = course_of(place.course, ending)
        with bounded(), place.untouched():
            text = exported(manifest, module, raw)
            if text is not None:
                check_export(manifest, module, raw, text)
        if text is None:
            tally["refused"] += 1
            return
        tally["exported"] += 1
        wanted = expected(ending, raw)
        if wanted is not None:
            tally["compared"] += 1
            assert export_statements(text, manifest.dotted(module)) == wanted

    with place.entered():
        any_source()
    print(dict(tally))
    # Else one of the two is hardly tried.
    assert min(tally["refused"], tally["compared"]) > (tally["refused"] + tally["exported"]) / 10
