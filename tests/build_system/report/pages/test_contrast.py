"""Every text of the page can be read: contrast of at least 4.5 to 1 (WCAG 2.2, AA), in light and in dark."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

STYLE = files("tinytorch_build.report.pages").joinpath("page.css").read_text(encoding="utf-8")
LIGHT, DARK = (
    dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))
    for block in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
)
STATES = ("passed", "failed", "blocked", "not-run", "held")
PAIRS = [
    *((text, ground) for text in ("text", "quiet", "accent") for ground in ("ground", "sheet", "sunk")),
    *((state, ground) for state in STATES for ground in ("sheet", "sunk", f"{state}-ground")),
    *((text, f"{state}-ground") for text in ("text", "accent") for state in STATES),
    ("quiet", "failed-ground"),
    ("quiet", "blocked-ground"),
]


def luminance(colour: str) -> float:
    """Relative luminance of sRGB, as WCAG 2.2 defines it."""
    parts = (int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5))
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_the_measure_itself() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), PAIRS)
def test_text_can_be_read(palette: dict[str, str], text: str, ground: str) -> None:
    assert contrast(palette[text], palette[ground]) >= 4.5


def test_both_palettes_have_the_same_names() -> None:
    assert LIGHT.keys() == DARK.keys()
