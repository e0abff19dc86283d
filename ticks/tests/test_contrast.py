"""Every text can be read on its background in both themes (WCAG 2.2 AA), computed from the tokens of the
stylesheets."""

import re

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders

TEXT = 4.5
SHAPE = 3.0
GROUNDS = ["page", "panel", "raised"]
STATES = ["good", "warn", "bad", "brand", "quiet"]
READ = [
    *[(text, ground) for text in ("text", "quiet", "brand", "brand-strong") for ground in GROUNDS],
    *[(text, "code") for text in ("text", "brand")],
    *[(state, f"{state}-ground") for state in STATES],
    *[("text", f"{state}-ground") for state in STATES],
    # A state's colour may stand alone, as a figure or beside a field.
    *[(state, ground) for state in STATES for ground in ("page", "panel")],
    *[("on-fill", ground) for ground in ("fill", "fill-strong", "danger", "danger-strong")],
    # A list's row that is chosen or pointed at.
    ("quiet", "brand-ground"),
    ("brand", "brand-ground"),
]
SEEN = [
    *[(line, ground) for line in ("edge", "focus") for ground in GROUNDS],
    ("edge", "brand-ground"),
    *[(f"{state}-shape", ground) for state in STATES for ground in ("page", "panel")],
    *[(f"{state}-shape", f"{state}-ground") for state in STATES],
    # This is a bar: the held part beside the rest.
    ("brand-shape", "quiet-ground"),
    ("good-shape", "quiet-ground"),
    ("warn-shape", "quiet-ground"),
    *[("fill", ground) for ground in ("page", "panel")],
    *[("danger", ground) for ground in ("page", "panel")],
]


OTHERS = sorted(path for path in settings.BASE_DIR.glob("*/static/*/*.css") if path.name != "tokens.css")


def stylesheet(name: str) -> str:
    with open(finders.find(f"ticks/{name}.css")) as file:
        return file.read()


def tokens() -> dict[str, tuple[str, str]]:
    """Every colour by its name: light, dark."""
    return {
        name: (light, dark)
        for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", stylesheet("tokens"))
    }


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted([luminance(one), luminance(other)])
    return (lighter + 0.05) / (darker + 0.05)


def too_faint(pairs: list[tuple[str, str]], least: float) -> list[str]:
    colours = tokens()
    return [
        f"{front} on {ground}, {theme}: {ratio:.2f}"
        for front, ground in pairs
        for theme, one, other in zip(("light", "dark"), colours[front], colours[ground], strict=True)
        if (ratio := contrast(one, other)) < least
    ]


def test_contrast_is_that_of_the_guideline():
    assert round(contrast("#000000", "#ffffff"), 1) == 21.0
    assert round(contrast("#767676", "#ffffff"), 2) == 4.54
    assert contrast("#123456", "#123456") == 1


def test_text_can_be_read():
    assert too_faint(READ, TEXT) == []


def test_controls_and_shapes_can_be_seen():
    assert too_faint(SEEN, SHAPE) == []


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.name)
def test_stylesheet_takes_its_colours_from_the_tokens(path):
    content = re.sub(r"/\*.*?\*/|@media print {.*", "", path.read_text(), flags=re.DOTALL)
    known = set(re.findall(r"--([\w-]+):", stylesheet("tokens") + stylesheet("admin") + content))

    assert re.findall(r"#[0-9a-f]{3,8}\b(?=[;\s,)])", content) == []
    # A rule that is left open swallows the rest.
    assert path.read_text().count("{") == path.read_text().count("}")
    assert set(re.findall(r"var\(--([\w-]+)", content)) <= known


def test_no_stylesheet_is_left_out():
    assert {path.name for path in OTHERS} >= {"admin.css", "forms.css", "lists.css", "parts.css", "ticks.css"}
