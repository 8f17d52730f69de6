"""The tests that a file holds, read from its text: what pytest must find, whatever a conftest.py says."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from tinytorch_build.literate import parse_code


@dataclass(frozen=True, slots=True)
class ExpectedTest:
    """A test function.

    Attributes:
        name: classes and function: `TestAdd.test_zero`.
        line: 1-based line of its `def`.
        shadows: 1-based line of an earlier one of the same name, which is never run; or None.
    """

    name: str
    line: int
    shadows: int | None = None


def expected_tests(source: bytes) -> tuple[ExpectedTest, ...]:
    """The test functions that stand at the top level of a file and of its test classes.

    Those that a condition or another file brings in are left to pytest. A file that does not parse has
    none: pytest says what is wrong with it.
    """
    try:
        tree = parse_code(source)
    except (SyntaxError, ValueError):
        return ()
    return tuple(_tests(tree.body, ""))


def _tests(body: list[ast.stmt], prefix: str) -> Iterator[ExpectedTest]:
    seen: dict[str, int] = {}
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{prefix}{statement.name}"
            if statement.name.startswith("test") and not _is_fixture(statement):
                yield ExpectedTest(name, statement.lineno, seen.get(name))
                seen[name] = statement.lineno
        elif isinstance(statement, ast.ClassDef) and _is_collected(statement):
            yield from _tests(statement.body, f"{prefix}{statement.name}.")


def _is_collected(definition: ast.ClassDef) -> bool:
    if any(
        isinstance(line, ast.Assign) and ast.unparse(line) == "__test__ = False" for line in definition.body
    ):
        return False
    return definition.name.startswith("Test") or _is_test_case(definition)


def _is_test_case(definition: ast.ClassDef) -> bool:
    """Whether a class is one of unittest's, which pytest takes whatever its name is."""
    return any(ast.unparse(base).rpartition(".")[2].endswith("TestCase") for base in definition.bases)


def _is_fixture(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    for decorator in function.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if ast.unparse(called).rpartition(".")[2] == "fixture":
            return True
    return False
