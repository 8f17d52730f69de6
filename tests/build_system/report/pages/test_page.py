"""What the page holds, and that no text of a course becomes markup."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings

from tests.build_system.builders import manifest_of
from tests.build_system.report.pages.reports import EVIDENCE, HOSTILE, MANIFEST, PLAN, failing, ready
from tests.build_system.report.pages.test_visible import ANY_TEXT
from tinytorch_build.model import Outcome, PackageStage, Problem
from tinytorch_build.plan import make_plan
from tinytorch_build.report import Report, assemble
from tinytorch_build.report.pages.evidence import Evidence
from tinytorch_build.report.pages.html import content_policy, render
from tinytorch_build.report.pages.page import MOST_PROBLEMS, make_page
from tinytorch_build.report.pages.visible import visible

LOG = "build/logs/export/layers.log"


def html_of(report: Report, evidence: Evidence = EVIDENCE) -> str:
    return render(make_page(MANIFEST, PLAN, report, evidence))


class Parsed(HTMLParser):
    """The tags of a page, with their attributes, and its text outside of style and script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(tag, tuple(attributes)) for tag, attributes in self.tags]


def test_who_signs_off_sees_what_was_tried_and_when() -> None:
    finished = datetime(2026, 3, 1, 9, 5, 59, tzinfo=UTC)
    assert "demo 0.1.0, 2026-03-01 09:05 UTC" in Parsed(html_of(replace(ready(), finished=finished))).text
    assert replace(ready(), finished=finished).to_json()["finished"] == "2026-03-01T09:05:59+00:00"


def test_a_broken_promise_is_shown_with_the_module_that_broke_it() -> None:
    report, stage = ready(), PackageStage.COMPATIBILITY
    broken = Problem("api-break", "`flip` was removed", MANIFEST["tensor"].source, 40, "raise version")
    task = replace(report.package[stage], outcome=Outcome.FAILED, problems=(broken,))
    page = make_page(MANIFEST, PLAN, replace(report, package={**report.package, stage: task}), EVIDENCE)
    shown = page.modules["tensor"]
    assert (shown.tasks[-1].title, shown.tasks[-1].outcome) == ("compatibility", Outcome.FAILED)
    assert [problem.problem for problem in shown.tasks[-1].problems] == [broken]
    assert shown.count("error") == 1
    assert page.modules["layers"].count("error") == 0


def test_relations_of_a_module() -> None:
    modules = make_page(MANIFEST, PLAN, failing(), EVIDENCE).modules
    training = modules["training"].relations
    assert training.needs == ("tensor", "layers", "optimizers", "dataloader")
    assert training.needs_through == ("autograd",)
    assert training.needed_by == ("benchmarking", "mlops", "capstone")
    assert training.blocked_by == ("layers",)
    assert modules["layers"].relations.blocks[:2] == ("dense", "spatial")
    assert modules["kernels"].relations.waits_for == ("training",)
    assert (modules["kernels"].state, modules["kernels"].word) == ("held", "held back")


def test_a_module_shows_the_test_files_that_are_its_gates_before_publish() -> None:
    tasks = make_page(MANIFEST, PLAN, ready(), EVIDENCE).modules["dense"].tasks
    assert [task.title for task in tasks] == [
        "convert",
        "export",
        "import-check",
        "test",
        "tests/integration/test_dense_layers.py",
        "publish",
    ]


def test_the_page_says_what_it_should() -> None:
    parsed = Parsed(html_of(failing()))
    text = " ".join(parsed.text.split())
    for said in (
        "Integration failed, blocking release",
        "Package validation requires these tests to pass: import-check:layers",
        "src/01_layers/layers_dev.py:12",
        "return np.asarray(values) * 2",
        "NameError: np",
        "66 %: 2 of 3 public names; none on Dropout",
        "blocked by import-check:layers",
    ):
        assert said in text, said
    ready_text = " ".join(Parsed(html_of(ready())).text.split())
    for said in (
        "Ready for student testing",
        "API since v0.1.0",
        "changed, breaking",
        "the parameter `bias` was removed",
        "dist/demo-0.1.0-py3-none-any.whl",
        "41,230 bytes",
        "installed by uv",
        "no network",
    ):
        assert said in ready_text, said


def test_one_file_that_asks_for_nothing() -> None:
    html = html_of(failing())
    for _, attributes in Parsed(html).tags:
        assert "src" not in attributes
        assert "style" not in attributes, "the policy forbids it"
        assert not any(name.startswith("on") for name in attributes)
        href = attributes.get("href") or "#"
        assert href.startswith("#") or href in ("report.json", "junit.xml")
    assert "url(" not in html
    assert "@import" not in html


def test_the_policy_names_the_digests_of_the_one_style_and_the_one_script() -> None:
    html = html_of(ready())
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    policy = content_policy(style, script)
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in html
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_every_identifier_is_given_once_and_every_link_leads_somewhere() -> None:
    tags = Parsed(html_of(failing())).tags
    names = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(names) == len(set(names))
    links = [attributes["href"] or "" for _, attributes in tags if "href" in attributes]
    assert {link[1:] for link in links if link.startswith("#")} <= set(names)


@pytest.mark.parametrize("text", [HOSTILE, '"><b onclick=x>', "{{ 7 * 7 }}", "{% raw %}", "<!--", "&lt;"])
def test_hostile_text_leaves_the_markup_as_it_is(text: str) -> None:
    _leaves_the_markup_as_it_is(text)


@given(ANY_TEXT)
@settings(max_examples=30, deadline=None)
def test_any_text_leaves_the_markup_as_it_is(text: str) -> None:
    _leaves_the_markup_as_it_is(text)


def _leaves_the_markup_as_it_is(text: str) -> None:
    hostile = Parsed(html_of(failing(text, LOG), Evidence(logs={LOG: text or " "})))
    assert hostile.shape == _shape_of_plain_text()
    assert visible(text) in hostile.text


@cache
def _shape_of_plain_text() -> list[tuple[str, tuple[str, ...]]]:
    return Parsed(html_of(failing("plain", LOG), Evidence(logs={LOG: "plain"}))).shape


def test_the_same_report_gives_the_same_page() -> None:
    assert html_of(failing()) == html_of(failing())


@pytest.mark.parametrize("count", [1, 200])
def test_small_and_large_courses(count: int) -> None:
    manifest = manifest_of({f"m{index}": [f"m{index // 3}"] if index else [] for index in range(count)})
    plan = make_plan(manifest, ())
    html = render(make_page(manifest, plan, assemble(manifest, plan, {}, ()), Evidence()))
    nodes = [attributes for tag, attributes in Parsed(html).tags if attributes.get("role") == "button"]
    assert len(nodes) == 2 * count, "the wide drawing and the narrow one"
    assert len(html) < 10_000_000


def test_of_very_many_problems_the_first_are_shown() -> None:
    report = failing()
    task = report.package[next(iter(report.package))]
    many = replace(task, outcome=Outcome.FAILED, problems=tuple(Problem("c", f"p{n}") for n in range(300)))
    page = make_page(MANIFEST, PLAN, replace(report, package={next(iter(report.package)): many}), EVIDENCE)
    (shown,) = page.package_tasks
    assert (len(shown.problems), shown.more) == (MOST_PROBLEMS, 300 - MOST_PROBLEMS)


def test_of_very_many_neighbours_the_first_are_buttons_and_all_are_marked() -> None:
    manifest = manifest_of({"root": [], **{f"m{index}": ["root"] for index in range(100)}})
    plan = make_plan(manifest, ())
    html = render(make_page(manifest, plan, assemble(manifest, plan, {}, ()), Evidence()))
    assert "and 60 more" in html
    marked = next(
        attributes["data-below"] or "" for _, attributes in Parsed(html).tags if "data-below" in attributes
    )
    assert marked.split() == [str(index) for index in range(1, 101)]
