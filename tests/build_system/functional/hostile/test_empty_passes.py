"""Tests that seem to pass and prove nothing: what lies around them, or they themselves, have changed the rules."""

from __future__ import annotations

import pytest

from tests.build_system.functional.hostile.verdicts import assert_nobody_else_is_the_worse, assert_verdict
from tests.build_system.functional.hostile.yard import Hostile, Yard

WRONG = "assert False, 'this must be seen'"
CONFTEST = "{tests}/conftest.py"
SKIPS = (
    "import pytest\ndef pytest_collection_modifyitems(items):\n"
    "    for item in items:\n        item.add_marker(pytest.mark.skip(reason='not today'))\n"
)
DESELECTS = (
    "def pytest_collection_modifyitems(config, items):\n"
    "    config.hook.pytest_deselected(items=list(items))\n    items.clear()\n"
)
NO_BODY = (
    "import pytest\n@pytest.hookimpl(tryfirst=True)\ndef pytest_pyfunc_call(pyfuncitem):\n    return True\n"
)
NO_RUN = "import pytest\npytest.Function.runtest = lambda self: None\n"
SWALLOWS = (
    "import pytest\n@pytest.hookimpl(wrapper=True)\ndef pytest_pyfunc_call(pyfuncitem):\n"
    "    try:\n        return (yield)\n    except BaseException:\n        return True\n"
)
SWALLOWS_BELOW = (
    "import pytest\nrun = pytest.Function.runtest\ndef runtest(self):\n"
    "    try:\n        run(self)\n    except BaseException:\n        pass\npytest.Function.runtest = runtest\n"
)
OTHER_BODY = (
    "def pytest_collection_modifyitems(items):\n    for item in items:\n        item.obj = lambda: None\n"
)
SKIPPED_IN_INI = "[pytest]\naddopts = --collect-only\npython_functions = nothing\n"

REPLACED = "import {module}\n{module}.{name} = lambda *values, **named: None"

CASES = [
    Hostile("skipped", ["no-test-passed"], "1 skipped", in_test=WRONG, beside={CONFTEST: SKIPS}),
    Hostile(
        "deselected",
        ["tests-deselected", "no-test-passed"],
        "none was run",
        in_test=WRONG,
        beside={CONFTEST: DESELECTS},
    ),
    Hostile(
        "ini",
        ["test-failed"],
        "this must be seen",
        in_test=WRONG,
        beside={"{tests}/pytest.ini": SKIPPED_IN_INI},
    ),
    Hostile("no_body", ["tests-taken-over"], "pytest_pyfunc_call", in_test=WRONG, beside={CONFTEST: NO_BODY}),
    Hostile("no_run", ["tests-tampered"], "Function.runtest", in_test=WRONG, beside={CONFTEST: NO_RUN}),
    Hostile(
        "swallowed", ["tests-taken-over"], "pytest_pyfunc_call", in_test=WRONG, beside={CONFTEST: SWALLOWS}
    ),
    Hostile(
        "swallowed_below",
        ["tests-tampered"],
        "Function.runtest",
        in_test=WRONG,
        beside={CONFTEST: SWALLOWS_BELOW},
    ),
    Hostile("other_body", ["test-not-run"], "test_twice", in_test=WRONG, beside={CONFTEST: OTHER_BODY}),
    *(
        Hostile(
            f"replaced_{name}",
            ["tests-tampered"],
            f"replaced {module}.{name}, which is not its own",
            in_test=REPLACED.format(module=module, name=name),
        )
        for module, name in (("builtins", "sum"), ("numpy", "allclose"), ("pytest", "raises"))
    ),
    Hostile(
        "replaced_at_import",
        ["import-tampered"],
        "replaced builtins.sum, which is not its own",
        at_import=REPLACED.format(module="builtins", name="sum"),
    ),
    Hostile(
        "stand_in",
        ["tests-shadow-pytest"],
        "takes the place of pytest",
        beside={"{tests}/pytest.py": "print('1 passed')\n"},
    ),
    Hostile(
        "stand_in_at_source",
        ["tests-shadow-pytest"],
        "takes the place of pytest",
        beside={"{sources}/pytest.py": "print('1 passed')\n"},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_no_pass(yard: Yard, case: Hostile) -> None:
    assert_verdict(yard, case)


def test_nobody_else_is_the_worse(yard: Yard) -> None:
    assert_nobody_else_is_the_worse(yard)
