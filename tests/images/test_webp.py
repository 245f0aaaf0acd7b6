from __future__ import annotations

import pytest

from imagegen.images import webp
from imagegen.images.formats import BadImage

from .pictures import gradient, opened, picture, pixels, saved


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_pillows_own_file_is_read_and_written_back(mode: str, lossless: bool) -> None:
    data = picture("webp", mode, lossless=lossless)

    chunks = webp.read_chunks(data)

    assert webp.size(chunks) == (16, 12)
    assert webp.is_lossless(chunks) is lossless
    assert webp.write_chunks(chunks) == data


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_metadata_is_added_replaced_and_taken_out_and_the_pixels_stay(mode: str, lossless: bool) -> None:
    data = picture("webp", mode, lossless=lossless)

    # an odd length, which has to be padded
    added = webp.with_metadata(webp.read_chunks(data), {b"XMP ": b"<x/>\n", b"EXIF": b"MM\0*\0\0\0\x08\0\0"})
    replaced = webp.with_metadata(added, {b"XMP ": b"<y/>"})
    removed = webp.with_metadata(replaced, {})

    assert [kind for kind, _ in added][-2:] == [b"EXIF", b"XMP "]
    assert webp.metadata(replaced, b"XMP ") == b"<y/>"
    assert webp.metadata(replaced, b"EXIF") == b""
    assert [chunks[0][1][0] & 0x0C for chunks in (added, replaced, removed)] == [0x0C, 0x04, 0]
    for chunks in (added, replaced, removed):
        assert pixels(webp.write_chunks(chunks)) == pixels(data)
    assert opened(webp.write_chunks(added)).info["xmp"] == b"<x/>\n"


def test_an_animation_is_as_lossless_as_its_first_frame() -> None:
    second = gradient().rotate(180)
    for lossless in (True, False):
        data = saved(gradient(), "webp", save_all=True, append_images=[second], lossless=lossless)

        assert webp.is_lossless(webp.read_chunks(data)) is lossless


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"RIFF\x04\0\0\0WAVE", "the image has no WebP header"),
        (b"RIFF\x0c\0\0\0WEBPVP8L\x09\0\0\0", "the image is corrupt: a WebP chunk is longer than the file"),
        (b"RIFF\x10\0\0\0WEBPVP8L", "the image is cut off: 16 of its 24 bytes are there"),
        (b"RIFF\x04\0\0\0WEBP\0", "the image is followed by 1 bytes"),
    ],
)
def test_damage_is_named(data: bytes, what: str) -> None:
    with pytest.raises(BadImage) as caught:
        webp.read_chunks(data, may_be_followed=False)

    assert caught.value.what == what


@pytest.mark.parametrize("chunks", [[], [(b"VP8X", b"")], [(b"VP8L", b"\0" * 5)], [(b"XMP ", b"x" * 20)]])
def test_chunks_without_a_header_are_refused(chunks: list[webp.Chunk]) -> None:
    with pytest.raises(BadImage, match="does not start with a WebP header"):
        webp.with_metadata(chunks, {b"XMP ": b"x"})


def test_the_header_that_metadata_needs_says_whether_there_is_transparency() -> None:
    for mode, flag in (("RGBA", 0x10), ("RGB", 0)):
        chunks = webp.read_chunks(picture("webp", mode, lossless=True))
        kind, header = webp.with_metadata(chunks[-1:], {b"XMP ": b"<x/>"})[0]

        assert (chunks[-1][0], kind) == (b"VP8L", b"VP8X")
        assert header[0] & 0x10 == flag
