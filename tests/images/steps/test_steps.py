"""What holds for all steps of derived files."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from imagegen.config.steps import STEPS, gives_alpha, needs_alpha, read_step
from imagegen.images.formats import BadImage
from imagegen.images.steps import STEP_FUNCTIONS, apply_steps

from ..pictures import gradient
from .pictures import apply, drawn, png

RING = png(Image.new("RGBA", (4, 4), (255, 215, 0, 128)))
FILES = {"ring.png": RING, "palette.hex": b"ff0000\n00ff00\n102030"}
WRITTEN: list[str | dict[str, Any]] = [
    "trim",
    {"trim": 3},
    {"background": {"colour": "corners", "tolerance": 255}},
    {"background": {"colour": "#404040", "tolerance": 60, "feather": 2}},
    {"background": {"colour": "black", "everywhere": True, "feather": 0}},
    {"mask": "circle"},
    {"mask": {"shape": "rounded", "radius": 7}},
    {"mask": "ring.png"},
    {"frame": "ring.png"},
    {"frame": {"image": "ring.png", "place": "under"}},
    {"resize": {"width": 5}},
    {"resize": {"width": 3, "height": 9, "mode": "fill", "keep": "top-left", "enlarge": True}},
    {"resize": {"width": 9, "height": 3, "mode": "exact", "enlarge": True, "filter": "nearest"}},
    {"pad": "square"},
    {"pad": "power-of-two"},
    {"pad": {"margin": 2, "colour": "#ff000080"}},
    {"pad": {"to": "square", "colour": "#ff0000ff"}},
    {"pad": {"width": 20, "height": 21, "position": "bottom-right", "colour": "teal"}},
    {"quantise": 3},
    {"quantise": {"colours": 2, "dither": True}},
    {"quantise": "palette.hex"},
    {"quantise": {"colours": 4, "hard": True}},
    "outline",
    {"outline": {"width": 3, "colour": "gold", "smooth": False}},
    "shadow",
    {"shadow": {"x": -30, "y": 2, "blur": 0, "opacity": 1}},
    "tile",
    {"tile": 2},
    {"flip": "horizontal"},
    {"flip": "vertical"},
    {"rotate": 90},
    {"rotate": -180},
    {"rotate": -30},
    {"rotate": {"angle": 45, "filter": "nearest"}},
]


def test_each_declared_step_has_a_function_with_its_parameters_and_is_tried_here() -> None:
    assert STEP_FUNCTIONS.keys() == STEPS.keys()
    for name, function in STEP_FUNCTIONS.items():
        assert set(inspect.signature(function).parameters) - {"picture"} == STEPS[name].parameters.keys(), name
    assert {read_step(step)[0] for step in WRITTEN} == STEPS.keys() - {"cutout"}


@given(
    step=st.sampled_from(WRITTEN),
    mode=st.sampled_from(["L", "RGB", "RGBA"]),
    size=st.tuples(st.integers(1, 14), st.integers(1, 14)),
)
def test_each_step_gives_a_valid_picture_of_every_mode_and_size_and_the_same_one_again(
    step: str | Mapping[str, Any], mode: str, size: tuple[int, int]
) -> None:
    picture = gradient(mode, size)
    before = picture.tobytes()
    try:
        found = apply(picture, step, files=FILES)
    except BadImage as error:
        assert error.what.startswith("step 1, ")
        return
    assert found.mode in ("L", "RGB", "RGBA")
    assert min(found.size) > 0
    assert len(found.tobytes()) == found.width * found.height * len(found.getbands())
    again = apply(picture, step, files=FILES)
    assert (again.mode, again.size, again.tobytes()) == (found.mode, found.size, found.tobytes())
    assert picture.tobytes() == before


@given(step=st.sampled_from(WRITTEN), mode=st.sampled_from(["L", "RGB", "RGBA"]))
@example({"pad": {"to": "square", "colour": "white"}}, "RGB")
@example({"rotate": 90}, "L")
def test_what_is_said_of_a_step_s_transparency_is_so(step: str | Mapping[str, Any], mode: str) -> None:
    """The check before anything is built goes by it."""
    recipe = read_step(step)
    picture = Image.new("RGBA", (12, 9))
    picture.paste(gradient("RGBA", (10, 7)), (1, 1))
    picture = picture.convert(mode)
    if needs_alpha(*recipe) and mode != "RGBA":
        with pytest.raises(BadImage, match="the image has no transparency"):
            apply(picture, step, files=FILES)
        return
    try:
        found = apply(picture, step, files=FILES)
    except BadImage as error:
        assert "transparency" not in error.what
        return
    assert (found.mode == "RGBA") is (mode == "RGBA" or gives_alpha(*recipe))


def test_steps_are_taken_in_order() -> None:
    fill = {"resize": {"width": 20, "height": 20, "mode": "fill"}}
    found = apply(Image.new("RGB", (64, 32), "red"), fill, {"mask": "circle"}, {"trim": 2})
    assert (found.mode, found.size) == ("RGBA", (24, 24))


def test_an_error_names_the_step_and_what_to_put_before_it() -> None:
    with pytest.raises(BadImage, match="step 2, trim: the image has no transparency") as error:
        apply(Image.new("RGB", (4, 4)), {"flip": "vertical"}, "trim")
    assert error.value.hint.startswith("put background, cutout or mask before it in steps")


@pytest.mark.parametrize("step", WRITTEN, ids=str)
def test_an_icc_profile_survives(step: str | Mapping[str, Any]) -> None:
    picture = drawn("......", ".RR.G.", ".RR.K.", "......")
    picture.info = {"icc_profile": b"a profile"}
    try:
        assert apply(picture, step, files=FILES).info == {"icc_profile": b"a profile"}
    except BadImage:
        assert step not in ("trim", "outline", "shadow", {"mask": "circle"}, {"rotate": 90})
    assert picture.info == {"icc_profile": b"a profile"}


@pytest.mark.parametrize(
    "step",
    [
        {"resize": {"width": 8192, "enlarge": True}},
        {"pad": {"width": 8192}},
        {"outline": 128},
        {"shadow": {"x": 1024, "blur": 512}},
        {"trim": 1024},
        {"rotate": 45},
    ],
    ids=str,
)
def test_no_step_makes_a_picture_of_more_pixels_than_are_decoded(
    step: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagegen.images.reshape.MAX_PIXELS", 200)
    with pytest.raises(BadImage, match=r"would be .* which is more than 200 pixels"):
        apply_steps(drawn(*["R" * 14] * 14), [read_step(step)], {})
