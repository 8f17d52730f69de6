"""An installed Chromium for tests: found, and started with nothing but the test's own page to load."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

REQUIRED = "REQUIRE_CHROMIUM"
"""With this set in the environment, a test that finds no browser fails; CI sets it."""

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_OPTIONS = (
    "--no-sandbox",  # root has none, and the page is our own
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> str:
    """The path of an installed browser; the test is skipped, or fails where one is required, if there is none."""
    for name in _NAMES:
        path = shutil.which(name)
        if path is not None:
            return path
    sought = f"no Chromium is installed: looked for {', '.join(_NAMES)}"
    if os.environ.get(REQUIRED):
        pytest.fail(f"{sought}; {REQUIRED} is set, so the page must be tried in one")
    pytest.skip(sought)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser with a fresh profile."""
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_OPTIONS))
        try:
            yield browser
        finally:
            browser.close()
