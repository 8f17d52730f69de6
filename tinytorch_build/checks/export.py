"""An export while it is checked: its text and tree, and the way back to the source's lines."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tinytorch_build.checks.resolve import Imported, imports_among
from tinytorch_build.checks.source import ParsedCell, parse_cell
from tinytorch_build.literate import Document, SourceLines, parse_code
from tinytorch_build.model import CourseModule, Manifest, Problem, Severity

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class ExportUnderCheck:
    """What the checks after the export look at.

    Attributes:
        manifest: the course.
        module: the module that was exported.
        document: its source.
        text: the export.
        path: where the export is staged, POSIX path from the course's root.
        lines: the way from its lines to those of the source.
        taken: public names that other modules export, each with the module that does.
    """

    manifest: Manifest
    module: CourseModule
    document: Document
    text: str
    path: str
    lines: SourceLines
    taken: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        module: CourseModule,
        document: Document,
        text: str,
        path: str,
        taken: Mapping[str, str],
    ) -> ExportUnderCheck:
        """The export with the way back to its source."""
        return cls(manifest, module, document, text, path, SourceLines(text, document), taken)

    @property
    def dotted(self) -> str:
        """The full import name of the module."""
        return self.manifest.dotted(self.module)

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree.

        Raises:
            SyntaxError: the export is no Python; the first check says so, and the others are not run.
        """
        return parse_code(self.text)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the tree: walking it takes longer than most checks."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def imports(self) -> tuple[Imported, ...]:
        """Every import of the export, also those in functions, relative ones by their full names."""
        return tuple(imports_among(self.nodes, self.dotted))

    @cached_property
    def other_cells(self) -> tuple[ParsedCell, ...]:
        """The code cells that are not exported, parsed."""
        return tuple(parse_cell(cell) for cell in self.document.code_cells if not cell.exported)

    @cached_property
    def public_names(self) -> tuple[str, ...]:
        """The names in the `__all__` that nbdev made."""
        for statement in self.tree.body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
                elements = getattr(statement.value, "elts", [])
                return tuple(
                    element.value
                    for element in elements
                    if isinstance(element, ast.Constant) and isinstance(element.value, str)
                )
        return ()

    @cached_property
    def defined(self) -> Mapping[str, ast.stmt]:
        """Each name that the module's top level defines (imports apart), with the statement that does."""
        return {name: statement for statement, name in definitions(self.tree.body)}

    def problem(
        self,
        check: str,
        message: str,
        line: int | None = None,
        cure: str = "",
        severity: Severity = Severity.ERROR,
    ) -> Problem:
        """A problem of this export, shown where the source has it.

        Args:
            check: name of the check.
            message: what was found.
            line: 1-based line of the export, or None.
            cure: what to do about it.
            severity: whether it fails the stage.
        """
        source_line = None if line is None else self.lines.source_line(line)
        return Problem(check, message, self.document.path, source_line, cure, severity)

    def elsewhere(self, name: str) -> int | None:
        """The source line where a cell that is not exported defines or imports a name, or None."""
        for parsed in self.other_cells:
            for statement, defined in (*definitions(_body(parsed)), *_imported(_body(parsed))):
                if defined == name and self.document.lines_known:
                    return parsed.line(statement)
        return None


def definitions(statements: list[ast.stmt]) -> Iterator[tuple[ast.stmt, str]]:
    """Every name that some statements of one scope define, also under `if`, `try`, `with` and loops."""
    for statement in statements:
        for node in _of_this_scope(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield statement, node.id
            elif isinstance(node, Definition):
                yield node, node.name


def _of_this_scope(node: ast.AST) -> Iterator[ast.AST]:
    """A node and what lies below it, but nothing that stands in a scope of its own."""
    yield node
    if not isinstance(
        node, Definition | ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    ):
        for child in ast.iter_child_nodes(node):
            yield from _of_this_scope(child)


def _imported(statements: list[ast.stmt]) -> Iterator[tuple[ast.stmt, str]]:
    for statement in statements:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for alias in statement.names:
                yield statement, alias.asname or alias.name.split(".")[0]


def _body(parsed: ParsedCell) -> list[ast.stmt]:
    return parsed.tree.body if parsed.tree is not None else []
