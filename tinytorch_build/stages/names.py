"""The public names of an exported module, read from its text."""

from __future__ import annotations

import ast

from tinytorch_build.literate import parse_code


def public_names(text: str) -> tuple[str, ...]:
    """The names in a module's `__all__`, in their order; none if it has no such list of plain strings."""
    try:
        tree = parse_code(text)
    except SyntaxError:
        return ()
    for statement in tree.body:
        if (
            isinstance(statement, ast.Assign)
            and [ast.unparse(target) for target in statement.targets] == ["__all__"]
            and isinstance(statement.value, ast.List | ast.Tuple)
        ):
            return tuple(
                element.value
                for element in statement.value.elts
                if isinstance(element, ast.Constant) and isinstance(element.value, str)
            )
    return ()
