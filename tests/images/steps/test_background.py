"""The colour key."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageDraw

from imagegen.images.formats import BadImage

from .pictures import apply, colour, drawn, opaque

HARD = {"feather": 0}


def test_the_ground_goes_and_what_it_surrounds_stays() -> None:
    picture = drawn("WWWWWW", "WRRRRW", "WRWWRW", "WRRRRW", "WWWWWW", mode="RGB")
    found = apply(picture, {"background": HARD})
    assert opaque(found) == ["......", ".####.", ".####.", ".####.", "......"]
    assert colour(found, 2, 2) == (255, 255, 255, 255)


def test_a_chroma_key_goes_everywhere() -> None:
    picture = drawn("GGGGG", "GRRRG", "GRGRG", "GRRRG", "GGGGG", mode="RGB")
    found = apply(picture, {"background": {"colour": "#00ff00", "everywhere": True, **HARD}})
    assert opaque(found) == [".....", ".###.", ".#.#.", ".###.", "....."]


def test_neighbours_are_above_below_and_beside_and_not_at_a_corner() -> None:
    picture = drawn("KWKK", "WKKK", "KKWK", "KKKK", mode="L")
    found = apply(picture, {"background": {"colour": "white", **HARD}})
    assert opaque(found) == ["#.##", ".###", "####", "####"]


def test_colours_within_the_tolerance_go_and_the_next_one_stays() -> None:
    picture = drawn("WWWW", "WabW", "WWWW", a=(245, 255, 250, 255), b=(255, 244, 255, 255), mode="RGB")
    assert opaque(apply(picture, {"background": {"tolerance": 10, **HARD}})) == ["....", "..#.", "...."]


def test_corners_that_differ_are_refused_with_their_colours() -> None:
    picture = drawn("WR", "WW", mode="RGB")
    with pytest.raises(BadImage, match="differ by 255, and the tolerance is 32: #ffffff, #ff0000, #ffffff, #ffffff"):
        apply(picture, "background")


def test_the_key_is_the_mean_of_the_corners() -> None:
    picture = drawn("aWWc", "WRRW", "bWWd", a=(240, 240, 240, 255), b=(250, 250, 250, 255), c=(244, 244, 244, 255),
                    d=(246, 246, 246, 255), W=(235, 255, 245, 255), mode="RGB")  # fmt: skip
    assert opaque(apply(picture, {"background": {"tolerance": 10, **HARD}})) == ["....", ".##.", "...."]


@pytest.mark.parametrize(
    ("rows", "written", "what"),
    [
        (("RR", "RR"), {"colour": "white"}, "nothing at the picture's edges is within 32 of #ffffff"),
        (("RR", "RR"), {"colour": "#00f", "everywhere": True}, "nothing is within 32 of #0000ff"),
        (("RR", "RR"), {}, "everything is within 32 of #ff0000"),
        (("..", ".."), {}, "the picture's corners are transparent already"),
    ],
)
def test_a_key_that_does_nothing_or_leaves_nothing_is_an_error(
    rows: tuple[str, ...], written: dict[str, object], what: str
) -> None:
    with pytest.raises(BadImage, match=what):
        apply(drawn(*rows), {"background": written})


def test_what_was_transparent_stays_so() -> None:
    picture = drawn("WWWW", "W.RW", "WRxW", "WWWW", x=(255, 0, 0, 100))
    found = apply(picture, {"background": {"colour": "white", **HARD}})
    assert [colour(found, x, 2)[3] for x in range(4)] == [0, 255, 100, 0]
    assert opaque(found)[1] == "..#."


@given(
    edge=st.integers(1, 5),
    key=st.tuples(*[st.integers(0, 255)] * 3),
    own=st.tuples(*[st.integers(0, 255)] * 3),
    feather=st.integers(1, 4),
)
def test_on_the_key_colour_a_feathered_picture_looks_as_it_did(
    edge: int, key: tuple[int, int, int], own: tuple[int, int, int], feather: int
) -> None:
    large = Image.new("RGB", (24 * 4, 24 * 4), key)
    ImageDraw.Draw(large).ellipse((20 + edge, 20, 70, 70 + edge), fill=own)
    picture = large.reduce(4)
    written = {"colour": "#" + bytes(key).hex(), "tolerance": 0, "feather": feather}
    try:
        found = apply(picture, {"background": written})
    except BadImage:
        assert max(abs(one - other) for one, other in zip(key, own, strict=True)) == 0
        return
    again = Image.alpha_composite(Image.new("RGBA", found.size, key), found).convert("RGB")
    difference = ImageChops.difference(again, picture).getextrema()
    assert max(high for _, high in difference) <= 2  # type: ignore[misc]  # of bands, it is pairs


def test_no_shade_of_the_key_is_left_at_a_feathered_edge() -> None:
    large = Image.new("RGB", (160, 160), (0, 255, 0))
    ImageDraw.Draw(large).ellipse((30, 30, 130, 130), fill=(40, 0, 60))
    found = apply(large.reduce(4), {"background": "#00ff00"})
    translucent = [pixel for pixel in _pixels(found) if 0 < pixel[3] < 255]
    assert len(translucent) > 20
    assert all(green <= 2 for _, green, _, _ in translucent)


def test_far_from_the_edge_nothing_changes() -> None:
    picture = drawn("WWWWWWWW", *["WRBRBRBW"] * 6, "WWWWWWWW", mode="RGB")
    found = apply(picture, {"background": {"feather": 2}})
    assert found.crop((3, 3, 5, 5)).tobytes() == picture.convert("RGBA").crop((3, 3, 5, 5)).tobytes()


@given(st.data())
def test_the_fill_reaches_what_a_flood_of_single_pixels_reaches(data: st.DataObject) -> None:
    width, height = data.draw(st.integers(1, 19)), data.draw(st.integers(1, 9))
    is_white = data.draw(st.lists(st.booleans(), min_size=width * height, max_size=width * height))
    picture = Image.frombytes("L", (width, height), bytes(255 * white for white in is_white))
    reached = _flood(is_white, width, height)
    try:
        found = apply(picture, {"background": {"colour": "white", **HARD}})
    except BadImage:
        assert len(reached) in (0, width * height)
        return
    expected = ["".join("." if (x, y) in reached else "#" for x in range(width)) for y in range(height)]
    assert opaque(found) == expected


def _flood(is_white: list[bool], width: int, height: int) -> set[tuple[int, int]]:
    edges = [(x, y) for x in range(width) for y in range(height) if x in (0, width - 1) or y in (0, height - 1)]
    waiting = deque(place for place in edges if is_white[place[1] * width + place[0]])
    reached = set(waiting)
    while waiting:
        x, y = waiting.popleft()
        for near in ((x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)):
            inside = 0 <= near[0] < width and 0 <= near[1] < height
            if inside and near not in reached and is_white[near[1] * width + near[0]]:
                reached.add(near)
                waiting.append(near)
    return reached


def _pixels(picture: Image.Image) -> list[tuple[int, ...]]:
    data = picture.convert("RGBA").tobytes()
    return [tuple(data[at : at + 4]) for at in range(0, len(data), 4)]
