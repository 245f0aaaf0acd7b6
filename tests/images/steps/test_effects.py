"""Outlines and shadows."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imagegen.images.formats import BadImage

from .pictures import apply, colour, drawn, opaque

DOT = drawn("R")


def test_an_outline_is_as_wide_as_asked_and_the_picture_grows_by_it() -> None:
    found = apply(drawn("..", ".R"), {"outline": {"width": 1, "colour": "blue", "smooth": False}})
    assert opaque(found) == ["....", "..#.", ".###", "..#."] or opaque(found) == ["....", ".###", ".###", ".###"]
    assert colour(found, 2, 2) == (255, 0, 0, 255)
    assert colour(found, 1, 2) == (0, 0, 255, 255)


def test_it_is_round() -> None:
    found = apply(DOT, {"outline": {"width": 20, "colour": "blue"}})
    alpha = found.getchannel("A")
    assert (found.size, alpha.getbbox()) == ((41, 41), (0, 0, 41, 41))
    assert abs(sum(alpha.tobytes()) / 255 / (math.pi * 20.5**2) - 1) < 0.02
    assert alpha.getpixel((3, 3)) == 0


def test_its_edges_are_smooth_or_hard() -> None:
    smooth = apply(DOT, {"outline": 5}).getchannel("A").histogram()
    hard = apply(DOT, {"outline": {"width": 5, "smooth": False}}).getchannel("A").histogram()
    assert any(smooth[1:255])
    assert not any(hard[1:255])


@given(width=st.integers(1, 6), rows=st.lists(st.text("R.", min_size=7, max_size=7), min_size=3, max_size=5))
def test_no_pixel_within_the_width_is_left_out_and_none_beyond_is_drawn(width: int, rows: list[str]) -> None:
    found = apply(drawn(*rows), {"outline": {"width": width, "smooth": False}})
    drawn_at = [(x, y) for y, row in enumerate(rows) for x, character in enumerate(row) if character == "R"]
    for y, row in enumerate(opaque(found)):
        for x, character in enumerate(row):
            near = any(math.hypot(x - width - a, y - width - b) < width + 0.5 for a, b in drawn_at)
            assert character == ("#" if near else ".")


@pytest.mark.parametrize("step", ["outline", "shadow", "trim"])
def test_around_nothing_there_is_nothing_to_draw(step: str) -> None:
    with pytest.raises(BadImage, match="the image is fully transparent"):
        apply(drawn("..", ".."), step)


def test_a_translucent_edge_lies_on_the_outline() -> None:
    found = apply(drawn("Rx", x=(255, 0, 0, 128)), {"outline": {"width": 1, "colour": "blue"}})
    assert colour(found, 2, 1) == (128, 0, 127, 255)


@pytest.mark.parametrize(("x", "y"), [(3, 2), (-3, -2), (0, 0), (30, 0)])
def test_a_hard_shadow_is_the_pictures_shape_moved(x: int, y: int) -> None:
    written = {"x": x, "y": y, "blur": 0, "colour": "blue", "opacity": 1}
    found = apply(drawn("RR", "RR"), {"shadow": written})
    assert found.size == (2 + abs(x), 2 + abs(y))
    left, top = max(0, -x), max(0, -y)
    for dx in range(found.width):
        for dy in range(found.height):
            on_picture = left <= dx < left + 2 and top <= dy < top + 2
            on_shadow = left + x <= dx < left + x + 2 and top + y <= dy < top + y + 2
            expected = (255, 0, 0, 255) if on_picture else (0, 0, 255, 255) if on_shadow else (0, 0, 0, 0)
            assert colour(found, dx, dy)[3] == expected[3]
            assert expected[3] == 0 or colour(found, dx, dy) == expected


@pytest.mark.parametrize("blur", [1, 2, 8, 20, 60])
def test_nothing_of_a_blurred_shadow_is_cut_off(blur: int) -> None:
    found = apply(Image.new("RGBA", (90, 90), "red"), {"shadow": {"blur": blur, "x": 0, "y": 0, "opacity": 1}})
    alpha = found.getchannel("A")
    width, height = found.size
    edges = [(0, 0, width, 1), (0, height - 1, width, height), (0, 0, 1, height), (width - 1, 0, width, height)]
    assert all(max(alpha.crop(edge).tobytes()) <= 2 for edge in edges)
    assert found.size == (90 + 2 * math.ceil(1.5 * blur),) * 2


@pytest.mark.parametrize(("opacity", "level"), [(1, 255), (0.5, 128), (0.25, 64)])
def test_a_shadow_is_as_opaque_as_asked(opacity: float, level: int) -> None:
    found = apply(DOT, {"shadow": {"x": 1, "y": 0, "blur": 0, "opacity": opacity}})
    assert colour(found, 1, 0) == (0, 0, 0, level)


@pytest.mark.parametrize(
    "step", [{"outline": {"colour": "#0000ff80"}}, {"shadow": {"colour": "#0000ff80", "opacity": 1, "blur": 0}}]
)
def test_a_colour_can_be_translucent(step: dict[str, Any]) -> None:
    found = apply(DOT, step)
    assert {level for level in found.getchannel("A").tobytes() if level} >= {128, 255}
