"""How steps are written, and what they come to."""

from __future__ import annotations

from typing import Any

import pytest

from imagegen.config.steps import STEPS, check_step, gives_alpha, read_step

RECIPES: list[tuple[Any, Any]] = [
    ("trim", ["trim", {"padding": 0}]),
    ({"trim": 4}, ["trim", {"padding": 4}]),
    ("background", ["background", {"colour": "corners", "tolerance": 32, "feather": 1, "everywhere": False}]),
    (
        {"background": "#00ff00"},
        ["background", {"colour": "#00ff00", "tolerance": 32, "feather": 1, "everywhere": False}],
    ),
    ("cutout", ["cutout", {"model": "u2net"}]),
    ({"mask": "circle"}, ["mask", {"shape": "circle"}]),
    ({"mask": {"shape": "rounded", "radius": 9}}, ["mask", {"shape": "rounded", "radius": 9}]),
    ({"mask": "art/m.png"}, ["mask", {"image": "art/m.png"}]),
    ({"frame": "art/ring.png"}, ["frame", {"image": "art/ring.png", "place": "over"}]),
    ({"resize": {"width": 9}}, ["resize", {"width": 9, "mode": "fit", "enlarge": False, "filter": "smooth"}]),
    ({"pad": "square"}, ["pad", {"to": "square", "colour": "transparent"}]),
    ({"pad": {"margin": 3, "colour": "teal"}}, ["pad", {"margin": 3, "colour": "teal"}]),
    ({"quantise": 16}, ["quantise", {"colours": 16, "dither": False, "hard": False}]),
    ({"quantise": "art/p.gpl"}, ["quantise", {"palette": "art/p.gpl", "dither": False, "hard": False}]),
    ("outline", ["outline", {"width": 2, "colour": "black", "smooth": True}]),
    ({"outline": 3}, ["outline", {"width": 3, "colour": "black", "smooth": True}]),
    ("shadow", ["shadow", {"x": 4, "y": 4, "blur": 8, "colour": "black", "opacity": 0.5}]),
    ("tile", ["tile", {}]),
    ({"tile": 32}, ["tile", {"overlap": 32}]),
    ({"flip": "vertical"}, ["flip", {"direction": "vertical"}]),
    ({"rotate": 90}, ["rotate", {"angle": 90.0, "filter": "smooth"}]),
]


@pytest.mark.parametrize(("written", "recipe"), RECIPES, ids=str)
def test_what_is_written_comes_to_this_recipe(written: Any, recipe: Any) -> None:
    """A change here makes derived files of users stale: it needs a very good reason."""
    assert list(read_step(written)) == recipe
    assert read_step({recipe[0]: recipe[1]}) == read_step(written)


def test_every_step_is_among_them() -> None:
    assert {recipe[0] for _, recipe in RECIPES} == STEPS.keys()


def test_whole_and_decimal_numbers_are_one() -> None:
    one, other = read_step({"rotate": 45}), read_step({"rotate": 45.0})
    assert repr(one) == repr(other)
    assert repr(read_step({"shadow": {"opacity": 1}})) == repr(read_step({"shadow": {"opacity": 1.0}}))


@pytest.mark.parametrize(
    ("written", "what"),
    [
        ("frame", "needs its image, as in - frame: art/ring.png"),
        ("flip", "needs its direction, as in - flip: horizontal"),
        ("rotate", "needs its angle, as in - rotate: 90"),
        ("mask", "needs a shape or an image, and not both"),
        ({"mask": {"shape": "circle", "image": "a.png"}}, "needs a shape or an image, and not both"),
        ({"mask": {"shape": "circle", "radius": 2}}, "radius is for the shape rounded"),
        ("resize", "needs a width or a height"),
        ({"resize": {"width": 2, "mode": "exact"}}, "mode exact needs a width and a height"),
        ({"resize": {"width": 2, "keep": "top"}}, "keep is for the mode fill"),
        ("pad", "needs one of these: to; margin; or width and height"),
        ({"pad": {"to": "square", "width": 2}}, "needs one of these: to; margin; or width and height"),
        ({"pad": {"margin": 2, "position": "top"}}, "position has no effect beside margin"),
        ("quantise", "needs a number of colours or a palette, and not both"),
        ({"quantise": {"colours": 2, "palette": "a.gpl"}}, "needs a number of colours or a palette, and not both"),
        ({"shadow": {"opacity": 0}}, "the opacity 0 shows nothing: leave the step out"),
        ({"outline": {"colour": "grren"}}, "'grren' is not a colour; did you mean 'green'?"),
        ({"outline": {"colour": "corners"}}, "'corners' is not a colour"),
        ({"background": "transparent"}, "'transparent' is not a colour"),
        ({"rotate": 0}, "0° turns nothing: leave the step out"),
        ({"rotate": -360}, "-360° turns nothing: leave the step out"),
    ],
)  # fmt: skip
def test_parameters_that_do_not_fit_together_are_refused(written: Any, what: str) -> None:
    assert check_step(*read_step(written)).startswith(what)


@pytest.mark.parametrize("colour", ["corners", "#fff", "#FFFFFF", "Teal", "rebeccapurple"])
def test_colours_are_written_as_in_css(colour: str) -> None:
    assert check_step(*read_step({"background": colour})) == ""


@pytest.mark.parametrize(
    ("colour", "is_translucent"),
    [("transparent", True), ("#fff", False), ("#fff8", True), ("#ffff", False), ("#FFFFFF", False), ("red", False),
     ("#FFFFFFFF", False), ("#ffffff00", True), ("#123456fe", True)],
)  # fmt: skip
def test_only_a_translucent_colour_lets_padding_be_seen_through(colour: str, *, is_translucent: bool) -> None:
    assert gives_alpha(*read_step({"pad": {"margin": 1, "colour": colour}})) is is_translucent
