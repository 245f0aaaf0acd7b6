"""Seamless textures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imagegen.images.formats import BadImage

from ..pictures import gradient
from .pictures import apply, colour, drawn

SLOPE = Image.frombytes("L", (64, 1), bytes(range(0, 256, 4))).resize((64, 48))


def test_the_picture_gets_smaller_by_the_overlap() -> None:
    assert apply(SLOPE, {"tile": 10}).size == (54, 38)
    assert apply(SLOPE, "tile").size == (58, 42)


def steps(levels: list[int]) -> list[int]:
    """How far each is from the next one, and the last from the first."""
    return [abs(one - other) for one, other in zip(levels, [*levels[1:], levels[0]], strict=True)]


@given(st.integers(1, 24))
def test_copies_side_by_side_have_no_seam(overlap: int) -> None:
    row = list(apply(SLOPE, {"tile": overlap}).crop((0, 0, 64 - overlap, 1)).tobytes())
    assert max(steps(row)) <= 4 + 256 / (overlap + 1)
    assert max(steps(row)) < 240


def test_what_is_outside_the_overlap_stays_as_it_is() -> None:
    picture = gradient("RGB", (20, 20))
    found = apply(picture, {"tile": 4})
    assert found.crop((4, 4, 16, 16)).tobytes() == picture.crop((4, 4, 16, 16)).tobytes()


def test_a_transparent_edge_adds_no_colour() -> None:
    found = apply(drawn("RRRR....", mode="RGBA").resize((8, 8)), {"tile": 4})
    assert all(colour(found, x, 0)[:3] == (255, 0, 0) for x in range(4) if colour(found, x, 0)[3])


def test_an_overlap_that_is_too_large_is_refused() -> None:
    with pytest.raises(BadImage, match="the image is 16×12, too small for an overlap of 7 pixels") as error:
        apply(gradient(), {"tile": 7})
    assert error.value.hint == "the overlap can be at most 6"
