"""Sheets: many pictures on one, and its index."""

from __future__ import annotations

import json

from PIL import Image

from imagegen.config.job import Encoding
from imagegen.images.image_file import verify
from imagegen.images.sheet import Grid, draw_grid, write_grid_index

from .test_derive import BLUE, PNG, RED, file, opened, thirds

PICTURES = [file(thirds()), file(Image.new("RGB", (20, 40), BLUE)), file(Image.new("L", (200, 200), 128))]


def test_a_sheet_has_each_picture_in_the_middle_of_its_cell() -> None:
    found = opened(draw_grid(PICTURES, 3, Grid(2, 90), PNG)).convert("RGBA")
    assert found.size == (180, 180)
    assert found.getpixel((15, 45)) == (*RED, 255)
    assert found.getpixel((15, 20)) == (0, 0, 0, 0), "above a picture that is wider than high"
    assert found.getpixel((90 + 45, 45)) == (*BLUE, 255)
    assert found.getpixel((90 + 30, 45)) == (0, 0, 0, 0), "a small picture is not enlarged"
    assert found.getpixel((45, 90 + 45)) == (128, 128, 128, 255)
    assert found.getpixel((135, 135)) == (0, 0, 0, 0), "there is no fourth"


def test_the_index_says_where_each_picture_is() -> None:
    sizes = {"wide": (300, 100), "small": (20, 40), "grey": (200, 200)}
    found = json.loads(write_grid_index(sizes, Grid(2, 90), "sheet.png"))
    assert list(found["frames"]) == list(sizes)
    frames = {name: tuple(frame["frame"].values()) for name, frame in found["frames"].items()}
    assert frames == {"wide": (0, 30, 90, 30), "small": (90 + 35, 25, 20, 40), "grey": (0, 90, 90, 90)}
    assert found["meta"]["image"] == "sheet.png"
    assert found["meta"]["size"] == {"w": 180, "h": 180}
    whole = opened(draw_grid(PICTURES, 3, Grid(2, 90), PNG))
    for x, y, width, height in frames.values():
        part = whole.crop((x, y, x + width, y + height))
        assert part.getchannel("A").getextrema() == (255, 255), "a frame has its picture and no margin"
    assert whole.getchannel("A").histogram()[255] == sum(w * h for _, _, w, h in frames.values())


def test_a_sheet_is_always_the_same_bytes() -> None:
    assert draw_grid(PICTURES, 3, Grid(2, 90), PNG) == draw_grid(PICTURES, 3, Grid(2, 90), PNG)
    assert verify(draw_grid(PICTURES, 3, Grid(2, 90), Encoding("jpeg", 90, "none"))).format == "jpeg"
