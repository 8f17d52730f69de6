"""Checks of the names in a source: its file's, those it defines twice, those of other sources."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import PurePosixPath

from tinytorch_build.checks.source import ParsedCell, SourceUnderCheck
from tinytorch_build.model import CourseModule, Manifest, Problem, Severity

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def file_follows_the_convention(source: SourceUnderCheck) -> list[Problem]:
    """`NN_name/name_dev.py`, as readers of a course expect; a warning, since the build works without."""
    path, name = PurePosixPath(source.path), source.module.name
    number, _, folder = path.parent.name.partition("_")
    if number.isdigit() and len(number) == 2 and folder == name and path.stem == f"{name}_dev":
        return []
    message = f"the source is not called NN_{name}/{name}_dev{path.suffix} as sources of a course are"
    cure = f"rename it, with the module's place in the course for NN, and change source of [modules.{name}]"
    return [source.problem("naming-convention", message, cure=cure, severity=Severity.WARNING)]


def definitions_are_not_repeated(source: SourceUnderCheck) -> list[Problem]:
    """A public function or class that two exported cells define: the second one wins.

    If the first was never used before, it is lost (an error, as for ruff's F811); else this is a warning.
    """
    names = [
        statement.name for _, statement in _exported_statements(source) if isinstance(statement, Definition)
    ]
    if len(set(names)) == len(names):
        return []
    seen: dict[str, int] = {}
    used: set[str] = set()
    problems = []
    for parsed, statement in _exported_statements(source):
        if isinstance(statement, Definition):
            name, line = statement.name, parsed.line(statement)
            used |= _names_read(*statement.decorator_list, *getattr(statement, "bases", ()))
            if name in seen and not name.startswith("_") and not _is_overload(statement):
                severity = Severity.WARNING if name in used else Severity.ERROR
                message = f"`{name}` is defined here again, after line {seen[name]}"
                cure = "give one of them another name, or take it out"
                problems.append(source.problem("repeated-definition", message, line, cure, severity))
            if not _is_overload(statement):
                seen[name] = line
                used.discard(name)
            used |= _names_read(statement) - {name}
        else:
            used |= _names_read(statement)
    return problems


def _exported_statements(source: SourceUnderCheck) -> Iterator[tuple[ParsedCell, ast.stmt]]:
    for parsed in source.exported:
        for statement in parsed.tree.body if parsed.tree else ():
            yield parsed, statement


def _names_read(*nodes: ast.AST) -> set[str]:
    return {
        node.id
        for top in nodes
        for node in ast.walk(top)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def _is_overload(statement: Definition) -> bool:
    return any(ast.unparse(decorator).endswith("overload") for decorator in statement.decorator_list)


def future_imports_come_first(source: SourceUnderCheck) -> list[Problem]:
    """`from __future__` below other exported code: jupyter runs it, the module does not compile."""
    problems = []
    begun = False
    for position, (parsed, statement) in enumerate(_exported_statements(source)):
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            if begun:
                message = f"`{ast.unparse(statement)}` stands below other exported code"
                cure = "move it to the top of the first exported cell"
                line = parsed.line(statement)
                problems.append(source.problem("late-future-import", message, line, cure))
        elif position > 0 or not _is_string(statement):
            begun = True
    return problems


def _is_string(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def no_source_is_imported(source: SourceUnderCheck) -> list[Problem]:
    """Sources are not importable where the package is: their code comes from the package."""
    return [
        source.problem("source-import", message, parsed.line(statement), cure)
        for parsed in source.code
        if parsed.tree is not None and "import" in parsed.cell.source
        for statement, message, cure in source_imports(source.manifest, parsed.tree)
    ]


def source_imports(manifest: Manifest, tree: ast.Module) -> Iterator[tuple[ast.stmt, str, str]]:
    """Every import of a literate source: the statement, what to say of it, and the cure."""
    stems = {PurePosixPath(module.source).stem: module for module in manifest.modules}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""] if node.module else []
            names += [f"{node.module or ''}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            found = _source_stem(manifest, stems, name)
            if found is not None:
                message = f"`{found}` is a source of the course, which the package cannot import"
                yield node, message, _instead(manifest, stems, found)
                break


def _source_stem(manifest: Manifest, stems: dict[str, CourseModule], dotted: str) -> str | None:
    """The part of a dotted name that names a source's file, or None."""
    first, *rest = parts = dotted.split(".")
    if first == manifest.package.name:
        return None
    if (
        first in stems
        and not rest
        and first not in sys.stdlib_module_names
        and first not in _declared(manifest)
    ):
        return first
    return next((part for part in parts if part.endswith("_dev")), None)


def _declared(manifest: Manifest) -> set[str]:
    from packaging.requirements import Requirement

    return {Requirement(text).name.replace("-", "_").lower() for text in manifest.package.dependencies}


def _instead(manifest: Manifest, stems: dict[str, CourseModule], stem: str) -> str:
    module = stems.get(stem) or manifest.by_name.get(stem.removesuffix("_dev"))
    if module is None:
        return f"import from the module of {manifest.package.name} that is exported from it"
    return f"import from {manifest.dotted(module)}"


def no_exported_import_is_relative(source: SourceUnderCheck) -> list[Problem]:
    """A relative import works in no notebook, and nbdev refuses it at the top level."""
    return [
        source.problem(
            "relative-import",
            f"`{ast.unparse(statement)}` is relative, which neither a notebook nor nbdev understands",
            parsed.line(statement),
            f"write the whole name: `from {_absolute(source, statement)} import ...`",
        )
        for parsed, statement in _exported_statements(source)
        if isinstance(statement, ast.ImportFrom) and statement.level
    ]


def _absolute(source: SourceUnderCheck, statement: ast.ImportFrom) -> str:
    package = source.manifest.dotted(source.module).split(".")[: -statement.level]
    return ".".join([*package, *([statement.module] if statement.module else [])])


NAMING = (
    file_follows_the_convention,
    definitions_are_not_repeated,
    future_imports_come_first,
    no_source_is_imported,
    no_exported_import_is_relative,
)
