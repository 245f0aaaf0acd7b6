"""Masks and frames."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops

from imagegen.config.steps import read_step
from imagegen.images.formats import BadImage
from imagegen.images.steps import check_file

from ..pictures import gradient, saved
from .pictures import apply, colour, drawn, opaque, png


def test_a_circle_has_the_area_of_one_and_smooth_edges() -> None:
    found = apply(Image.new("RGB", (60, 40), "red"), {"mask": "circle"})
    alpha = found.getchannel("A")
    assert abs(sum(alpha.tobytes()) / 255 - math.pi * 20**2) < 4
    assert alpha.getbbox() == (10, 0, 50, 40)
    assert sum(0 < level < 255 for level in alpha.tobytes()) > 20
    for turned in (alpha.transpose(Image.Transpose.FLIP_LEFT_RIGHT), alpha.transpose(Image.Transpose.FLIP_TOP_BOTTOM)):
        assert ImageChops.difference(alpha, turned).getbbox() is None


def test_round_corners_have_the_radius_asked_for() -> None:
    alpha = apply(Image.new("RGB", (40, 30)), {"mask": {"shape": "rounded", "radius": 10}}).getchannel("A")
    assert abs(sum(alpha.tobytes()) / 255 - (40 * 30 - (4 - math.pi) * 10**2)) < 3
    assert (alpha.getpixel((0, 0)), alpha.getpixel((20, 0)), alpha.getpixel((0, 15))) == (0, 255, 255)


def test_a_margin_lies_between_a_shape_and_the_edges() -> None:
    circle = apply(Image.new("RGB", (60, 40)), {"mask": {"shape": "circle", "margin": 5}}).getchannel("A")
    assert circle.getbbox() == (15, 5, 45, 35)
    rounded = apply(Image.new("RGB", (60, 40)), {"mask": {"shape": "rounded", "margin": 5}}).getchannel("A")
    assert rounded.getbbox() == (5, 5, 55, 35)
    with pytest.raises(BadImage, match="a margin of 20 leaves nothing of 60×40 pixels"):
        apply(Image.new("RGB", (60, 40)), {"mask": {"shape": "circle", "margin": 20}})


def test_a_radius_larger_than_half_a_side_is_half_a_side() -> None:
    round_as_can_be = apply(Image.new("RGB", (30, 30)), {"mask": {"shape": "rounded", "radius": 4096}})
    circle = apply(Image.new("RGB", (30, 30)), {"mask": "circle"})
    difference = ImageChops.difference(round_as_can_be.getchannel("A"), circle.getchannel("A"))
    assert sum(difference.tobytes()) / 255 < 4


def test_a_mask_and_a_picture_that_is_transparent_already_are_multiplied() -> None:
    picture = drawn("xR", "RR", x=(255, 0, 0, 100))
    files = {"m.png": png(drawn("aK", "WW", a=(128, 128, 128, 255), mode="L"))}
    found = apply(picture, {"mask": "m.png"}, files=files)
    assert [colour(found, x, y)[3] for y in range(2) for x in range(2)] == [50, 0, 255, 255]


def test_a_masks_transparency_counts_and_its_brightness_only_if_it_is_opaque() -> None:
    picture = gradient("RGB", (2, 1))
    transparent = {"m.png": png(drawn("K."))}
    bright = {"m.png": png(drawn("KW"))}
    assert opaque(apply(picture, {"mask": "m.png"}, files=transparent)) == ["#."]
    assert opaque(apply(picture, {"mask": "m.png"}, files=bright)) == [".#"]


def test_a_frame_goes_over_or_under_and_is_resized_to_the_picture() -> None:
    small = drawn("GGGG", "G..G", "G..G", "GGGG")
    picture = drawn("RRRR", "RRRR", "RR..", "RR..")
    over = apply(picture, {"frame": "r.png"}, files={"r.png": png(small)})
    assert [colour(over, at, at) for at in range(3)] == [(0, 255, 0, 255), (255, 0, 0, 255), (0, 0, 0, 0)]
    under = apply(picture, {"frame": {"image": "r.png", "place": "under"}}, files={"r.png": png(small)})
    assert [colour(under, at, at) for at in (0, 2, 3)] == [(255, 0, 0, 255), (0, 0, 0, 0), (0, 255, 0, 255)]
    large = png(small.resize((40, 40), Image.Resampling.NEAREST))
    found = apply(picture, {"frame": "r.png"}, files={"r.png": large})
    assert found.size == (4, 4)
    assert colour(found, 0, 0)[1] > 200


def test_a_frame_over_an_opaque_picture_leaves_it_opaque() -> None:
    ring = {"r.png": png(drawn("G.", ".."))}
    found = apply(drawn("RR", "RR", mode="RGB"), {"frame": "r.png"}, files=ring)
    assert (found.mode, colour(found, 0, 0), colour(found, 1, 1)) == ("RGB", (0, 255, 0, 255), (255, 0, 0, 255))


@pytest.mark.parametrize("step", ["mask", "frame"])
def test_neither_is_distorted(step: str) -> None:
    files = {"f.png": png(drawn(".RRR", "R..."))}
    with pytest.raises(BadImage, match=f"the {step} is 4×2 and the picture 16×12: the ratio differs") as error:
        apply(gradient(), {step: "f.png"}, files=files)
    assert "resize: {width: 16, height: 8, mode: fill}" in error.value.hint


@given(size=st.tuples(st.integers(1, 60), st.integers(1, 60)), frame=st.tuples(st.integers(1, 60), st.integers(1, 60)))
def test_what_is_said_of_another_ratio_helps(size: tuple[int, int], frame: tuple[int, int]) -> None:
    files = {"f.png": png(Image.new("RGBA", frame))}
    picture = Image.new("RGB", size)
    try:
        apply(picture, {"frame": "f.png"}, files=files)
    except BadImage as error:
        advice = yaml.safe_load(error.hint.partition("with ")[2])
        apply(picture, advice, {"frame": "f.png"}, files=files)


@pytest.mark.parametrize("kind", ["png", "webp", "avif"])
@pytest.mark.parametrize("step", [{"frame": "f"}, {"mask": {"image": "f"}}, {"quantise": {"palette": "f"}}], ids=str)
def test_an_animation_is_refused_and_not_taken_for_its_first_picture(step: dict[str, Any], kind: str) -> None:
    frames = [drawn("R.", ".."), drawn(".G", "..")]
    still, moving = (saved(frames[0], kind, **more) for more in ({}, {"save_all": True, "append_images": frames[1:]}))
    name, parameters = read_step(step)
    check_file(name, parameters, still)
    with pytest.raises(BadImage, match="it is an animation"):
        check_file(name, parameters, moving)


@pytest.mark.parametrize("size", [(33, 50), (34, 50), (333, 500)])
def test_a_pixel_more_or_less_is_no_other_ratio(size: tuple[int, int]) -> None:
    files = {"f.png": png(drawn("R.", "..", "..").resize((1000, 1500)))}
    assert apply(Image.new("RGB", size), {"frame": "f.png"}, files=files).size == size


def test_nothing_under_an_opaque_picture_would_show() -> None:
    with pytest.raises(BadImage, match="step 1, frame: the image has no transparency"):
        apply(gradient("RGB"), {"frame": {"image": "r.png", "place": "under"}}, files={"r.png": b""})


@pytest.mark.parametrize(
    ("step", "data", "what"),
    [
        (("frame", {"place": "over"}), png(gradient("RGB")), "nowhere transparent, and would hide the picture"),
        (("frame", {"place": "over"}), png(drawn("RG")), "nowhere transparent, and would hide the picture"),
        (("frame", {"place": "over"}), b"GIF89a", "GIF"),
        (("frame", {"place": "over"}), png(drawn("R."))[:-20], "cut off"),
        (("mask", {}), png(drawn("WW")), "as a mask it changes nothing"),
        (("mask", {}), png(drawn("..")), "as a mask it leaves nothing"),
        (("mask", {}), b"", "it is empty"),
    ],
)
def test_files_that_cannot_be_meant_are_refused(step: tuple[str, dict[str, str]], data: bytes, what: str) -> None:
    with pytest.raises(BadImage, match=what):
        check_file(*step, data)


@pytest.mark.parametrize(
    ("step", "data"),
    [
        (("frame", {"place": "under"}), png(gradient("RGB"))),
        (("frame", {"place": "over"}), png(drawn("R."))),
        (("mask", {}), png(drawn("RK"))),
        (("mask", {}), png(drawn("K."))),
    ],
)
def test_files_that_can_be_meant_are_accepted(step: tuple[str, dict[str, str]], data: bytes) -> None:
    check_file(*step, data)
