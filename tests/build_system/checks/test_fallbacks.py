"""Code that hides a missing module, and imports behind the back of the other checks."""

from __future__ import annotations

import pytest

from tests.build_system.checks.samples import EXPORT, GOOD, SOURCE, exported
from tinytorch_build.checks.fallbacks import imports_are_plain, missing_modules_are_not_hidden


def hidden(code: str) -> list[str]:
    export = exported(f"{GOOD}{EXPORT}{code}\n")
    return [str(problem) for problem in missing_modules_are_not_hidden(export)]


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (
            "try:\n    from demo.core.tensor import Tensor\nexcept ImportError:\n    class Tensor: ...",
            "demo.core.tensor",
        ),
        ("try:\n    import numpy as np\nexcept ModuleNotFoundError:\n    np = None", "numpy"),
        ("try:\n    import numpy\nexcept (ValueError, ImportError):\n    pass", "numpy"),
        ("try:\n    import numpy\nexcept Exception as error:\n    print(error)", "numpy"),
        ("try:\n    import numpy\nexcept:\n    pass", "numpy"),
        ("try:\n    import numpy\nexcept builtins.ImportError:\n    if SIZE:\n        raise", "numpy"),
        ("try:\n    import numpy\nexcept* ImportError:\n    pass", "numpy"),
        ("try:\n    from .tensor import Tensor\nexcept ImportError:\n    pass", ".tensor"),
        ("try:\n    if SIZE:\n        import numpy\nexcept ImportError:\n    pass", "numpy"),
        ("try:\n    x = importlib.import_module('numpy')\nexcept ImportError:\n    pass", "numpy"),
        ("try:\n    x = __import__(SIZE)\nexcept ImportError:\n    pass", "a module"),
        ("with contextlib.suppress(ImportError):\n    import numpy", "numpy"),
        ("with suppress(OSError, ModuleNotFoundError):\n    import numpy", "numpy"),
    ],
)
def test_a_fallback(code: str, name: str) -> None:
    assert hidden(code) == [
        f"{SOURCE}:11: the code runs on without {name} if it cannot be imported, and hides that it is "
        f"missing [hidden-import-error]\n  cure: import {name} plainly, and let a missing module be an error"
    ]


def test_a_fallback_in_a_function() -> None:
    code = "def f():\n    try:\n        import numpy\n    except ImportError:\n        return None"
    assert [text.split(": ")[0] for text in hidden(code)] == [f"{SOURCE}:12"]


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    import tomllib\nexcept ImportError:\n    tomllib = None",
        "try:\n    import numpy\nexcept ImportError as error:\n    raise RuntimeError('numpy?') from error",
        "try:\n    import numpy\nexcept ValueError:\n    pass",
        "try:\n    x = 1\nexcept ImportError:\n    import numpy",
        "with contextlib.suppress(OSError):\n    import numpy",
        "with open(''):\n    import numpy",
    ],
)
def test_other_handlers_pass(code: str) -> None:
    assert hidden(code) == []


def detours(code: str) -> list[str]:
    return [str(problem) for problem in imports_are_plain(exported(f"{GOOD}{EXPORT}{code}\n"))]


@pytest.mark.parametrize(
    ("code", "detour"),
    [
        ("import importlib\nx = importlib.import_module('demo')", "`importlib.import_module`"),
        ("import importlib as il\nx = il.reload(SIZE)", "`il.reload`"),
        ("from importlib import import_module as load\nx = load('demo')", "`load`"),
        (
            "import importlib.util\nx = importlib.util.module_from_spec(SIZE)",
            "`importlib.util.module_from_spec`",
        ),
        ("import runpy\nx = runpy.run_path('a.py')", "`runpy.run_path`"),
        ("import sys\nx = __import__('demo')", "`__import__`"),
        ("import sys\nexec('import demo')", "an import inside `exec`"),
        ("import sys\nx = eval('__import__(\"demo\")')", "an import inside `eval`"),
        ("import sys\nsys.path.insert(0, '.')", "a change of `sys.path`"),
        ("from sys import path\npath.append('.')", "a change of `sys.path`"),
        ("import sys\nsys.path += ['.']", "a change of `sys.path`"),
        ("import sys\nsys.path[0] = '.'", "a change of `sys.path`"),
        ("import sys\nx = sys.modules['demo']", "`sys.modules`"),
        ("import sys\nx = sys.modules.get('demo')", "`sys.modules`"),
        ("import sys\ndel sys.modules['demo']", "`sys.modules`"),
    ],
)
def test_a_detour(code: str, detour: str) -> None:
    assert detours(code) == [
        f"{SOURCE}:12: {detour} gets at modules in a way that no check can follow [import-detour]\n"
        "  cure: write a plain `import`"
    ]


@pytest.mark.parametrize(
    "code",
    [
        "import importlib.metadata\nx = importlib.metadata.version('numpy')",
        "from importlib import metadata\nx = metadata.version('numpy')",
        "from importlib.util import find_spec\nx = find_spec('numpy')",
        "from importlib.resources import files\nx = files('demo')",
        "import sys\nx = sys.path[0], 'a' in sys.modules, sys.modules[__name__]",
        "x = eval('1 + 1')",
        "class A:\n    path = []\nA.path.append(1)",
    ],
)
def test_what_only_looks_like_a_detour_passes(code: str) -> None:
    assert detours(code) == []
