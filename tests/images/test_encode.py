from __future__ import annotations

import json

import pytest
from PIL import Image

from imagegen.config.job import DEFAULT_QUALITY, FORMATS, Encoding
from imagegen.config.schema import Format, Metadata
from imagegen.images.encode import encode
from imagegen.images.formats import BadImage, read_png
from imagegen.images.image_file import read_image, verify
from imagegen.images.provenance import provenance_json

from .pictures import embed, gradient, opened, picture, pixels, profile, provenance, read, saved


def encoded(raw: bytes, format_: Format, quality: int | None = None, metadata: Metadata = "full") -> bytes:
    quality = DEFAULT_QUALITY[format_] if quality is None else quality
    return encode(verify(raw), Encoding(format_, quality, metadata), provenance())


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("raw", FORMATS)
def test_every_pair_of_formats_keeps_the_picture_and_gets_its_provenance(raw: str, to: Format) -> None:
    data = encoded(picture(raw), to)

    assert verify(data, 16, 12).format == to
    assert read(data) == json.loads(provenance_json(provenance()))
    left, right = opened(picture(raw)).convert("RGB"), opened(data).convert("RGB")
    average = [sum(image.tobytes()) / len(image.tobytes()) for image in (left, right)]
    assert average[0] == pytest.approx(average[1], abs=6)


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("raw", FORMATS)
def test_the_same_input_makes_the_same_bytes(raw: str, to: Format) -> None:
    assert encoded(picture(raw), to) == encoded(picture(raw), to)


def test_a_png_that_stays_one_is_not_encoded_again() -> None:
    raw = picture("png", compress_level=0)

    assert encoded(raw, "png") == embed(raw, provenance())
    assert encoded(raw, "png", metadata="none") == embed(raw, None)


@pytest.mark.parametrize("to", FORMATS)
def test_without_metadata_nothing_is_said(to: Format) -> None:
    data = encoded(embed(picture("png"), provenance()), to, metadata="none")

    assert read(data) is None
    assert b"lighthouse" not in data
    assert b"imagegen" not in data


def test_quality_is_honoured() -> None:
    raw = saved(gradient(size=(64, 64)), "png")

    for to in ("webp", "jpeg", "avif"):
        assert len(encoded(raw, to, 30, "none")) < len(encoded(raw, to, 90, "none"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_webp_of_quality_100_is_lossless_even_where_the_picture_is_transparent(mode: str) -> None:
    image = gradient(mode)
    if mode == "RGBA":
        image.putalpha(Image.new("L", image.size, 0))
    raw = saved(image, "png")

    data = encoded(raw, "webp", 100)

    assert pixels(data) == pixels(raw)
    assert verify(data).lossless
    assert not verify(encoded(raw, "webp", 99)).lossless


def test_jpeg_puts_white_behind_what_is_transparent() -> None:
    image = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    image.paste((0, 0, 0, 255), (8, 0, 16, 16))

    shown = opened(encoded(saved(image, "png"), "jpeg", 100)).convert("RGB")

    assert shown.getpixel((2, 8)) == (255, 255, 255)
    assert shown.getpixel((13, 8)) == (0, 0, 0)


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    row = (32768).to_bytes(2, "little") * 8 + (65535).to_bytes(2, "little") * 8
    image = Image.frombytes("I;16", (16, 16), row * 16)

    shown = opened(encoded(saved(image, "png"), "webp", 100)).convert("L")

    assert shown.getpixel((2, 8)) == 128
    assert shown.getpixel((13, 8)) == 255


@pytest.mark.parametrize("to", ["webp", "jpeg"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_of_a_png_is_converted(mode: str, to: Format) -> None:
    raw = picture("png", mode)

    kept = opened(encoded(raw, to, 100)).convert("RGB")
    before = opened(raw).convert("RGBA")
    expected = Image.alpha_composite(Image.new("RGBA", before.size, "white"), before).convert("RGB")

    if to == "jpeg":
        assert mean(kept) == pytest.approx(mean(expected), abs=4)
    else:
        assert kept.tobytes() == before.convert("RGB").tobytes()


def mean(image: Image.Image) -> float:
    return sum(image.tobytes()) / len(image.tobytes())


def test_a_palettes_transparency_is_kept() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((0, 0), 0)

    shown = opened(encoded(saved(image, "png", transparency=1), "webp", 100))

    assert shown.mode == "RGBA"
    assert shown.getpixel((0, 0)) == (255, 0, 0, 255)
    assert shown.getpixel((5, 5)) == (0, 255, 0, 0)


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("raw", FORMATS)
def test_a_colour_profile_is_kept(raw: str, to: Format) -> None:
    data = encoded(picture(raw, icc_profile=profile(b"RGB ")), to)

    assert opened(data).info["icc_profile"] == profile(b"RGB ")


def test_a_profile_of_a_colour_space_that_is_given_up_is_dropped() -> None:
    grey = picture("png", "L", icc_profile=profile(b"GRAY"))
    cmyk = picture("jpeg", "CMYK", icc_profile=profile(b"CMYK"))

    assert opened(encoded(grey, "jpeg")).info["icc_profile"] == profile(b"GRAY")
    assert "icc_profile" not in opened(encoded(grey, "webp")).info
    assert "icc_profile" not in opened(encoded(cmyk, "png")).info


def test_the_first_frame_of_an_animation_is_taken() -> None:
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")

    for kind in ("png", "webp"):
        raw = saved(first, kind, save_all=True, append_images=[second])
        data = encoded(raw, "jpeg")

        colour = opened(data).getpixel((4, 4))
        assert isinstance(colour, tuple)
        assert colour[0] > 200 > 50 > colour[2]


@pytest.mark.parametrize(("to", "longest"), [("webp", 16_383), ("jpeg", 65_500), ("avif", 32_768)])
def test_a_side_that_the_format_cannot_hold_is_refused(to: Format, longest: int) -> None:
    fits, too_long = (saved(Image.new("L", (side, 1)), "png") for side in (longest, longest + 1))

    assert verify(encoded(fits, to), longest, 1)
    with pytest.raises(BadImage) as caught:
        encoded(too_long, to)
    assert caught.value.what == (f"the image is {longest + 1}×1, and {to} holds no more than {longest} pixels a side")


def test_a_cut_image_is_refused() -> None:
    with pytest.raises(BadImage, match="cut off"):
        encode(read_image(picture("png")[:-5]), Encoding("webp", 90), provenance())


def test_a_lossless_webp_becomes_a_png_of_the_same_pixels() -> None:
    raw = picture("webp", "RGBA", lossless=True, exact=True)
    assert verify(raw).lossless

    data = encoded(raw, "png")

    assert pixels(data) == pixels(raw)
    assert {kind for kind, _ in read_png(data)} == {b"IHDR", b"iTXt", b"IDAT", b"IEND"}
