"""What an export imports from its own package."""

from __future__ import annotations

import pytest

from tests.build_system.checks.samples import EXPORT, GOOD, SOURCE, TOP, after, course, exported
from tinytorch_build.checks.dependencies import declared_modules_are_used, imports_are_declared
from tinytorch_build.model import Dependency, Manifest, Problem

UNSATISFIED = "Module dependencies not satisfied: layers imports"


def said(code: str, manifest: Manifest | None = None) -> list[str]:
    export = exported(f"{GOOD}{EXPORT}{code}\n", manifest)
    return [str(problem) for problem in imports_are_declared(export)]


@pytest.mark.parametrize(
    "code",
    [
        "from demo.core.tensor import Tensor as T",
        "from demo.core import tensor",
        "import demo.core.tensor",
        "import demo.core.tensor as t",
        "from demo.core.tensor import (\n    Tensor,\n)",
        "def f():\n    from demo.core.tensor import Tensor",
        "def f():\n    from .tensor import Tensor",
        "def f():\n    from . import tensor",
        "import demonstration",
    ],
)
def test_declared_imports_pass(code: str) -> None:
    assert said(code) == []


@pytest.mark.parametrize(
    "code",
    [
        "from demo.core.setup import greet",
        "from demo.core.setup import (\n    greet,\n    other,\n)",
        "from demo.core import setup",
        "import demo.core.setup as s",
        "from demo.core.setup import *",
    ],
)
def test_an_undeclared_import(code: str) -> None:
    message = (
        f"{SOURCE}:11: {UNSATISFIED} setup, which it does not declare [undeclared-import]\n"
        '  cure: add "setup" to depends of [modules.layers] in modules.toml'
    )
    assert set(said(code)) == {message}


def test_an_undeclared_import_in_a_function() -> None:
    assert said("def f():\n    from .setup import greet") == [
        f"{SOURCE}:12: {UNSATISFIED} setup, which it does not declare [undeclared-import]\n"
        '  cure: add "setup" to depends of [modules.layers] in modules.toml'
    ]


def test_an_import_of_a_later_module() -> None:
    assert said("from demo.core.dense import Dense") == [
        f"{SOURCE}:11: {UNSATISFIED} dense, which comes later in the course [undeclared-import]\n"
        "  cure: do without it, or move what needs dense into a module that comes after it"
    ]


@pytest.mark.parametrize(
    ("code", "dotted", "cure"),
    [
        ("from demo.core.tensr import Tensor", "demo.core.tensr", "did you mean `demo.core.tensor`?"),
        ("from demo.tensor import Tensor", "demo.tensor", "did you mean `demo.core.tensor`?"),
        ("import demo.core.tensor.basic", "demo.core.tensor.basic", "did you mean `demo.core.tensor`?"),
        ("from demo.core import tensors", "demo.core.tensors", "did you mean `demo.core.tensor`?"),
        ("import demo.core", "demo.core", "import from a module that modules.toml names as a target"),
        ("from demo import core", "demo.core", "import from a module that modules.toml names as a target"),
        (
            "from demo.data import Set",
            "demo.data",
            "import from a module that modules.toml names as a target",
        ),
        ("from demo.core import *", "demo.core", "import from a module that modules.toml names as a target"),
    ],
)
def test_an_import_of_no_module(code: str, dotted: str, cure: str) -> None:
    assert said(code) == [
        f"{SOURCE}:11: {UNSATISFIED} {dotted}, which is no module of the course [unknown-module]\n  "
        f"cure: {cure}"
    ]


@pytest.mark.parametrize(
    ("code", "what", "cure"),
    [
        (
            "from demo import Tensor",
            "`Tensor` from demo itself",
            "write `from demo.core.tensor import Tensor`",
        ),
        (
            "from demo import greet",
            "`greet` from demo itself",
            'write `from demo.core.setup import greet`, and add "setup" to depends of [modules.layers] in '
            "modules.toml",
        ),
        (
            "from demo import other",
            "`other` from demo itself",
            "import each name from the module that defines it: `from demo.... import other`",
        ),
        (
            "import demo",
            "demo as a whole",
            "import each name from the module that defines it: `from demo.... import ...`",
        ),
        (
            "from demo import *",
            "demo as a whole",
            "import each name from the module that defines it: `from demo.... import ...`",
        ),
    ],
)
def test_an_import_from_the_root(code: str, what: str, cure: str) -> None:
    assert said(code) == [
        f"{SOURCE}:11: {UNSATISFIED} {what}, which would import every module of the course [root-import]\n"
        f"  cure: {cure}"
    ]


@pytest.mark.parametrize(
    ("code", "what"),
    [("import demo.core.layers", "itself"), ("from demo.core.layers import SIZE", "`SIZE` from itself")],
)
def test_a_module_that_imports_itself(code: str, what: str) -> None:
    assert said(code) == [
        f"{SOURCE}:11: {UNSATISFIED} {what} [circular-import]\n"
        "  cure: use the name as it is, without an import"
    ]


@pytest.mark.parametrize("code", ["from demo.core.dense import Dense", "from demo import Dense"])
def test_an_undeclared_import_in_an_inline_cell(code: str) -> None:
    assert after(f"{GOOD}# %%\n{code}\n") == [
        f"{SOURCE}:10: {UNSATISFIED} dense, which comes later in the course [undeclared-import]\n"
        "  cure: do without it, or move what needs dense into a module that comes after it"
    ]


def test_an_unknown_module_in_an_inline_cell() -> None:
    assert after(f"{GOOD}# %%\n\nimport demo.core.tensr\n") == [
        f"{SOURCE}:11: {UNSATISFIED} demo.core.tensr, which is no module of the course [unknown-module]\n"
        "  cure: did you mean `demo.core.tensor`?"
    ]


@pytest.mark.parametrize(
    "cell",
    [
        "# %%\nfrom demo.core.layers import SIZE\nfrom demo import Tensor\nimport demo\nimport os\n",
        "# %%\n#| eval: false\nfrom demo.core.dense import Dense\n",
        "# %%\n%%bash\nimport demo.core.dense\n",
    ],
)
def test_other_inline_cells_pass(cell: str) -> None:
    assert after(GOOD + cell) == []


def unused(text: str, manifest: Manifest) -> list[Problem]:
    return declared_modules_are_used(exported(text, manifest))


def test_a_declared_module_that_no_cell_imports() -> None:
    text = f"{TOP}{EXPORT}x = 1\n"
    assert [str(problem) for problem in unused(text, course())] == [
        "modules.toml:20: warning: layers declares tensor, but no cell of it imports tensor "
        "[unused-dependency]\n"
        '  cure: take "tensor" out of depends of [modules.layers]'
    ]


@pytest.mark.parametrize("cell", ["from demo.core.tensor import Tensor", "from demo import Tensor"])
def test_an_import_in_an_inline_cell_is_use_enough(cell: str) -> None:
    assert unused(f"{TOP}{EXPORT}x = 1\n\n# %%\n{cell}\n", course()) == []


def test_all_modules_may_be_declared_and_not_imported() -> None:
    everything = (Dependency("setup"), Dependency("tensor"))
    assert unused(f"{TOP}{EXPORT}x = 1\n", course(depends=everything)) == []


@pytest.mark.parametrize("constraint", [">=2", "!=1.0.0", "<1.0"])
def test_a_version_that_is_not_met(constraint: str) -> None:
    manifest = course(depends=(Dependency("tensor", constraint),))
    assert after(GOOD, manifest) == [
        f"modules.toml:20: Module dependencies not satisfied: layers needs tensor{constraint}, and "
        f"tensor has version 1.0.0 [version-constraint]\n"
        "  cure: change the constraint in depends of [modules.layers], or the version"
    ]


@pytest.mark.parametrize("constraint", ["", ">=1.0,<2", "~=1.0", ">=1.0.dev0"])
def test_a_version_that_is_met(constraint: str) -> None:
    assert after(GOOD, course(depends=(Dependency("tensor", constraint),))) == []
