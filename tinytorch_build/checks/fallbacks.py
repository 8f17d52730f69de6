"""Checks for code that hides a missing module, or that imports behind the back of every other check."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence

from tinytorch_build.checks.export import ExportUnderCheck
from tinytorch_build.model import Problem

_CAUGHT = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
_PLAIN = ("importlib.metadata", "importlib.resources", "importlib.util.find_spec", "pkgutil.get_data")
_LOADERS = frozenset({"imp", "importlib", "pkgutil", "runpy", "zipimport"})
_MUTATORS = frozenset({"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"})


def missing_modules_are_not_hidden(export: ExportUnderCheck) -> list[Problem]:
    """No import outside the standard library may fail in silence: the module would run on a stand-in.

    The import check would pass, and students would get the mock class of a fallback.
    """
    problems = []
    for node in export.nodes:
        if isinstance(node, ast.Try | ast.TryStar):
            hidden = any(_hides(handler) for handler in node.handlers)
        elif isinstance(node, ast.With):
            hidden = any(_suppresses(item.context_expr) for item in node.items)
        else:
            continue
        names = [name for statement in node.body for name in _imported(statement)] if hidden else []
        if names:
            message = (
                f"the code runs on without {names[0]} if it cannot be imported, and hides that it is missing"
            )
            cure = f"import {names[0]} plainly, and let a missing module be an error"
            problems.append(export.problem("hidden-import-error", message, node.lineno, cure))
    return problems


def _hides(handler: ast.ExceptHandler) -> bool:
    """Whether a handler takes the error of a missing module and does not raise in the end."""
    if any(isinstance(statement, ast.Raise) for statement in handler.body):
        return False
    return handler.type is None or any(name in _CAUGHT for name in _exception_names(handler.type))


def _suppresses(context: ast.expr) -> bool:
    return (
        isinstance(context, ast.Call)
        and ast.unparse(context.func).split(".")[-1] == "suppress"
        and any(name in _CAUGHT for argument in context.args for name in _exception_names(argument))
    )


def _exception_names(expression: ast.expr) -> Iterator[str]:
    elements = expression.elts if isinstance(expression, ast.Tuple) else [expression]
    for element in elements:
        yield ast.unparse(element).split(".")[-1]


def _imported(statement: ast.stmt) -> Iterator[str]:
    """The modules outside the standard library that a statement, or one below it, imports."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = ["." * node.level + (node.module or "")]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in (
            "import_module",
            "__import__",
        ):
            names = (
                [str(node.args[0].value)]
                if node.args and isinstance(node.args[0], ast.Constant)
                else ["a module"]
            )
        else:
            continue
        yield from (name for name in names if name.split(".")[0] not in sys.stdlib_module_names)


def imports_are_plain(export: ExportUnderCheck) -> list[Problem]:
    """Modules come in by `import` alone: everything else escapes the checks, and tools that read imports."""
    aliases = _aliases(export.nodes)
    found: dict[int, str] = {}
    for node in export.nodes:
        if isinstance(node, ast.expr) and (detour := _detour(node, aliases)):
            found.setdefault(node.lineno, detour)
    return [
        export.problem(
            "import-detour",
            f"{detour} gets at modules in a way that no check can follow",
            line,
            "write a plain `import`",
        )
        for line, detour in found.items()
    ]


def _aliases(nodes: Sequence[ast.AST]) -> Mapping[str, str]:
    """What the names that imports bind stand for: `il` for `importlib`, after `import importlib as il`."""
    bound: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            bound |= {
                alias.asname or alias.name.split(".")[0]: alias.name
                if alias.asname
                else alias.name.split(".")[0]
                for alias in node.names
            }
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            bound |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return bound


def _detour(node: ast.expr, aliases: Mapping[str, str]) -> str | None:
    """What a node does to get at a module without an import, or None."""
    if isinstance(node, ast.Call):
        name = _full_name(node.func, aliases)
        if name == "__import__" or _is_loader(name):
            return f"`{ast.unparse(node.func)}`"
        if name in ("exec", "eval", "builtins.exec", "builtins.eval") and _holds_import(node.args):
            return f"an import inside `{ast.unparse(node.func)}`"
        owner, _, method = name.rpartition(".")
        if owner == "sys.path" and method in _MUTATORS:
            return "a change of `sys.path`"
        if owner == "sys.modules":
            return "`sys.modules`"
    if isinstance(node, ast.Subscript):
        return _subscript_detour(node, aliases)
    is_target = isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store)
    if is_target and _full_name(node, aliases) in ("sys.path", "sys.modules"):
        return f"a change of `{ast.unparse(node)}`"
    return None


def _subscript_detour(node: ast.Subscript, aliases: Mapping[str, str]) -> str | None:
    owner = _full_name(node.value, aliases)
    if owner == "sys.modules" and ast.unparse(node.slice) != "__name__":
        return "`sys.modules`"
    if owner == "sys.path" and not isinstance(node.ctx, ast.Load):
        return "a change of `sys.path`"
    return None


def _full_name(expression: ast.expr, aliases: Mapping[str, str]) -> str:
    """The dotted name that an expression spells, through the aliases of imports; empty if it is none."""
    parts: list[str] = []
    while isinstance(expression, ast.Attribute):
        parts.insert(0, expression.attr)
        expression = expression.value
    if not isinstance(expression, ast.Name):
        return ""
    return ".".join([aliases.get(expression.id, expression.id), *parts])


def _is_loader(name: str) -> bool:
    if name.split(".")[0] not in _LOADERS or "." not in name:
        return False
    return not any(name == plain or name.startswith(f"{plain}.") for plain in _PLAIN)


def _holds_import(arguments: Sequence[ast.expr]) -> bool:
    return any(
        isinstance(node, ast.Constant) and isinstance(node.value, str) and "import" in node.value
        for argument in arguments
        for node in ast.walk(argument)
    )
