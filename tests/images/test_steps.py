"""The steps of derived files."""

from __future__ import annotations

import inspect

import pytest
from PIL import Image

from imagegen.config.steps import STEPS
from imagegen.images.formats import BadImage
from imagegen.images.steps import STEP_FUNCTIONS, apply_steps


def test_each_declared_step_has_a_function_with_its_parameters() -> None:
    assert STEP_FUNCTIONS.keys() == STEPS.keys()
    for name, function in STEP_FUNCTIONS.items():
        assert set(inspect.signature(function).parameters) - {"picture"} == STEPS[name].parameters.keys(), name


def test_steps_are_taken_in_order() -> None:
    picture = Image.new("RGB", (64, 32), "red")
    steps: list[tuple[str, dict[str, object]]] = [("resize", {"width": 20, "height": 20, "mode": "fill"})]
    found = apply_steps(picture, [*steps, ("mask", {"shape": "circle"}), ("trim", {"padding": 2})], {})
    assert (found.mode, found.size) == ("RGBA", (24, 24))


def test_an_error_names_the_step() -> None:
    with pytest.raises(BadImage, match="step 1, trim: the image has no transparency"):
        apply_steps(Image.new("RGB", (4, 4)), [("trim", {"padding": 0})], {})
