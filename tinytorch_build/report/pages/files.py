"""Writes the page and the JUnit file beside `report.json`."""

from __future__ import annotations

from pathlib import Path

from tinytorch_build.files import write_atomically
from tinytorch_build.layout import Layout
from tinytorch_build.model import Manifest
from tinytorch_build.plan import Plan
from tinytorch_build.report.outcome import Report
from tinytorch_build.report.pages.evidence import gather
from tinytorch_build.report.pages.junit import junit_xml
from tinytorch_build.report.pages.page import make_page


def write_pages(layout: Layout, manifest: Manifest, plan: Plan, report: Report) -> tuple[Path, Path]:
    """Write `index.html` and `junit.xml`.

    Returns:
        the paths of both.

    Raises:
        OSError: one cannot be written; an earlier one still stands.
    """
    from tinytorch_build.report.pages.html import render  # jinja2 is for those who ask for a page

    evidence = gather(layout, manifest, report)
    page, junit = layout.page, layout.junit
    write_atomically(junit, junit_xml(manifest.package.name, report, evidence))
    write_atomically(page, render(make_page(manifest, plan, report, evidence)).encode("utf-8"))
    return page, junit
