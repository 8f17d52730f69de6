"""What an import does: it works alone, in silence, needs NumPy only, and changes nothing for others."""

import json
import subprocess


def run(command: list[str], code: str) -> str:
    """What a fresh Python prints; the test fails with its traceback if it ends otherwise than well."""
    done = subprocess.run([*command, code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_a_module_imports_alone_in_a_fresh_python_and_says_nothing(
    bare_python: list[str], module_name: str
) -> None:
    assert run(bare_python, f"import {module_name}") == ""


def test_nothing_but_numpy_and_the_standard_library_is_imported(
    bare_python: list[str], modules: dict[str, object]
) -> None:
    imports = "\n".join(f"import {name}" for name in modules)
    code = f"""
import json, sys
{imports}
importable = {{name.partition(".")[0] for name, module in sys.modules.items() if getattr(module, "__spec__", None)}}
print(json.dumps(sorted(importable - sys.stdlib_module_names)))
"""
    assert json.loads(run(bare_python, code)) == ["numpy", "tinytorch"]


def test_an_import_leaves_the_state_of_numpy_and_python_as_it_was(
    bare_python: list[str], modules: dict[str, object]
) -> None:
    imports = "\n".join(f"import {name}" for name in modules)
    code = f"""
import random, signal, sys, threading, warnings
import numpy as np
def state():
    return (
        np.geterr(), np.get_printoptions(), repr(np.random.get_state()), random.getstate(),
        sys.getrecursionlimit(), sys.excepthook, sys.path[:], list(warnings.filters),
        signal.getsignal(signal.SIGINT), threading.active_count(),
    )
before = state()
{imports}
print([number for number, (old, new) in enumerate(zip(before, state())) if old != new])
"""
    assert run(bare_python, code) == "[]\n"
