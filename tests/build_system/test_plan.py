"""The plan as data: order, gates, root causes."""

from __future__ import annotations

import pytest

from tests.build_system.builders import manifest_of
from tinytorch_build.plan import REPORT, Plan, TestFile, TestKind, make_plan, visible_modules

COURSE = {"a": [], "b": ["a"], "c": [], "d": ["b", "c"]}


def integration(*modules: str) -> TestFile:
    name = f"test_{'_'.join(modules) or 'nothing'}.py"
    return TestFile(f"tests/integration/{name}", name, TestKind.INTEGRATION, modules)


def plan_of(*files: TestFile) -> Plan:
    return make_plan(manifest_of(COURSE), files)


def test_every_task_stands_after_what_it_needs() -> None:
    plan = plan_of(
        integration("a", "b"),
        integration("a", "c"),
        integration(),
        TestFile("tests/system/test_s.py", "test_s.py", TestKind.SYSTEM, ("a", "b", "c", "d")),
    )
    seen: set[str] = set()
    for task in plan.tasks:
        assert seen.issuperset(task.needs), task
        seen.add(task.name)


@pytest.mark.parametrize(
    ("task", "needs"),
    [
        ("convert:b", ()),
        ("export:b", ("convert:b",)),
        ("import-check:b", ("export:b", "test:a")),
        ("test:b", ("import-check:b",)),
        ("integration:test_a_b.py", ("test:a", "test:b")),
        ("publish:b", ("test:b", "integration:test_a_b.py")),
        ("import-check:d", ("export:d", "test:b", "integration:test_a_b.py", "test:c")),
        ("validate:d", ("publish:d", "validate:b", "validate:c")),
        ("validate", ("validate:a", "validate:b", "validate:c", "validate:d")),
        ("system", ("validate",)),
    ],
)
def test_what_a_task_needs(task: str, needs: tuple[str, ...]) -> None:
    assert plan_of(integration("a", "b")).by_name[task].needs == needs


def test_the_last_module_owns_an_integration_file() -> None:
    assert integration("a", "c", "d").owner == "d"
    assert integration().owner is None


def test_a_file_about_no_module_still_runs() -> None:
    assert "integration:test_nothing.py" in plan_of(integration()).by_name["validate"].needs


def test_root_causes_are_the_failed_tasks_that_needed_nothing_failed() -> None:
    plan = plan_of(integration("a", "b"))
    assert plan.root_causes("publish:d", ["convert:a"]) == ("convert:a",)
    assert plan.root_causes("publish:d", ["test:c", "integration:test_a_b.py"]) == (
        "integration:test_a_b.py",
        "test:c",
    )
    assert plan.root_causes("publish:a", ["test:c"]) == ()


def test_visible_modules_are_in_course_order() -> None:
    assert visible_modules(manifest_of(COURSE), ["d", "a"]) == ("a", "b", "c", "d")
    assert visible_modules(manifest_of(COURSE), ["b"]) == ("a", "b")


def test_a_long_chain_needs_no_recursion() -> None:
    chain = {f"m{number}": [f"m{number - 1}"] if number else [] for number in range(2000)}
    plan = make_plan(manifest_of(chain), ())
    assert plan.root_causes("validate:m1999", ["convert:m0"]) == ("convert:m0",)


def test_the_report_comes_after_everything_else() -> None:
    report = plan_of().by_name[REPORT]
    assert report.is_goal
    assert report.needs == ("verify",)
