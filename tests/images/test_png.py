from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.images import png
from imagegen.images.formats import BadImage, Chunk

from .pictures import opened, picture

kinds = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=4, max_size=4)
chunks = st.tuples(kinds.map(str.encode).filter(lambda kind: kind != b"IEND"), st.binary(max_size=100))


@given(st.lists(chunks, max_size=8))
def test_chunks_come_back_as_they_were_written(written: list[Chunk]) -> None:
    whole = [*written, (b"IEND", b"")]

    assert png.read_chunks(png.write_chunks(whole)) == whole


def test_pillows_own_file_is_written_back_byte_for_byte() -> None:
    data = picture("png")

    assert png.write_chunks(png.read_chunks(data)) == data


@given(st.text(st.characters(codec="utf-8"), max_size=50))
def test_itxt_gives_its_text_back_but_for_nul(content: str) -> None:
    chunk = png.itxt("imagegen", content)

    assert png.keyword(chunk) == "imagegen"
    assert png.text(chunk) == content.replace("\0", "\ufffd")


def test_pillow_reads_the_itxt_chunk() -> None:
    header, *rest = png.read_chunks(picture("png"))

    image = opened(png.write_chunks([header, png.itxt("parameters", "größer 🦊"), *rest]))

    assert image.text["parameters"] == "größer 🦊"  # type: ignore[attr-defined]


def test_compressed_and_broken_text_is_not_read() -> None:
    assert png.text((b"iTXt", b"imagegen\0\1\0\0\0...")) is None
    assert png.text((b"iTXt", b"imagegen\0\0\0")) is None
    assert png.text((b"iTXt", b"imagegen\0\0\0\0\0\xff")) is None
    assert png.text((b"zTXt", b"imagegen\0\0...")) is None


def test_a_chunk_of_another_type_has_no_keyword() -> None:
    assert png.keyword((b"eXIf", b"imagegen\0")) is None


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
def test_damage_is_named(damage: object, what: str) -> None:
    assert callable(damage)

    with pytest.raises(BadImage) as caught:
        png.read_chunks(damage(picture("png")), may_be_followed=False)

    assert caught.value.what == what


def test_a_second_header_is_refused_as_decoders_would_take_its_size() -> None:
    header, *rest = png.read_chunks(picture("png"))

    assert png.size([header, *rest]) == (16, 12)
    for chunks in ([header, header, *rest], [*rest, header], rest, []):
        with pytest.raises(BadImage, match="does not start with its one PNG header"):
            png.size(chunks)
