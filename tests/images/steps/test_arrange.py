"""Resizing, flipping and rotating."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imagegen.images.formats import BadImage

from ..pictures import gradient
from .pictures import apply, colour, drawn

SQUARE = drawn("RG", "BK", mode="RGB")


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ({"width": 20}, (20, 10)),
        ({"height": 20}, (40, 20)),
        ({"width": 20, "height": 20}, (20, 10)),
        ({"width": 20, "height": 20, "mode": "fill"}, (20, 20)),
        ({"width": 20, "height": 20, "mode": "exact"}, (20, 20)),
    ],
)
def test_the_size_is_the_one_promised(written: dict[str, Any], size: tuple[int, int]) -> None:
    assert apply(gradient("RGB", (80, 40)), {"resize": written}).size == size


def test_fill_keeps_the_side_asked_for() -> None:
    halves = Image.new("RGB", (40, 20), "red")
    halves.paste("blue", (20, 0, 40, 20))
    left = apply(halves, {"resize": {"width": 10, "height": 10, "mode": "fill", "keep": "left"}})
    right = apply(halves, {"resize": {"width": 10, "height": 10, "mode": "fill", "keep": "right"}})
    assert (colour(left, 4, 4), colour(right, 4, 4)) == ((255, 0, 0, 255), (0, 0, 255, 255))


@pytest.mark.parametrize(
    "written", [{"width": 3}, {"width": 2, "height": 3, "mode": "exact"}, {"width": 2, "height": 3, "mode": "fill"}]
)
def test_a_smaller_picture_is_enlarged_only_if_asked(written: dict[str, Any]) -> None:
    with pytest.raises(BadImage, match="the image is 2×2, too small for"):
        apply(SQUARE, {"resize": written})
    assert apply(SQUARE, {"resize": {**written, "enlarge": True}}).width == written["width"]


def test_nearest_keeps_hard_edges() -> None:
    found = apply(SQUARE, {"resize": {"width": 6, "enlarge": True, "filter": "nearest"}})
    assert found.getcolors() == [(9, (0, 0, 0)), (9, (0, 0, 255)), (9, (0, 255, 0)), (9, (255, 0, 0))] or (
        sorted(count for count, _ in found.getcolors() or ()) == [9, 9, 9, 9]
    )
    assert [colour(found, x, 0)[:3] for x in (0, 2, 3, 5)] == [(255, 0, 0)] * 2 + [(0, 255, 0)] * 2


def test_a_transparent_neighbour_darkens_no_edge() -> None:
    found = apply(drawn("R.", "R.", "R.", "R."), {"resize": {"height": 2}})
    assert colour(found, 0, 0)[:3] == (255, 0, 0)


def test_flip() -> None:
    assert apply(SQUARE, {"flip": "horizontal"}).tobytes() == drawn("GR", "KB", mode="RGB").tobytes()
    assert apply(SQUARE, {"flip": "vertical"}).tobytes() == drawn("BK", "RG", mode="RGB").tobytes()


@pytest.mark.parametrize(
    ("angle", "rows"),
    [(90, ("BR", "KG")), (180, ("KB", "GR")), (-90, ("GK", "RB")), (270.0, ("GK", "RB"))],
)  # fmt: skip
def test_quarter_turns_are_clockwise_and_exact(angle: float, rows: tuple[str, str]) -> None:
    found = apply(SQUARE, {"rotate": angle})
    assert (found.mode, found.tobytes()) == ("RGB", drawn(*rows, mode="RGB").tobytes())


@given(angle=st.integers(-359, 359).filter(bool), size=st.tuples(st.integers(1, 20), st.integers(1, 20)))
def test_no_angle_cuts_anything_off(angle: int, size: tuple[int, int]) -> None:
    found = apply(Image.new("RGB", size, "red"), {"rotate": {"angle": angle, "filter": "nearest"}})
    area = sum(found.convert("RGBA").getchannel("A").tobytes()) / 255
    assert abs(area - size[0] * size[1]) <= 2 * sum(size)


def test_other_angles_turn_clockwise_and_are_transparent_at_the_corners() -> None:
    bar = Image.new("RGB", (40, 10), "blue")
    bar.paste("red", (0, 0, 20, 10))
    found = apply(bar, {"rotate": 45})
    assert found.mode == "RGBA"
    assert colour(found, 0, 0)[3] == colour(found, found.width - 1, 0)[3] == 0
    quarter = found.width // 4
    assert colour(found, quarter, quarter)[:3] == (255, 0, 0)
    assert colour(found, 3 * quarter, 3 * quarter)[:3] == (0, 0, 255)
