from __future__ import annotations

import json
import random
import struct
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imagegen.config.job import Encoding
from imagegen.images.av1 import max_frame_size
from imagegen.images.avif import avif_orientation, avif_size, read_avif
from imagegen.images.encode import encode, encode_picture
from imagegen.images.formats import BadImage, format_of
from imagegen.images.image_file import read_image, verify
from imagegen.images.provenance import provenance_json

from .pictures import embed, gradient, opened, picture, provenance, saved

WHOLE = embed(picture("avif", "RGBA"), provenance())


def with_orientation(number: int, kind: str, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = number
    return saved(gradient(), kind, exif=exif, **options)


def test_the_main_images_properties_exif_and_xmp_are_found() -> None:
    chunks = read_avif(WHOLE)

    assert [kind for kind, _ in chunks if kind in (b"ispe", b"av1C", b"Exif", b"XMP ")] == [
        b"ispe", b"av1C", b"Exif", b"XMP "
    ]  # fmt: skip
    assert avif_size(chunks) == (16, 12)


@pytest.mark.parametrize("number", range(1, 9))
def test_a_picture_lies_as_its_container_says(number: int) -> None:
    file = read_image(with_orientation(number, "avif", quality=100, subsampling="4:4:4"))
    as_png = read_image(with_orientation(number, "png"))

    assert avif_orientation(file.chunks) == number
    assert file.upright.size == as_png.upright.size
    off = [abs(a - b) for a, b in zip(file.upright.tobytes(), as_png.upright.tobytes(), strict=True)]
    assert max(off) <= 4


def test_what_exif_says_of_an_avifs_orientation_does_not_count() -> None:
    other, lying = (b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, tag, 3, 1, 6, 0, 0) for tag in (0x0106, 0x0112))
    data = saved(gradient(), "avif", exif=b"Exif\0\0" + other)

    file = read_image(data.replace(other, lying))

    assert (file.exif, file.upright.size) == (lying, (16, 12))


@pytest.mark.parametrize("lies", [b"avif", b"avis", b"mif1", b"msf1"])
def test_an_avif_is_known_by_any_of_its_brands(lies: bytes) -> None:
    assert format_of(WHOLE[:8] + lies + WHOLE[12:]) == "avif"


def test_another_picture_in_the_same_container_is_not_an_avif() -> None:
    with pytest.raises(BadImage, match="but a HEIC image"):
        format_of(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + WHOLE[24:])


@pytest.mark.parametrize("data", [picture("avif"), WHOLE, picture("avif", save_all=True, append_images=[gradient()])])
def test_every_cut_is_refused(data: bytes) -> None:
    verify(data)
    for cut in range(len(data)):
        with pytest.raises(BadImage):
            read_image(data[:cut], may_be_followed=False)


def test_a_flipped_bit_is_an_error_or_another_picture_and_never_a_warning() -> None:
    dice = random.Random(1)  # noqa: S311 - the same each time
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for at in range(len(WHOLE)):
            data = WHOLE[:at] + bytes([WHOLE[at] ^ (1 << dice.randrange(8))]) + WHOLE[at + 1 :]
            try:
                found = verify(data)
            except BadImage as error:
                assert len(error.what) < 200
            else:
                assert found.picture.size == (found.width, found.height)


@given(st.binary(max_size=60), st.integers(0, len(WHOLE)), st.integers(0, len(WHOLE)))
def test_whatever_comes_is_read_or_refused(more: bytes, start: int, end: int) -> None:
    try:
        file = read_image(WHOLE[:start] + more + WHOLE[end:])
    except BadImage:
        return
    assert file.width
    avif_orientation(read_image(WHOLE).chunks)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda data: data.replace(b"pitm", b"pitn"), "the image is corrupt: it has no AVIF box pitm"),
        (lambda data: data.replace(b"ispe", b"isps"), "the image is corrupt: its main image has no size"),
        (lambda data: data.replace(b"meta", b"mdat", 1), "the image is cut off: no list of its items"),
        (lambda data: data + WHOLE, f"the image is followed by {len(WHOLE)} bytes"),
        (lambda data: data[:-1], f"the image is cut off: {len(WHOLE) - 1} of its {len(WHOLE)} bytes are there"),
    ],
)
def test_damage_is_named(damage: Any, what: str) -> None:
    with pytest.raises(BadImage) as caught:
        verify(damage(WHOLE))

    assert caught.value.what == what


def test_items_that_share_their_bytes_take_no_more_memory_than_the_file() -> None:
    at = WHOLE.index(b"iloc") + 4
    sizes, (count,) = WHOLE[at + 4 : at + 6], struct.unpack_from(">H", WHOLE, at + 6)
    assert (sizes, count) == (b"\x44\0", 4)
    entries = b"".join(struct.pack(">HHHII", item, 0, 1, 0, len(WHOLE)) for item in range(1, 5))

    with pytest.raises(BadImage, match="its items share their bytes"):
        read_avif(WHOLE[: at + 8] + entries + WHOLE[at + 8 + len(entries) :])


@pytest.mark.parametrize("options", [{}, {"save_all": True, "append_images": [gradient()]}])
@pytest.mark.parametrize("size", [(1, 1), (16, 12), (300, 7)])
def test_av1_data_say_their_size(size: tuple[int, int], options: dict[str, Any]) -> None:
    images = [image.resize(size) for image in options.get("append_images", ())]
    data = saved(gradient().resize(size), "avif", **{**options, "append_images": images} if images else {})
    at = data.index(b"mdat") + 4

    assert max_frame_size(data[at : at + 64]) == size
    with pytest.raises(IndexError):
        max_frame_size(data[at : at + 6])


def test_a_picture_that_is_far_larger_than_its_container_says_is_not_decoded() -> None:
    large = saved(Image.new("L", (4096, 2048)), "avif", speed=10)
    verify(large, 4096, 2048)
    lying = large.replace(struct.pack(">II", 4096, 2048), struct.pack(">II", 64, 64))

    with pytest.raises(BadImage, match="a far larger picture than it says"):
        read_image(lying)


def test_damaged_exif_makes_no_warning() -> None:
    good = b"Exif\0\0MM\0*" + struct.pack(">IHHHIII", 8, 1, 0x0131, 2, 4, 0x61626300, 0)
    broken = b"Exif\0\0MM\0*" + struct.pack(">IHHHIII", 8, 1, 0x0131, 2, 0x7FFFFFFF, 0xFFFFFFF0, 0)
    data = saved(gradient(), "avif", exif=good).replace(good[6:], broken[6:])
    assert read_image(data).exif == broken[6:]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        verify(data)


@pytest.mark.parametrize("quality", [1, 50, 100])
def test_the_bytes_do_not_depend_on_the_number_of_cores(quality: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import AvifImagePlugin

    image = gradient(size=(192, 128))
    found = set()
    for cores in (1, 2, 7):
        monkeypatch.setattr(AvifImagePlugin, "DEFAULT_MAX_THREADS", cores)
        found.add(encode_picture(image, Encoding("avif", quality), provenance()))

    assert len(found) == 1


def test_quality_100_is_nearly_exact_and_not_said_to_be_lossless() -> None:
    data = encode_picture(gradient("RGBA"), Encoding("avif", 100), None)

    off = [abs(a - b) for a, b in zip(opened(data).tobytes(), gradient("RGBA").tobytes(), strict=True)]
    assert max(off) <= 4
    assert not Encoding("avif", 100).is_lossless
    assert not verify(data).lossless


def test_an_avif_holds_a_record_of_any_length() -> None:
    long = provenance(prompt="p" * 200_000)
    data = embed(picture("avif"), long)

    assert json.loads(provenance_json(long))["request"]["prompt"] in data.decode("latin-1")


def test_the_first_frame_of_a_sequence_is_taken() -> None:
    red, blue = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")
    raw = saved(red, "avif", save_all=True, append_images=[blue])

    shown = opened(encode(verify(raw), Encoding("png"), None)).convert("RGB").getpixel((8, 8))

    assert isinstance(shown, tuple)
    assert shown[0] > 200 > 50 > shown[2]


def test_without_avif_in_pillow_a_file_is_refused_and_none_written(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import AvifImagePlugin

    monkeypatch.setattr(AvifImagePlugin, "SUPPORTED", False)

    assert read_image(WHOLE).width == 16
    with pytest.raises(BadImage, match="this Pillow was built without AVIF"):
        verify(WHOLE)
    with pytest.raises(BadImage, match="this Pillow was built without AVIF"):
        encode_picture(gradient(), Encoding("avif", 80), None)
