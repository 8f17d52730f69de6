"""The page in a real browser: clicked through, by keyboard, in dark and light, on a phone, offline and under attack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.build_system.report.pages.chromium import chromium
from tests.build_system.report.pages.graphs import COURSE
from tests.build_system.report.pages.reports import EVIDENCE, HOSTILE, MANIFEST, PLAN, failing, ready
from tinytorch_build.report import Report
from tinytorch_build.report.pages.evidence import Evidence
from tinytorch_build.report.pages.html import render
from tinytorch_build.report.pages.page import make_page

DESK, PHONE = (1280, 900), (360, 740)
ATTACKS = (
    "</script><script>document.title='owned'</script>"
    "<img src=x onerror=\"document.title='owned'\">"
    "{{ 7 * 7 }}<style>body{display:none}</style>" + HOSTILE
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@contextmanager
def opened(
    browser: Browser,
    folder: Path,
    report: Report,
    evidence: Evidence = EVIDENCE,
    *,
    size: tuple[int, int] = DESK,
    scheme: Literal["dark", "light"] = "light",
    html: str | None = None,
    anchor: str = "",
    refused: int = 0,
    **options: Any,
) -> Iterator[Page]:
    """The page of a report, opened by file://; it asks for no other file, and has nothing for the console.

    Args:
        refused: how often the browser has to say that the page's policy forbids something.
    """
    file = folder / "index.html"
    file.write_text(html or render(make_page(MANIFEST, PLAN, report, evidence)), encoding="utf-8")
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, offline=True, **options
    )
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    try:
        page.goto(file.as_uri() + anchor)
        yield page
        assert asked == [file.as_uri()]
        assert [text for text in said if "Content Security Policy" not in text] == []
        assert len(said) == refused
    finally:
        context.close()


def node(page: Page, name: str) -> Any:
    """A module's box in the drawing that is shown."""
    return page.locator(".graph:visible").get_by_role("button", name=f"{name},")


def panel(page: Page, part: str = "") -> Any:
    return page.locator(f".panel .about.chosen {part}")


def related(page: Page, role: str) -> set[str]:
    found = page.locator(f".graph:visible .node.{role}").evaluate_all(
        "nodes => nodes.map(node => node.getAttribute('aria-label').split(',')[0])"
    )
    return set(found)


def test_clicking_through_the_graph(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, failing()) as page:
        node(page, "dense").click()
        expect(panel(page, "h3")).to_have_text("dense")
        expect(panel(page, ".needs .chip")).to_have_text(["tensor", "layers"])
        expect(panel(page, ".needed-by .chip")).to_have_text(["benchmarking", "mlops", "capstone"])
        expect(panel(page, ".blocked-by .chip")).to_have_text(["layers"])
        expect(node(page, "dense")).to_have_attribute("aria-pressed", "true")
        assert related(page, "above") == {"tensor", "layers"}
        assert related(page, "below") == {"benchmarking", "mlops", "capstone"}

        panel(page, ".blocked-by .chip").click()
        expect(panel(page, "h3")).to_have_text("layers")
        expect(panel(page, "h3")).to_be_focused()
        expect(panel(page, ".blocked-by")).to_have_text("nothing")
        expect(panel(page, ".blocks .chip")).to_have_text(
            ["dense", "spatial", "attention", "training", "compression", "benchmarking", "mlops", "capstone"]
        )
        expect(panel(page)).to_have_count(1)

        node(page, "layers").click()
        expect(panel(page)).to_have_count(0)
        expect(page.locator(".panel .nothing")).to_be_visible()


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_every_module_can_be_clicked(browser: Browser, tmp_path: Path, size: tuple[int, int]) -> None:
    with opened(browser, tmp_path, ready(), size=size) as page:
        for name, needs in COURSE.items():
            node(page, name).click()
            expect(panel(page, "h3")).to_have_text(name)
            assert set(panel(page, ".needs .chip").all_inner_texts()) >= set(needs)


def test_lines_to_what_it_needs_and_to_what_needs_it_are_told_apart(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, ready()) as page:
        node(page, "optimizers").click()
        lines = page.locator(".graph:visible .line")
        above = lines.and_(page.locator(".above"))
        below = lines.and_(page.locator(".below"))
        assert above.count() == 2, "tensor to autograd to optimizers"
        assert below.count() >= 3
        style = "line => getComputedStyle(line).strokeDasharray"
        assert above.first.evaluate(style) == "none"
        assert below.first.evaluate(style) != "none"


def test_what_failed_is_chosen_and_open_at_once(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, failing()) as page:
        expect(panel(page, "h3")).to_have_text("layers")
        problem = page.locator("#module-layers .problem")
        expect(problem).to_contain_text("`np` is not defined")
        expect(problem).to_contain_text("src/01_layers/layers_dev.py:12")
        expect(problem.locator(".cure")).to_have_text("import it in an exported cell")
        expect(problem.locator("mark")).to_contain_text("return np.asarray(values) * 2")
        expect(page.locator("#module-dense")).not_to_have_attribute("open", "")


def test_the_keyboard_alone(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, ready()) as page:
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        page.keyboard.press("Tab")
        expect(node(page, "setup")).to_be_focused()
        page.keyboard.press("ArrowRight")
        expect(node(page, "tensor")).to_be_focused()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        below = page.locator(".graph:visible .node:focus")
        assert below.get_attribute("data-row") == "1"
        expect(panel(page)).to_have_count(1)
        ring = below.locator(".ring").evaluate("ring => getComputedStyle(ring).stroke")
        assert ring != "none", "the focus can be seen"
        page.keyboard.press("ArrowUp")
        expect(page.locator(".graph:visible .node:focus")).to_have_attribute("data-row", "0")
        page.keyboard.press("End")
        expect(node(page, "capstone")).to_be_focused()
        page.keyboard.press("Space")
        expect(panel(page, "h3")).to_have_text("capstone")
        page.keyboard.press("Tab")
        expect(panel(page, ".needs .chip").first).to_be_focused()
        page.keyboard.press("Shift+Tab")
        expect(node(page, "capstone")).to_be_focused()
        page.keyboard.press("Home")
        expect(node(page, "setup")).to_be_focused()
        page.keyboard.press("Escape")
        expect(panel(page)).to_have_count(0)


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("report", [ready, failing])
def test_a_phone_is_wide_enough(
    browser: Browser, tmp_path: Path, report: Any, scheme: Literal["dark", "light"]
) -> None:
    with opened(browser, tmp_path, report(), size=PHONE, scheme=scheme) as page:
        page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
        expect(page.locator(".graph.narrow")).to_be_visible()
        expect(page.locator(".graph.wide")).to_be_hidden()
        box = page.locator(".graph.narrow").bounding_box()
        assert box is not None
        assert box["width"] <= PHONE[0]


def test_dark_and_light_differ(browser: Browser, tmp_path: Path) -> None:
    grounds = []
    schemes: tuple[Literal["dark", "light"], ...] = ("dark", "light")
    for scheme in schemes:
        with opened(browser, tmp_path, ready(), scheme=scheme) as page:
            grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds[0] != grounds[1]


def test_hostile_output_is_only_text(browser: Browser, tmp_path: Path) -> None:
    log = "build/logs/export/layers.log"
    evidence = Evidence(logs={log: ATTACKS}, excerpts=EVIDENCE.excerpts)
    with opened(browser, tmp_path, failing(ATTACKS, log), evidence) as page:
        assert page.title() == "demo 0.1.0: Integration failed, blocking release"
        assert page.locator("script").count() == 1
        assert page.locator("img").count() == 0
        message = page.locator("#module-layers .problem p").first
        expect(message).to_contain_text("<script>document.title='owned'</script>")
        expect(message).to_contain_text("]]>")
        expect(message).to_contain_text("\\x00")
        expect(message).to_contain_text("{{ 7 * 7 }}")
        node(page, "dense").click()
        expect(panel(page, "h3")).to_have_text("dense")


def test_markup_that_got_through_would_not_run(browser: Browser, tmp_path: Path) -> None:
    html = render(make_page(MANIFEST, PLAN, ready(), EVIDENCE)).replace(
        "<footer>",
        "<script>document.title='owned'</script><p id=x onclick=\"document.title='owned'\">x</p><footer>",
    )
    with opened(browser, tmp_path, ready(), html=html, refused=2) as page:
        page.locator("#x").click()
        assert page.title() != "owned"
        node(page, "tensor").click()
        expect(panel(page, "h3")).to_have_text("tensor")


def test_the_address_of_a_module_opens_it(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, ready(), anchor="#module-training") as page:
        expect(page.locator("#module-training")).to_have_attribute("open", "")
        expect(panel(page, "h3")).to_have_text("training")


def test_without_script_everything_is_there_to_read(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, failing(), java_script_enabled=False) as page:
        expect(page.locator(".panel .about")).to_have_count(len(COURSE))
        expect(page.locator(".panel .about").last).to_be_visible()


def test_motion_is_for_those_who_like_it(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, ready(), reduced_motion="reduce") as page:
        style = "node => getComputedStyle(node).transitionDuration"
        assert node(page, "tensor").evaluate(style) == "0s"


def test_on_a_phone_what_is_chosen_is_in_sight(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, ready(), size=PHONE) as page:
        node(page, "tensor").click()
        expect(panel(page, "h3")).to_be_in_viewport()
