"""The checks after the export as a whole."""

from __future__ import annotations

from tests.build_system.checks.samples import EXPORT, GOOD, SOURCE, after, exported
from tinytorch_build.checks import Check, run_checks
from tinytorch_build.checks.after_export import AFTER_EXPORT, ExportUnderCheck
from tinytorch_build.model import Problem


def test_a_sound_export_has_no_problems() -> None:
    assert after(GOOD) == []


def test_problems_come_in_the_order_of_their_lines() -> None:
    text = f"{GOOD}{EXPORT}def f():\n    return np\n\n\nimport scipy\nfrom demo.core.setup import greet\n"
    assert [message.split(": ")[0] for message in after(text)] == [
        f"{SOURCE}:{line}" for line in (11, 12, 15, 16)
    ]


def test_a_check_is_a_function_and_an_entry() -> None:
    def no_constants(export: ExportUnderCheck) -> list[Problem]:
        return [
            export.problem("constant", f"`{name}` is a constant", statement.lineno)
            for name, statement in export.defined.items()
            if name.isupper()
        ]

    checks: tuple[Check[ExportUnderCheck], ...] = (*AFTER_EXPORT, no_constants)
    assert [str(problem) for problem in run_checks(checks, exported(GOOD))] == [
        f"{SOURCE}:7: `SIZE` is a constant [constant]"
    ]
