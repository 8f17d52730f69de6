"""Runs in a fresh environment, by its path and with the standard library alone: imports a package, and says
what came of it. Nothing of `tinytorch_build` can be imported here."""

import importlib
import importlib.metadata
import json
import sys
import traceback
from pathlib import Path
from typing import Any


def main(request: str, answer: str) -> None:
    """Import everything, and write what came of it.

    Args:
        request: path of a JSON file: the name of the package and the full names of its modules.
        answer: path of the JSON file to write: where each module came from, or the error that it raised; the
            names that `from package import *` gives; and the installed distributions with their versions.
    """
    wanted = json.loads(Path(request).read_text(encoding="utf-8"))
    modules = {name: _imported(name) for name in [wanted["package"], *wanted["modules"]]}
    names: dict[str, Any] = {}
    try:
        exec(f"from {wanted['package']} import *", names)
        star: dict[str, Any] = {"names": sorted(name for name in names if name != "__builtins__")}
    except Exception:  # whatever it raises is the answer
        star = {"error": traceback.format_exc()}
    found = {
        distribution.metadata["Name"]: distribution.version
        for distribution in importlib.metadata.distributions()
    }
    said = {"modules": modules, "star": star, "distributions": found}
    Path(answer).write_text(json.dumps(said), encoding="utf-8")


def _imported(name: str) -> dict[str, str]:
    try:
        return {"file": str(importlib.import_module(name).__file__)}
    except Exception:  # whatever it raises is the answer
        return {"error": traceback.format_exc()}


if __name__ == "__main__":
    main(*sys.argv[1:])
