"""Cutting off what is around a picture, and adding to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.images.formats import BadImage

from ..pictures import gradient
from .pictures import apply, colour, drawn, opaque

PICTURE = drawn("......", "..R...", "..RB..", "......", "......")


def test_trim_cuts_off_what_is_transparent() -> None:
    found = apply(PICTURE, "trim")
    assert (found.size, opaque(found)) == ((2, 2), ["#.", "##"])
    assert colour(found, 1, 1) == (0, 0, 255, 255)


def test_trim_leaves_as_many_pixels_as_asked_also_beyond_the_picture() -> None:
    assert opaque(apply(PICTURE, {"trim": 2})) == ["......", "......", "..#...", "..##..", "......", "......"]


def test_trim_keeps_what_is_nearly_transparent() -> None:
    assert apply(drawn("...", ".x.", "...", x=(1, 2, 3, 1)), "trim").tobytes() == bytes([1, 2, 3, 1])


def test_trim_refuses_what_has_nothing_in_it() -> None:
    with pytest.raises(BadImage, match="fully transparent"):
        apply(drawn("..", ".."), "trim")


@given(width=st.integers(1, 70), height=st.integers(1, 70))
def test_pad_makes_the_sides_equal_or_powers_of_two(width: int, height: int) -> None:
    picture = gradient("RGB", (width, height))
    assert apply(picture, {"pad": "square"}).size == (max(width, height),) * 2
    wide, tall = apply(picture, {"pad": "power-of-two"}).size
    assert all(side & (side - 1) == 0 for side in (wide, tall))
    assert width <= wide < 2 * width or width == wide == 1
    assert height <= tall < 2 * height or height == tall == 1


@pytest.mark.parametrize(
    ("position", "rows"),
    [
        ("top-left", ["##..", "....", "...."]),
        ("top", [".##.", "....", "...."]),
        ("centre", ["....", ".##.", "...."]),
        ("right", ["....", "..##", "...."]),
        ("bottom-right", ["....", "....", "..##"]),
    ],
)
def test_pad_puts_the_picture_where_it_is_asked_to(position: str, rows: list[str]) -> None:
    found = apply(drawn("RG", mode="RGB"), {"pad": {"width": 4, "height": 3, "position": position}})
    assert opaque(found) == rows


def test_pad_by_a_margin() -> None:
    assert opaque(apply(drawn("R"), {"pad": {"margin": 1}})) == ["...", ".#.", "..."]


def test_the_room_has_the_colour_asked_for_also_behind_a_transparent_picture() -> None:
    found = apply(drawn("R.", "..", mode="RGBA"), {"pad": {"width": 3, "colour": "#0000ff"}})
    assert [colour(found, x, 0) for x in range(3)] == [(255, 0, 0, 255), (0, 0, 255, 255), (0, 0, 255, 255)]


def test_an_opaque_picture_in_an_opaque_colour_stays_opaque() -> None:
    assert apply(gradient("RGB"), {"pad": {"margin": 1, "colour": "white"}}).mode == "RGB"
    assert apply(gradient("L"), {"pad": {"margin": 1, "colour": "red"}}).mode == "RGB"


def test_pad_cuts_nothing_off() -> None:
    with pytest.raises(BadImage, match="16×12, larger than 8×12 pixels"):
        apply(gradient(), {"pad": {"width": 8}})
