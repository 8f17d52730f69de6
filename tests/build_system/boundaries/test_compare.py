"""Declared and actual imports side by side, and what crosses a boundary."""

from __future__ import annotations

from tests.build_system.builders import manifest_of
from tinytorch_build.boundaries.compare import compare, crossings, details
from tinytorch_build.boundaries.graph import FoundImport
from tinytorch_build.model import CourseModule, Problem

MANIFEST = manifest_of(
    {
        "tensor": [],
        "layers": ["tensor"],
        "training": ["tensor", "layers"],
        "all_of_it": ["tensor", "layers", "training"],
    }
)


def found(importer: str, imported: str, line: int = 1) -> FoundImport:
    return FoundImport(
        f"demo.core.{importer}", imported if imported.startswith("demo") else f"demo.core.{imported}", line
    )


def problems(*imports: FoundImport) -> list[Problem]:
    def locate(module: CourseModule, line: int) -> tuple[str, int | None]:
        return module.source, line + 100

    return crossings(MANIFEST, imports, locate)


def test_declared_actual_and_unused_dependencies() -> None:
    imports = [found("training", "layers"), found("layers", "tensor"), found("training", "layers", 9)]
    assert details(compare(MANIFEST, imports)) == {
        "modules": {
            "tensor": {"declared": [], "imports": [], "unused": []},
            "layers": {"declared": ["tensor"], "imports": ["tensor"], "unused": []},
            "training": {"declared": ["tensor", "layers"], "imports": ["layers"], "unused": ["tensor"]},
            "all_of_it": {
                "declared": ["tensor", "layers", "training"],
                "imports": [],
                "unused": ["tensor", "layers", "training"],
            },
        }
    }
    assert problems(*imports) == []


def test_an_import_of_an_undeclared_module_is_an_error_at_its_source_line() -> None:
    assert problems(found("layers", "tensor"), found("tensor", "training", 7)) == [
        Problem(
            "undeclared-import",
            "Module dependencies not satisfied: tensor imports training, which comes later in the course",
            "src/01_tensor/tensor_dev.py",
            107,
            "do without it, or move what needs training into a module that comes after it",
        )
    ]
    (problem,) = problems(found("all_of_it", "tensor"), FoundImport("demo.core.training", "demo", 3))
    assert problem.check == "root-import"
    assert problem.message.endswith("training imports demo itself, which stands for every module of it")


def test_an_import_of_a_folder_or_of_an_included_file_is_an_error() -> None:
    for imported in ("demo.core", "demo.core.helper"):
        (problem,) = problems(found("layers", imported))
        assert problem.check == "unknown-module"
        assert f"layers imports {imported}, which is no module of the course" in problem.message


def test_files_that_belong_to_no_module_may_import_what_they_like() -> None:
    assert (
        problems(
            FoundImport("demo", "demo.core.tensor", 1), found("helper", "tensor"), found("helper", "demo")
        )
        == []
    )
