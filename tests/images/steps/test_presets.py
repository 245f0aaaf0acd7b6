"""What presets make of pictures, with each of the steps that they leave out unless a job gives them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from PIL import Image, ImageDraw

from imagegen.config.checking import build_job
from imagegen.config.document import Document
from imagegen.config.presets import list_presets, load_preset
from imagegen.config.steps import step_file
from imagegen.images.formats import BadImage
from imagegen.images.steps import apply_steps

from .pictures import png

SUBJECT = {"cutout": "u2net", "background": "corners"}
"""What makes the ground transparent: a job gives one of these, or has pictures without a ground."""
OPTIONAL = {**SUBJECT, "trim": 0, "outline": {"colour": "black"}, "frame": "art/ring.png"}
"""How a job may give each step that a preset leaves out otherwise."""
WITHOUT_GROUND = "the picture's corners are transparent already"
RING = png(Image.new("RGBA", (8, 8), (255, 215, 0, 128)))


def draw_figure(ground: str) -> Image.Image:
    """A shaded head and shoulders of many colours."""
    picture = Image.new("RGBA", (1152, 1152), ground)  # twice the 576 that a preset asks for
    pen = ImageDraw.Draw(picture)
    for by in range(0, 200, 4):
        shade = (60 + by // 2, 30 + by, 220 - by)
        pen.ellipse((380 + by // 2, 130 + by // 2, 770 - by // 2, 560 - by // 2), fill=shade)
        pen.rounded_rectangle((180 + by, 560 + by, 970 - by, 1060), 90, fill=shade[::-1])
    return picture.reduce(2)


def find_figure(picture: Image.Image, _: str) -> Image.Image:
    return draw_figure("#00000000").getchannel("A").resize(picture.size)


def make(name: str, own: Mapping[str, Any], picture: Image.Image) -> Image.Image:
    (rules,) = build_job("j", Document("j", {"derive": {"made": {"preset": name, **own}}}, {})).derive
    recipe, files = [], {}
    for step in rules.steps:
        parameters = dict(step.parameters)
        if file := step_file(step.name, parameters):
            parameters[file] = hashlib.sha256(RING).hexdigest()
            files[parameters[file]] = RING
        recipe.append((step.name, parameters))
    return apply_steps(picture, recipe, files, {"u2net": find_figure})


def list_ways() -> Iterator[tuple[str, list[str]]]:
    """Yield each preset with none of its optional steps, with each of them, and with all that go together."""
    for name in list_presets("derive"):
        optional = [step for step in load_preset("derive", name).steps if step in load_preset("derive", name).optional]
        yield name, []
        yield from ((name, [step]) for step in optional)
        for subject in [step for step in optional if step in SUBJECT]:
            others = [step for step in optional if step not in SUBJECT]
            yield name, [subject, *others]
            yield from ((name, [subject, step]) for step in others)


@pytest.mark.parametrize(("name", "given"), [*list_ways()], ids=str)
def test_each_preset_takes_each_of_its_optional_steps(name: str, given: list[str]) -> None:
    own = {step: OPTIONAL[step] for step in given}
    for ground in ("#e8f0e0", "#00000000"):
        is_transparent = ground == "#00000000"
        picture = draw_figure(ground).convert("RGBA" if is_transparent else "RGB")
        try:
            made = make(name, own, picture)
        except BadImage as error:
            if is_transparent:
                assert (given[0], error.what) == ("background", f"step 1, background: {WITHOUT_GROUND}")
            else:
                assert "the image has no transparency" in error.what
                assert "give background or cutout beside the preset" in error.hint
                assert not SUBJECT.keys() & given
            continue
        assert min(made.size) > 16


@pytest.mark.parametrize("subject", [{}, *({step: OPTIONAL[step]} for step in SUBJECT)], ids=str)
def test_a_sticker_is_cut_out_by_colour_or_by_a_model_or_already(subject: dict[str, Any]) -> None:
    picture = draw_figure("#e8f0e0").convert("RGB") if subject else draw_figure("#00000000")
    made = make("sticker", subject, picture)
    assert made.mode == "RGBA"
    assert 480 < max(made.size) < 540
    assert made.getpixel((0, 0))[3] == 0  # type: ignore[index]  # of RGBA, it is a tuple
    white = made.getpixel((made.width // 2, 9))
    assert white == (255, 255, 255, 255)


@pytest.mark.parametrize("own", [{}, *({"outline": one} for one in ({"width": 1}, {"colour": "gold"}, 1))], ids=str)
@pytest.mark.parametrize("subject", SUBJECT)
def test_a_pixel_icon_has_sixteen_colours_and_hard_edges(subject: str, own: dict[str, Any]) -> None:
    made = make("icon-pixel", {subject: OPTIONAL[subject], "trim": 0, **own}, draw_figure("#e8f0e0").convert("RGB"))
    pixels = [pixel for _, pixel in made.getcolors() or ()]
    assert {pixel[3] for pixel in pixels} == {0, 255}  # type: ignore[index]  # of RGBA, it is a tuple
    assert 8 < len({pixel for pixel in pixels if pixel[3]}) <= 16  # type: ignore[index]
    assert made.size == (32, 32)
