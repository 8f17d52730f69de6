"""How much of a module's public interface says in a docstring what it is for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from tinytorch_build.literate import parse_code

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Coverage:
    """Public functions, classes, and methods of public classes, with and without a docstring.

    Attributes:
        documented: names that have one, in their order; methods as `Class.method`.
        missing: names that have none.
    """

    documented: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def total(self) -> int:
        return len(self.documented) + len(self.missing)

    @property
    def percent(self) -> int:
        """Rounded down, so that 100 means all; 100 where there is nothing to document."""
        return 100 * len(self.documented) // self.total if self.total else 100


def docstring_coverage(text: str) -> Coverage | None:
    """The docstrings of a module's public names; None if it is no Python.

    A name that begins with an underscore is not public. A definition that comes again under its name
    (`@overload`, the setter of a property) counts once, with the docstring that any of them has.

    Args:
        text: the module as it was exported.
    """
    try:
        tree = parse_code(text)
    except (SyntaxError, ValueError):
        return None
    documented: dict[str, bool] = {}
    for name, definition in _public(tree):
        documented[name] = documented.get(name, False) or ast.get_docstring(definition) is not None
    return Coverage(
        tuple(name for name, has in documented.items() if has),
        tuple(name for name, has in documented.items() if not has),
    )


def _public(tree: ast.Module) -> Iterator[tuple[str, Definition]]:
    for statement in tree.body:
        if isinstance(statement, Definition) and not statement.name.startswith("_"):
            yield statement.name, statement
            if isinstance(statement, ast.ClassDef):
                for inner in statement.body:
                    if isinstance(inner, Definition) and not inner.name.startswith("_"):
                        yield f"{statement.name}.{inner.name}", inner
