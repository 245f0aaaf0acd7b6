"""Whether a file may be transparent, by its header."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imagegen.images.formats import BadImage
from imagegen.images.transparency import HEADER_BYTES, may_be_transparent

from .pictures import gradient, saved

EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (saved(gradient("RGB"), "png"), False),
        (saved(gradient("L"), "png"), False),
        (saved(gradient("RGBA"), "png"), True),
        (saved(gradient("RGBA").convert("LA"), "png"), True),
        (saved(gradient("RGB").convert("P"), "png"), False),
        (saved(gradient("RGB").convert("P"), "png", transparency=3), True),
        (saved(gradient("RGB"), "png", transparency=(1, 2, 3)), True),
        (saved(gradient("RGB"), "jpeg"), False),
        (saved(gradient("RGB"), "webp"), False),
        (saved(gradient("RGB"), "webp", lossless=True), False),
        (saved(gradient("RGB"), "webp", exif=EXIF), False),
        (saved(gradient("RGBA"), "webp"), True),
        (saved(gradient("RGBA"), "webp", lossless=True), True),
        (saved(gradient("RGBA"), "webp", exif=EXIF), True),
    ],
    ids=range(14),
)
def test_the_header_says_it(data: bytes, *, expected: bool) -> None:
    assert may_be_transparent(data[:HEADER_BYTES]) is expected


def test_a_header_that_is_longer_than_what_is_read_says_nothing() -> None:
    info = PngInfo()
    info.add_text("Comment", "x" * HEADER_BYTES)
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, "png", pnginfo=info)
    assert may_be_transparent(file.getvalue()[:HEADER_BYTES])


def test_what_is_not_an_image_is_refused() -> None:
    with pytest.raises(BadImage):
        may_be_transparent(b"version https://git-lfs.github.com/spec/v1")
