"""What a server is sent of a reference image: what a person sees of it, in a form that every program reads."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image

from imagegen.backends.base import GenerationError
from imagegen.backends.reference_image import encode_image

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def write(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    written = io.BytesIO()
    image.save(written, form, **options)
    return written.getvalue()


def sent(data: bytes, size: tuple[int, int] | None = None) -> Image.Image:
    """Return the image that is sent for this file."""
    image = Image.open(io.BytesIO(base64.b64decode(encode_image(data, "a1111.images.init", size))))
    assert image.format in ("PNG", "JPEG")
    assert (image.mode, image.has_transparency_data, image.getexif().get(0x0112, 1)) == ("RGB", False, 1)
    return image


def corners(image: Image.Image) -> list[Any]:
    width, height = image.size
    return [image.getpixel(at) for at in ((0, 0), (width - 1, 0), (0, height - 1))]


def half_transparent() -> Image.Image:
    """Return red on the left; the black on the right is transparent."""
    image = Image.new("RGBA", (16, 8), (0, 0, 0, 0))
    image.paste((*RED, 255), (0, 0, 8, 8))
    return image


@pytest.mark.parametrize("form", ["PNG", "WEBP", "GIF"])
def test_what_is_transparent_is_white(form: str) -> None:
    image = half_transparent()
    data = write(image, form, **({"lossless": True} if form == "WEBP" else {}))
    assert corners(sent(data)) == [RED, WHITE, RED]
    assert sent(data, (4, 4)).size == (4, 4)


def test_an_avif_is_sent_as_it_is_shown() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    image = sent(write(half_transparent(), "AVIF", quality=100, subsampling="4:4:4", exif=turned))
    assert image.size == (8, 16)
    found = zip(corners(image), (RED, RED, WHITE), strict=True)
    assert max(abs(a - b) for pixel, expected in found for a, b in zip(pixel, expected, strict=True)) < 8


@pytest.mark.parametrize("mode", ["P", "RGB", "L", "LA"])
def test_it_is_so_in_every_way_that_png_has_to_say_it(mode: str) -> None:
    grey = Image.new("L", (16, 8), 0)
    grey.paste(100, (0, 0, 8, 8))
    image = grey.convert(mode)
    if mode == "LA":
        image.putalpha(grey.point(lambda value: 255 if value else 0))
        data = write(image)
    else:
        data = write(image, transparency={"P": image.getpixel((15, 0)), "RGB": (0, 0, 0), "L": 0}[mode])
    assert corners(sent(data)) == [(100, 100, 100), WHITE, (100, 100, 100)]


def test_what_is_half_transparent_is_half_white() -> None:
    assert sent(write(Image.new("RGBA", (8, 8), (0, 0, 0, 128)))).getpixel((0, 0)) == (127, 127, 127)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(("orientation", "expected"), [(3, "BRB"), (6, "RRB"), (8, "BBR")])
def test_it_is_sent_upright(form: str, orientation: int, expected: str) -> None:
    image = Image.new("RGB", (64, 32), BLUE)
    image.paste(RED, (0, 0, 32, 32))
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = sent(write(image, form, exif=exif))
    assert found.size == ((64, 32) if orientation == 3 else (32, 64))
    assert "".join("R" if red > blue else "B" for red, _, blue in corners(found)) == expected


def test_an_image_is_resized_as_it_is_shown() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert sent(write(Image.new("RGB", (64, 32), RED), exif=exif), (32, 64)).size == (32, 64)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_an_image_that_every_program_reads_is_sent_as_it_is(form: str) -> None:
    data = write(Image.new("RGB", (16, 16), RED), form)
    assert base64.b64decode(encode_image(data, "a1111.images.init")) == data
    assert base64.b64decode(encode_image(data, "a1111.images.init", (16, 16))) == data


def test_exif_data_that_cannot_be_read_say_nothing() -> None:
    data = write(Image.new("RGB", (16, 16), RED), "JPEG", exif=b"Exif\0\0nonsense")
    assert base64.b64decode(encode_image(data, "a1111.images.init")) == data


def test_a_damaged_image_is_said_to_be_damaged() -> None:
    with pytest.raises(GenerationError, match=r"sd\.images\.ref1: the image is damaged"):
        encode_image(write(half_transparent())[:60], "sd.images.ref1")
