"""From the values of a page to its HTML: one file that needs nothing beside it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from tinytorch_build.report.pages.page import Page, ShownModule
from tinytorch_build.report.pages.visible import visible

MOST_CHIPS = 40
"""How many modules of a list are shown as buttons; the graph marks the others, too."""


def render(page: Page) -> str:
    """The page as HTML 5, with its style and script in it.

    Every text goes through `visible` and jinja's escaping. Should a fault let markup through all the same,
    the page's Content-Security-Policy runs no script and loads nothing: it names the digests of the one style
    and the one script that belong here.
    """
    style, script = _text("page.css"), _text("page.js")
    html = (
        _environment()
        .get_template("page.html")
        .render(
            page=page,
            policy=Markup(content_policy(style, script)),
            style=Markup(style),
            script=Markup(script),
        )
    )
    return html.lstrip()


@cache  # it never changes, and to compile the templates takes most of the time
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        indices=_indices, shortened=_shortened, breakable=_breakable, MOST_CHIPS=MOST_CHIPS
    )
    return environment


def content_policy(style: str, script: str) -> str:
    """A policy under which a page has this style and this script, and nothing else of any kind."""
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _finalize(value: object) -> object:
    """What an expression of a template becomes before it is escaped."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _indices(names: Iterable[str], modules: Mapping[str, ShownModule]) -> str:
    return " ".join(str(modules[name].index) for name in names)


def _breakable(path: str) -> Markup:
    """A path that may go on in the next line after each folder and each word of a name."""
    folders = (Markup("_<wbr>").join(folder.split("_")) for folder in visible(path).split("/"))
    return Markup("/<wbr>").join(folders)


def _shortened(text: str, length: int) -> str:
    """A text that fits into `length` letters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
