"""The CSS of a packed sheet in a real browser: each element looks as its picture does."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageDraw

from imagegen.images.atlas import convert_index
from imagegen.images.packed_sheet import draw_page, measure, write_packed_index
from imagegen.images.packing import Packing
from tests.images.test_derive import PNG, file
from tests.report.gallery.browser import Browser

pytestmark = pytest.mark.xdist_group("browser")

SIDE = 40
"""Of the square in which each picture is shown."""


def disc(colour: str, box: tuple[int, int, int, int]) -> Image.Image:
    image = Image.new("RGBA", (32, 24))
    ImageDraw.Draw(image).ellipse(box, fill=colour, outline="black")
    return image


PICTURES = {
    "whole": disc("red", (0, 0, 31, 23)),
    "left": disc("green", (0, 4, 9, 20)),
    "right": disc("blue", (20, 2, 30, 9)),
    "opaque": Image.linear_gradient("L").resize((17, 19)),
}


def test_each_element_looks_as_its_picture_does(tmp_path: Path) -> None:
    files = {name: file(image) for name, image in PICTURES.items()}
    parts = {name: measure(one, trim=True) for name, one in files.items()}
    images = ["sheet.png", "sheet-2.png"]
    animations = {"spin": ["right", "left"], "whole": ["whole"], "opaque": ["opaque"]}
    index = write_packed_index(parts, Packing(2, 1, 36, power_of_two=False), images, animations, 0.001)
    for number, sheet in enumerate(images, 1):
        (tmp_path / sheet).write_bytes(draw_page(index, number, files.__getitem__, PNG))
    (tmp_path / "sheet.css").write_bytes(convert_index("css", index, "job"))
    shown = {**{f"job-{name}": image for name, image in PICTURES.items()}, "job--spin": PICTURES["right"]}
    style = "position: absolute; top: 0; left: {}px"
    elements = "".join(f'<i class="{name}" style="{style.format(n * SIDE)}"></i>' for n, name in enumerate(shown))
    page = tmp_path / "page.html"
    page.write_text(f'<!doctype html><link rel="stylesheet" href="sheet.css"><body style="background: gold">{elements}')
    browser = Browser(tmp_path / "profile")
    try:
        browser.open(page, width=600, height=SIDE)
        with Image.open(io.BytesIO(browser.screenshot())) as found:
            seen = found.convert("RGB")
        assert browser.console() == []
    finally:
        browser.close()
    wanted = Image.new("RGBA", seen.size, "gold")
    for n, image in enumerate(shown.values()):
        wanted.alpha_composite(image.convert("RGBA"), (n * SIDE, 0))
    assert ImageChops.difference(seen, wanted.convert("RGB")).getextrema() == ((0, 0), (0, 0), (0, 0))
