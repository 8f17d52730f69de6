"""A program of its own: writes as JSON how the public names of two versions of a package differ.

    python scan.py REQUEST RESULT

It imports nothing of `tinytorch_build`, and nothing of the packages: griffe only reads their files. It is a
process of its own because griffe keeps what it has loaded, takes its time, and asks git what nobody wants.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any


def main(request: str, result: str) -> None:
    """Compare modules and write a list of changes.

    Args:
        request: file with `{"old": FOLDER, "new": FOLDER, "package": NAME, "pairs": [[OLD, NEW], …]}`, the
            modules by their full names.
        result: the file to write: a list of changes for each pair.
    """
    with open(request, encoding="utf-8") as file:
        asked = json.load(file)
    os.environ["PATH"] = ""  # griffe would ask git about the package's remote; here it finds none to ask
    import griffe

    def load(folder: str) -> Any:
        return griffe.load(
            asked["package"],
            search_paths=[folder],
            try_relative_path=False,
            allow_inspection=False,
            store_source=False,
        )

    old, new = load(asked["old"]), load(asked["new"])
    found = [list(_changes(_member(old, one), _member(new, other))) for one, other in asked["pairs"]]
    with open(result, "w", encoding="utf-8") as file:
        json.dump(found, file)


def _member(package: Any, dotted: str) -> Any:
    _, _, inside = dotted.partition(".")
    return package[inside] if inside else package


def _changes(old: Any, new: Any) -> Iterator[dict[str, Any]]:
    import griffe

    for breakage in griffe.find_breaking_changes(old, new):
        yield _broken(breakage, new)
    yield from _added(old, new, new.path)


def _broken(breakage: Any, new: Any) -> dict[str, Any]:
    import griffe

    kind, obj = breakage.kind, breakage.obj
    explanation = breakage.explain(griffe.ExplanationStyle.MARKDOWN).removeprefix("- ")
    removed = kind is griffe.BreakageKind.OBJECT_REMOVED
    parent = _still_there(new, obj) if removed else obj
    return {
        "kind": "removed" if removed else "changed",
        "name": obj.path,
        "defined": _defined(obj),
        "explanation": explanation.replace(f"*{kind.value}*", kind.value),
        "line": None if parent is None else parent.lineno,
        "old_line": _line(obj) if removed else None,
        "breaking": True,
    }


def _defined(obj: Any) -> str:
    """Where a name is defined; where it is imported from, if that lies outside of the package."""
    import griffe

    try:
        return str(obj.canonical_path)
    except griffe.AliasResolutionError:
        return str(obj.target_path)


def _still_there(new: Any, removed: Any) -> Any:
    """The class that a removed name was a member of, if that is still there."""
    parent = removed.parent
    if parent is None or not parent.is_class:
        return None
    inside = parent.path.removeprefix(f"{parent.module.path}.")
    found = new.members.get(inside.split(".")[0])
    for name in inside.split(".")[1:]:
        found = None if found is None or found.is_alias else found.members.get(name)
    return None if found is None or found.is_alias else found


def _line(obj: Any) -> Any:
    return obj.alias_lineno if obj.is_alias else obj.lineno


def _added(old: Any, new: Any, path: str) -> Iterator[dict[str, Any]]:
    """Public names, members of classes and optional parameters that were not there before."""
    for name, member in new.members.items():
        if not member.is_public or member.is_module:
            continue
        before = old.members.get(name)
        here = f"{path}.{name}"
        if before is None or not before.is_public:
            inherited = old.all_members.get(name)
            if inherited is None or not inherited.is_public:
                yield _addition(here, _line(member))
        elif member.is_alias or before.is_alias:
            continue
        elif member.is_class and before.is_class:
            yield from _added(before, member, here)
        elif member.is_function and before.is_function:
            known = {parameter.name for parameter in before.parameters}
            for parameter in member.parameters:
                if parameter.name not in known and not parameter.required:
                    yield _addition(f"{here}({parameter.name})", member.lineno)


def _addition(name: str, line: Any) -> dict[str, Any]:
    return {
        "kind": "added",
        "name": name,
        "defined": name,
        "explanation": f"`{name}` is new",
        "line": line,
        "old_line": None,
        "breaking": False,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
