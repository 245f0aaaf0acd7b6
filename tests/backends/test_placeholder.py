from __future__ import annotations

import dataclasses
import io
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageFont, ImageStat

from imagegen.backends.base import Backend, Cancelled, ModelIdentity
from imagegen.backends.placeholder import PlaceholderBackend, card
from imagegen.backends.placeholder import picture as view
from imagegen.backends.placeholder.scene import Dice, palette_of
from imagegen.execute.worker import ImageProgress
from imagegen.plan.request import Request

BACKEND: Backend = PlaceholderBackend()
MALLSING = Request(
    backend="placeholder",
    name="Mallsing",
    prompt="a marsh singer with heron-grey eyes, pale mist behind her",
    negative="text, watermark",
    width=192,
    height=256,
    seed=7,
)
SUBJECTS = {
    "head and shoulders": "a portrait of a smith",
    "coat of arms": "heraldic shield, a raven on a blue field",
    "landscape": "a mountain pass",
    "gate": "a dungeon door",
    "sigil": "a spell icon",
    "anything": "unspoken",
}


def generate(request: Request = MALLSING, **changes: Any) -> bytes:
    return BACKEND.generate(dataclasses.replace(request, **changes), ImageProgress(60, threading.Event())).data


def picture(request: Request = MALLSING, **changes: Any) -> Image.Image:
    image = Image.open(io.BytesIO(generate(request, **changes)))
    image.load()
    return image


def band_of(image: Image.Image) -> Image.Image:
    """The band's letters, white on black, without the frame and the coloured rule below them."""
    tall = card.band_height(*image.size)
    inner = image.crop((round(image.width * 0.05), tall // 3, round(image.width * 0.95), round(tall * 0.88)))
    return inner.convert("L").point([255 if level > 128 else 0 for level in range(256)])


def test_the_same_request_makes_the_same_bytes() -> None:
    assert generate() == generate()


def test_the_same_request_makes_the_same_bytes_in_another_process() -> None:
    script = (
        "import hashlib, sys; from tests.backends.test_placeholder import generate;"
        "sys.stdout.write(hashlib.sha256(generate()).hexdigest())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path)) or ".", "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]

    assert runs[0] == runs[1]


def test_threads_do_not_disturb_each_other() -> None:
    alone = [generate(seed=seed) for seed in range(8)]

    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda seed: generate(seed=seed), range(8)))

    assert together == alone


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Tharn"},
        {"prompt": "a hill smith"},
        {"negative": "hands"},
        {"width": 200},
        {"height": 200},
        {"steps": 21},
        {"cfg": 7.5},
        {"sampler": "heun"},
        {"scheduler": "karras"},
        {"seed": 8},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_parameter_it_honours_changes_the_picture(change: dict[str, Any]) -> None:
    one, other = picture(), picture(**change)

    assert one.size != other.size or ImageChops.difference(one, other).getbbox() is not None


def test_the_test_above_covers_every_parameter() -> None:
    assert BACKEND.parameters == {
        *("name", "prompt", "negative", "width", "height"),
        *("steps", "cfg", "sampler", "scheduler", "seed"),
    }


def test_other_seeds_can_be_told_apart_at_a_glance() -> None:
    thumbs = [picture(seed=seed).resize((32, 32)) for seed in range(1, 9)]

    for at, one in enumerate(thumbs):
        for other in thumbs[at + 1 :]:
            assert sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) > 6


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize(
    "size",
    [(16, 16), (17, 31), (40, 40), (64, 64), (300, 200), (64, 1024), (1024, 64), (16, 4096), (4096, 16), (2048, 512)],
    ids="{0[0]}x{0[1]}".format,
)
def test_the_size_is_the_one_asked_for(size: tuple[int, int], subject: str) -> None:
    assert picture(width=size[0], height=size[1], prompt=SUBJECTS[subject]).size == size


def test_a_large_picture_stays_small_as_a_file() -> None:
    data = generate(width=2048, height=2048)

    assert Image.open(io.BytesIO(data)).size == (2048, 2048)
    assert len(data) < 1_000_000


@pytest.mark.parametrize("seed", range(30))
def test_every_part_that_the_dice_can_choose_is_drawn(seed: int) -> None:
    for prompt in SUBJECTS.values():
        assert picture(width=96, height=128, prompt=prompt, seed=seed).getextrema() != ((0, 0), (0, 0), (0, 0))


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "X",
        "Ægir Þórsson",
        "雪",
        "🐉",
        "\ud800",
        "a\nb\tc\0",
        "M" * 500,
        "long words " * 60,
        "\u202eright to left",
    ],
)
def test_a_name_of_any_kind_is_drawn(name: str) -> None:
    picture(name=name, prompt=name)


@settings(max_examples=40, deadline=None)
@given(name=st.text(max_size=60), prompt=st.text(max_size=300), sampler=st.text(max_size=20))
def test_any_text_is_drawn(name: str, prompt: str, sampler: str) -> None:
    picture(name=name, prompt=prompt, negative=prompt, sampler=sampler, scheduler=sampler, width=130, height=140)


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("Ægir Þórsson", "Aegir Thorsson"),
        ("ÆGIR", "AEGIR"),
        ("Œ", "OE"),
        ("雪", "Xue"),
        ("“Ash”", "“Ash”"),
        ("🐉", "U+1F409"),
    ],
)
def test_a_name_is_written_in_letters_that_the_font_has(name: str, drawn: str) -> None:
    title = card.text_lines(dataclasses.replace(MALLSING, name=name), 10, 1000, 400)[0]

    assert title.text == drawn


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("size", [(160, 120), (120, 160), (240, 120)], ids="{0[0]}x{0[1]}".format)
def test_the_band_cuts_nothing_off(subject: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def tops() -> list[bytes]:
        """Of twenty pictures, the rows just below the band."""
        requests = [dataclasses.replace(MALLSING, seed=seed) for seed in range(20)]
        dice = [Dice(request) for request in requests]
        pictures = [view.draw_picture(SUBJECTS[subject], *size, palette_of(each), each) for each in dice]
        return [each.crop((0, 0, size[0], 2)).tobytes() for each in pictures]

    drawn = tops()
    monkeypatch.setattr(view, "_composition", lambda _: lambda _: None)

    assert drawn == tops()


def test_names_without_a_drawable_letter_still_differ() -> None:
    assert generate(name="🐉") != generate(name="🐈")


@pytest.mark.parametrize(
    "size", [(96, 96), (128, 128), (512, 512), (768, 1024), (1024, 320)], ids="{0[0]}x{0[1]}".format
)
def test_the_band_says_the_same_word_on_every_picture(size: tuple[int, int]) -> None:
    bands = [
        band_of(picture(width=size[0], height=size[1], seed=seed, name=name))
        for seed, name in ((1, "Mallsing"), (2, "Tharn"), (3, "A much longer name"))
    ]

    assert 0.01 < ImageStat.Stat(bands[0]).mean[0] / 255 < 0.5
    assert all(ImageChops.difference(bands[0], other).getbbox() is None for other in bands[1:])


def test_the_band_says_placeholder(monkeypatch: pytest.MonkeyPatch) -> None:
    assert card.BAND == "PLACEHOLDER"
    with_word = band_of(picture(width=512, height=512))

    monkeypatch.setattr(card, "BAND", " ")
    without = band_of(picture(width=512, height=512))

    assert with_word.getbbox() is not None
    assert without.getbbox() is None


def test_pillow_without_freetype_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    load = ImageFont.load_default_imagefont

    def load_default(size: float | None = None) -> ImageFont.ImageFont:
        if size is not None:
            raise ImportError("The _imagingft C module is not installed")
        return load()

    monkeypatch.setattr(ImageFont, "load_default", load_default)

    for size in ((16, 16), (64, 64), (512, 512), (1024, 64)):
        assert picture(width=size[0], height=size[1], prompt="mist … and “more”").size == size


def test_a_stop_is_heard_before_anything_is_drawn() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        BACKEND.generate(MALLSING, ImageProgress(60, stop))


def test_it_needs_nothing_and_is_no_generator() -> None:
    assert BACKEND.preflight([MALLSING]) == []
    assert BACKEND.model_identity(MALLSING) == ModelIdentity("placeholder")
    assert BACKEND.is_generator is False
    assert BACKEND.in_flight >= 1


def test_importing_it_leaves_pillow_alone() -> None:
    script = "import sys, imagegen.backends.placeholder; sys.exit('PIL' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("seed", range(5))
def test_it_draws_what_the_prompt_speaks_of(seed: int) -> None:
    size: dict[str, Any] = {"width": 128, "height": 128, "seed": seed, "name": ""}
    red, blue = (
        picture(prompt=f"heraldic shield, {field} field", **size).crop((44, 30, 84, 70)).resize((1, 1)).getpixel((0, 0))
        for field in ("red", "blue")
    )

    assert isinstance(red, tuple)
    assert isinstance(blue, tuple)
    assert red[0] - red[2] > blue[0] - blue[2] + 20
