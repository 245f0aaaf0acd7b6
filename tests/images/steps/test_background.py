"""The colour key."""

from __future__ import annotations

import io
import random
from collections import deque

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageDraw, ImageFilter

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


def cut_out(fill: str | tuple[int, int, int], detail: str = "") -> Image.Image:
    """A subject with smooth edges, drawn over nothing: what a colour key should find."""
    large = Image.new("RGBA", (48 * 4, 48 * 4))
    pen = ImageDraw.Draw(large)
    pen.ellipse((20, 22, 150, 165), fill=fill)
    pen.rounded_rectangle((62, 120, 176, 181), 12, fill=fill)
    if detail:
        pen.ellipse((60, 60, 100, 110), fill=detail)
        pen.line([(60, 90), (110, 140)], fill=detail, width=10)
    return large.reduce(4)


def worst_on_any_ground(one: Image.Image, other: Image.Image) -> int:
    """The greatest difference of a channel where both are seen on several grounds."""
    found = 0
    for ground in ("black", "white", "magenta", "#808080"):
        seen = [Image.alpha_composite(Image.new("RGBA", one.size, ground), each) for each in (one, other)]
        extremes = ImageChops.difference(*(each.convert("RGB") for each in seen)).getextrema()
        found = max(found, *(high for _, high in extremes))  # type: ignore[misc]  # of bands, it is pairs
    return found


@pytest.mark.parametrize(
    ("key", "fill", "detail"),
    [
        ("#00ff00", "#d2a082", "#a02030"),  # skin on a green screen
        ("white", "#b41e28", "#ffe070"),
        ("white", "#202428", "white"),  # what has the key colour inside stays
        ("white", "#c8c8c8", ""),
        ("#0000ff", "#e8d080", "#0000ff"),
        ("black", "#9fcdd3", "black"),
    ],
)
def test_what_was_drawn_over_nothing_is_found_again_on_a_ground(key: str, fill: str, detail: str) -> None:
    truth = cut_out(fill, detail)
    picture = Image.alpha_composite(Image.new("RGBA", truth.size, key), truth).convert("RGB")
    assert worst_on_any_ground(apply(picture, "background"), truth) <= 24


@given(key=st.tuples(*[st.integers(0, 255)] * 3), own=st.tuples(*[st.integers(0, 255)] * 3))
def test_so_it_is_with_any_two_colours_that_differ_enough(key: tuple[int, int, int], own: tuple[int, int, int]) -> None:
    assume(max(abs(one - other) for one, other in zip(key, own, strict=True)) >= 64)
    truth = cut_out(own)
    picture = Image.alpha_composite(Image.new("RGBA", truth.size, key), truth).convert("RGB")
    assert worst_on_any_ground(apply(picture, {"background": {"tolerance": 16}}), truth) <= 24


@pytest.mark.parametrize("spread", [1, 2, 3])
@pytest.mark.parametrize(("tolerance", "feather"), [(4, 1), (12, 1), (24, 1), (24, 0)])
def test_nothing_that_can_be_seen_has_the_keys_colour(tolerance: int, feather: int, spread: int) -> None:
    levels = random.Random(spread).randbytes(40 * 40 * 3)  # noqa: S311 - a picture
    noise = bytes(0x80 + (level - 0x80) // spread for level in levels)
    picture = Image.frombytes("RGB", (40, 40), noise).filter(ImageFilter.BoxBlur(1))
    written = {"colour": "#808080", "tolerance": tolerance, "feather": feather, "everywhere": True}
    found = _pixels(apply(picture, {"background": written}))
    visible = [pixel[:3] for pixel in found if pixel[3]]
    assert 0 < len(visible) < len(found)
    assert min(max(abs(level - 0x80) for level in pixel) for pixel in visible) > tolerance


@pytest.mark.parametrize("feather", [1, 2, 4, 8])
@pytest.mark.parametrize(("key", "fill"), [("#00ff00", (210, 160, 130)), ("white", (200, 200, 200))])
def test_a_fading_edge_has_the_subjects_colour_and_no_other(key: str, fill: tuple[int, int, int], feather: int) -> None:
    truth = cut_out(fill)
    picture = Image.alpha_composite(Image.new("RGBA", truth.size, key), truth).convert("RGB")
    found = apply(picture, {"background": {"feather": feather}})
    visible = [pixel for pixel in _pixels(found) if pixel[3]]
    assert max(abs(one - other) for pixel in visible for one, other in zip(pixel[:3], fill, strict=True)) <= 3
    assert max(ImageChops.subtract(found.getchannel("A"), truth.getchannel("A")).tobytes()) <= 24
    levels = len({pixel[3] for pixel in visible})
    assert levels > 2 * feather


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


@pytest.mark.parametrize("quality", [85, 92, 95])
def test_a_jpeg_keeps_no_light_dots_at_its_edges(quality: int) -> None:
    large = Image.new("RGB", (600, 600), "white")
    ImageDraw.Draw(large).ellipse((100, 100, 500, 500), fill="#c22")
    file = io.BytesIO()
    large.resize((150, 150)).save(file, "JPEG", quality=quality)
    found = apply(Image.open(file).convert("RGB"), {"background": "corners"})
    red, green, blue, alpha = (found.getchannel(band).tobytes() for band in "RGBA")
    light = [colour for colour in zip(red, green, blue, alpha, strict=True) if colour[3] > 200 and min(colour) > 150]
    assert light == []
