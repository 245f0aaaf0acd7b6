from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.images.formats import (
    BadImage,
    Chunk,
    is_lossless_webp,
    jpeg_size,
    keyword_of,
    png_size,
    read_jpeg,
    read_png,
    read_webp,
    text_chunk,
    text_of,
    webp_size,
    write_jpeg,
    write_png,
)

from .pictures import gradient, opened, picture, pixels, saved, write_webp


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 1}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_pillows_own_jpeg_is_read_and_written_back(mode: str, options: dict[str, int]) -> None:
    data = picture("jpeg", mode, **options)

    segments = read_jpeg(data)

    assert jpeg_size(segments) == (16, 12)
    assert write_jpeg(segments) == data


def test_an_end_marker_within_a_segment_is_not_the_end() -> None:
    assert (b"\xfe", b"\xff\xd9") in read_jpeg(picture("jpeg", comment=b"\xff\xd9"))


def test_fill_bytes_before_a_marker_are_read_over() -> None:
    data = picture("jpeg")

    filled = data[:2] + b"\xff\xff" + data[2:-2] + b"\xff" + data[-2:]

    assert pixels(write_jpeg(read_jpeg(filled))) == pixels(data)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\xff\xd8\xff\xd9\0", "the image's EOI marker is followed by 1 bytes"),
        (b"\xff\xd8\xff\xe0\0\1", "the image is corrupt: there is no JPEG segment at byte 2"),
        (b"\xff\xd8\xff\xd0", "the image is corrupt: there is no JPEG segment at byte 2"),
        (b"\xff\xd8\x12\x34", "the image is corrupt: there is no JPEG segment at byte 2"),
        (b"\xff\xd8\xff\xe0\0\x09ab", "the image is cut off: no EOI marker at its end"),
        (b"GIF89a", "the image has no JPEG header"),
    ],
)
def test_damage_of_a_jpeg_is_named(data: bytes, what: str) -> None:
    with pytest.raises(BadImage) as caught:
        read_jpeg(data, may_be_followed=False)

    assert caught.value.what == what


def test_two_frame_headers_are_refused() -> None:
    segments = read_jpeg(picture("jpeg"))
    frame = next(segment for segment in segments if segment[0] == b"\xc0")

    with pytest.raises(BadImage, match="or more than one"):
        jpeg_size([frame, *segments])


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_pillows_own_webp_is_read(mode: str, lossless: bool) -> None:
    data = picture("webp", mode, lossless=lossless)

    chunks = read_webp(data)

    assert webp_size(chunks) == (16, 12)
    assert is_lossless_webp(chunks) is lossless
    assert write_webp(chunks) == data


def test_an_animation_is_as_lossless_as_its_first_frame() -> None:
    second = gradient().rotate(180)
    for lossless in (True, False):
        data = saved(gradient(), "webp", save_all=True, append_images=[second], lossless=lossless)

        assert is_lossless_webp(read_webp(data)) is lossless


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"RIFF\x04\0\0\0WAVE", "the image has no WebP header"),
        (b"RIFF\x0c\0\0\0WEBPVP8L\x09\0\0\0", "the image is corrupt: a WebP chunk is longer than the file"),
        (b"RIFF\x10\0\0\0WEBPVP8L", "the image is cut off: 16 of its 24 bytes are there"),
        (b"RIFF\x04\0\0\0WEBP\0", "the image is followed by 1 bytes"),
    ],
)
def test_damage_of_a_webp_is_named(data: bytes, what: str) -> None:
    with pytest.raises(BadImage) as caught:
        read_webp(data, may_be_followed=False)

    assert caught.value.what == what


@pytest.mark.parametrize("chunks", [[], [(b"VP8X", b"")], [(b"VP8L", b"\0" * 5)], [(b"XMP ", b"x" * 20)]])
def test_chunks_without_a_header_are_refused(chunks: list[Chunk]) -> None:
    with pytest.raises(BadImage, match="does not start with a WebP header"):
        webp_size(chunks)


kinds = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=4, max_size=4)
chunks = st.tuples(kinds.map(str.encode).filter(lambda kind: kind != b"IEND"), st.binary(max_size=100))


@given(st.lists(chunks, max_size=8))
def test_chunks_come_back_as_they_were_written(written: list[Chunk]) -> None:
    whole = [*written, (b"IEND", b"")]

    assert read_png(write_png(whole)) == whole


def test_pillows_own_file_is_written_back_byte_for_byte() -> None:
    data = picture("png")

    assert write_png(read_png(data)) == data


@given(st.text(st.characters(codec="utf-8"), max_size=50))
def test_itxt_gives_its_text_back_but_for_nul(content: str) -> None:
    chunk = text_chunk("imagegen", content)

    assert keyword_of(chunk) == "imagegen"
    assert text_of(chunk) == content.replace("\0", "\ufffd")


def test_pillow_reads_the_itxt_chunk() -> None:
    header, *rest = read_png(picture("png"))

    image = opened(write_png([header, text_chunk("parameters", "größer 🦊"), *rest]))

    assert image.text["parameters"] == "größer 🦊"  # type: ignore[attr-defined]


def test_compressed_and_broken_text_is_not_read() -> None:
    assert text_of((b"iTXt", b"imagegen\0\1\0\0\0...")) is None
    assert text_of((b"iTXt", b"imagegen\0\0\0")) is None
    assert text_of((b"iTXt", b"imagegen\0\0\0\0\0\xff")) is None
    assert text_of((b"zTXt", b"imagegen\0\0...")) is None


def test_a_chunk_of_another_type_has_no_keyword() -> None:
    assert keyword_of((b"eXIf", b"imagegen\0")) is None


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda data: data[:-12], "the image is cut off: no IEND chunk at its end"),
        (lambda data: data[:-1], "the image is cut off: no IEND chunk at its end"),
        (lambda data: data + b"\n", "the image's IEND chunk is followed by 1 bytes"),
        (
            lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:],
            "the image is corrupt: the checksum of its IHDR chunk is wrong",
        ),
        (
            lambda data: data[:12] + b"\x1b[2J" + data[16:],
            "the image is corrupt: there is no PNG chunk at byte 8",
        ),
        (lambda data: data[1:], "the image has no PNG signature"),
    ],
)
def test_damage_of_a_png_is_named(damage: object, what: str) -> None:
    assert callable(damage)

    with pytest.raises(BadImage) as caught:
        read_png(damage(picture("png")), may_be_followed=False)

    assert caught.value.what == what


def test_a_second_header_is_refused_as_decoders_would_take_its_size() -> None:
    header, *rest = read_png(picture("png"))

    assert png_size([header, *rest]) == (16, 12)
    for chunks in ([header, header, *rest], [*rest, header], rest, []):
        with pytest.raises(BadImage, match="does not start with its one PNG header"):
            png_size(chunks)
