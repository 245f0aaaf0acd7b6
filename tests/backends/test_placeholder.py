from __future__ import annotations

import io
import threading
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from imagegen.backends.placeholder import PlaceholderBackend
from imagegen.backends.placeholder_drawing import draw
from imagegen.execute.progress import ImageProgress
from imagegen.images.verification import verify
from imagegen.plan.request import Request

REQUEST = Request("placeholder", "Mallsing", "a marsh singer in mist", "hands", 256, 320, seed=7)


def picture(request: Request) -> Image.Image:
    image = Image.open(io.BytesIO(draw(request)))
    image.load()
    return image


def differing(one: Request, other: Request) -> float:
    """The share of pixels that differ."""
    difference = ImageChops.difference(picture(one), picture(other)).convert("L").point([0] + [1] * 255)
    return sum(difference.tobytes()) / (one.width * one.height)


def test_the_same_request_makes_the_same_bytes() -> None:
    made = PlaceholderBackend().generate(REQUEST, ImageProgress(10, threading.Event()))
    assert made.data == draw(REQUEST) == draw(replace(REQUEST))


@pytest.mark.parametrize("field", sorted(PlaceholderBackend.parameters))
def test_every_field_that_it_honours_shows(field: str) -> None:
    value = getattr(REQUEST, field)
    assert draw(replace(REQUEST, **{field: value + (1 if isinstance(value, (int, float)) else "x")})) != draw(REQUEST)


def test_another_seed_is_another_picture() -> None:
    assert differing(REQUEST, replace(REQUEST, seed=8)) > 0.3


def test_the_name_alone_changes_the_label_alone() -> None:
    assert 0 < differing(REQUEST, replace(REQUEST, name="Yrr")) < 0.1


def test_a_dark_band_with_light_letters_says_what_it_is() -> None:
    band = picture(replace(REQUEST, width=768, height=1024)).crop((200, 15, 568, 60)).convert("L")
    levels = band.histogram()
    assert sum(levels[:60]) > 0.5 * band.width * band.height
    assert sum(levels[120:]) > 0.02 * band.width * band.height


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (64, 1024), (2048, 96), (1920, 1080), (33, 47), (16, 8192)])
def test_any_size_is_drawn(size: tuple[int, int]) -> None:
    verify(draw(replace(REQUEST, width=size[0], height=size[1])), *size)


@settings(max_examples=40, deadline=None)
@given(
    st.text(max_size=40), st.text(max_size=200), st.integers(0, 2**64 - 1), st.integers(16, 300), st.integers(16, 300)
)
def test_any_words_are_drawn(name: str, prompt: str, seed: int, width: int, height: int) -> None:
    verify(draw(Request("placeholder", name, prompt, name, width, height, seed=seed)), width, height)
