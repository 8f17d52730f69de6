"""What test files import of the course, and whether they may."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from tinytorch_build.checks.collecting import check_collection
from tinytorch_build.checks.dependencies import UNSATISFIED, declare, unknown_module
from tinytorch_build.checks.naming import source_imports
from tinytorch_build.checks.resolve import Imported, imports_of, provider_of, target_of
from tinytorch_build.literate import parse_code
from tinytorch_build.model import Manifest, Problem


def modules_imported(manifest: Manifest, text: str) -> frozenset[str] | None:
    """The modules of the course that a test file imports.

    `import package`, `from package import *` and a name that no module's `provides` tells count as all.
    So that tests which import or patch by name are not forgotten, strings that hold the full name of a module
    count too.

    Args:
        manifest: the course.
        text: the test file.

    Returns:
        names of modules, or None if the file does not parse.
    """
    try:
        tree = parse_code(text)
    except SyntaxError:
        return None
    everything = frozenset(manifest.by_name)
    found: set[str] = set(_named_in_strings(manifest, tree))
    for imported in imports_of(tree):
        target = target_of(manifest, imported)
        if target is None:
            continue
        if target.kind == "module":
            found.add(target.name)
            continue
        provider = provider_of(manifest, target.name) if target.kind == "root" else None
        if provider is None:
            return everything
        found.add(provider.name)
    return frozenset(found)


def _named_in_strings(manifest: Manifest, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for dotted, module in manifest.by_dotted.items():
                if node.value == dotted or node.value.startswith(f"{dotted}."):
                    yield module.name


def check_test_imports(
    manifest: Manifest, owner: str, allowed: Collection[str], path: str, text: str
) -> list[Problem]:
    """What is wrong with a test file before it runs: its imports, and tests that would never be collected.

    Args:
        manifest: the course.
        owner: the module whose tests these are, or the path of a file of inter-module tests.
        allowed: names of the modules that the file may import.
        path: its POSIX path from the course's root.
        text: what it holds.
    """
    try:
        tree = parse_code(text)
    except SyntaxError as error:
        message = f"the test file is not valid Python: {error.msg}"
        return [Problem("syntax-error", message, path, error.lineno)]
    problems = [
        Problem("source-import", message, path, statement.lineno, cure)
        for statement, message, cure in source_imports(manifest, tree)
    ]
    problems += _undeclared(manifest, owner, allowed, path, tree)
    problems += check_collection(path, tree)
    return sorted(problems, key=lambda problem: problem.line or 0)


def _undeclared(
    manifest: Manifest, owner: str, allowed: Collection[str], path: str, tree: ast.Module
) -> Iterator[Problem]:
    """Imports of modules that the tests may not see, each once a line."""
    for imported in dict.fromkeys(imports_of(tree)):
        fault = _fault(manifest, owner, allowed, imported)
        if fault is not None:
            check, message, cure = fault
            yield Problem(check, f"{UNSATISFIED} {message}", path, imported.line, cure)


def _fault(
    manifest: Manifest, owner: str, allowed: Collection[str], imported: Imported
) -> tuple[str, str, str] | None:
    target = target_of(manifest, imported)
    if target is None:
        return None
    subject = f"a test of {owner}" if owner in manifest.by_name else owner
    if target.kind == "unknown":
        return unknown_module(manifest, subject, target.name)
    provider = manifest[target.name] if target.kind == "module" else provider_of(manifest, target.name)
    if provider is None or provider.name in allowed:
        return None
    order, name = list(manifest.by_name), provider.name
    move = f"move the test into {manifest.tests.integration}"
    if owner in order and order.index(name) < order.index(owner):
        return (
            "undeclared-import",
            f"{subject} imports {name}, which it does not declare",
            (f"{declare(name, owner)}, or {move}"),
        )
    return (
        "undeclared-import",
        f"{subject} imports {name}, which comes later in the course",
        (f"{move}, or do without {name}"),
    )
