"""Checks of a test file for tests that pytest would never collect, and that nobody would miss."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from tinytorch_build.model import Problem

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def check_collection(path: str, tree: ast.Module) -> list[Problem]:
    """Tests that are written down but do not run, by pytest's default rules.

    Args:
        path: POSIX path of the test file from the course's root.
        tree: its syntax tree.
    """
    problems = [*_overwritten(path, tree.body, ""), *_uncollected_classes(path, tree)]
    if not problems and not any(_tests(tree)):
        message = "the file holds no test that pytest would collect"
        cure = "write functions whose names begin with `test_`"
        problems.append(Problem("no-tests", message, path, None, cure))
    return problems


def _overwritten(path: str, body: Sequence[ast.stmt], owner: str) -> Iterator[Problem]:
    """Two tests of one name in one scope: the second takes the place of the first."""
    seen: dict[str, int] = {}
    for statement in body:
        if not isinstance(statement, _Function | ast.ClassDef) or not statement.name.lower().startswith(
            "test"
        ):
            continue
        name = f"{owner}{statement.name}"
        if statement.name in seen:
            message = f"`{name}` is defined here again, so the one in line {seen[statement.name]} never runs"
            yield Problem(
                "overwritten-test", message, path, statement.lineno, "give one of them another name"
            )
        seen[statement.name] = statement.lineno
        if isinstance(statement, ast.ClassDef):
            yield from _overwritten(path, statement.body, f"{name}.")


def _uncollected_classes(path: str, tree: ast.Module) -> Iterator[Problem]:
    """Classes whose tests pytest passes over: with a constructor, or with another name than Test..."""
    bases = {ast.unparse(base) for node in tree.body if isinstance(node, ast.ClassDef) for base in node.bases}
    for node in tree.body:
        if not isinstance(node, ast.ClassDef) or _is_test_case(node):
            continue
        tests = [statement for statement in node.body if _is_test(statement)]
        constructor = next(
            (
                statement
                for statement in node.body
                if isinstance(statement, _Function) and statement.name in ("__init__", "__new__")
            ),
            None,
        )
        if node.name.startswith("Test") and constructor is not None and tests:
            message = f"pytest does not collect `{node.name}`, because it has `{constructor.name}`"
            cure = "set the tests up in a fixture, or in `setup_method`"
            yield Problem("uncollected-test", message, path, constructor.lineno, cure)
        elif not node.name.startswith("Test") and tests and not node.bases and node.name not in bases:
            message = (
                f"pytest does not collect the tests of `{node.name}`, whose name does not begin with Test"
            )
            yield Problem("uncollected-test", message, path, node.lineno, f"call it `Test{node.name}`")


def _tests(tree: ast.Module) -> Iterator[ast.stmt]:
    """Everything that pytest might collect; a class with bases may inherit its tests."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ClassDef)
            and node.bases
            and (node.name.startswith("Test") or _is_test_case(node))
        ):
            yield node
    for statement in ast.walk(tree):
        if isinstance(statement, ast.stmt) and _is_test(statement):
            yield statement
    for statement in tree.body:  # `TestHeap = HeapMachine.TestCase`, and tests that another file shares
        if isinstance(statement, ast.Assign | ast.ImportFrom) and any(
            name.lower().startswith("test") for name in _bound(statement)
        ):
            yield statement


def _bound(statement: ast.Assign | ast.ImportFrom) -> list[str]:
    if isinstance(statement, ast.Assign):
        return [target.id for target in statement.targets if isinstance(target, ast.Name)]
    return [alias.asname or alias.name for alias in statement.names]


def _is_test(statement: ast.stmt) -> bool:
    return isinstance(statement, _Function) and statement.name.startswith("test")


def _is_test_case(node: ast.ClassDef) -> bool:
    """Whether a class is one of unittest's, which pytest collects whatever its name."""
    return any(ast.unparse(base).split(".")[-1].endswith("TestCase") for base in node.bases)
