from __future__ import annotations

import pytest

from imagegen.images import jpeg
from imagegen.images.formats import BadImage

from .pictures import opened, picture, pixels, xmp_of


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 1}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_pillows_own_file_is_read_and_written_back(mode: str, options: dict[str, int]) -> None:
    data = picture("jpeg", mode, **options)

    segments = jpeg.read_segments(data)

    assert jpeg.size(segments) == (16, 12)
    assert jpeg.write_segments(segments) == data


def test_an_end_marker_within_a_segment_is_not_the_end() -> None:
    data = picture("jpeg", comment=b"\xff\xd9")

    assert (0xFE, b"\xff\xd9", b"") in jpeg.read_segments(data)


def test_fill_bytes_before_a_marker_are_read_over() -> None:
    data = picture("jpeg")

    filled = data[:2] + b"\xff\xff" + data[2:-2] + b"\xff" + data[-2:]

    assert pixels(jpeg.write_segments(jpeg.read_segments(filled))) == pixels(data)


def test_metadata_is_added_replaced_and_taken_out_and_the_pixels_stay() -> None:
    data = picture("jpeg")
    segments = jpeg.read_segments(data)

    added = jpeg.with_metadata(segments, {jpeg.EXIF: b"MM\0*\0\0\0\x08\0\0\0\0\0\0", jpeg.XMP: b"<x/>"})
    replaced = jpeg.with_metadata(added, {jpeg.XMP: b"<y/>"})
    removed = jpeg.with_metadata(replaced, {jpeg.XMP: b"", jpeg.EXIF: b""})

    # JFIF first, then Exif: what readers that look at a fixed place expect
    assert [segment.marker for segment in added[:3]] == [0xE0, 0xE1, 0xE1]
    assert xmp_of(jpeg.write_segments(added)) == "<x/>"
    assert jpeg.metadata(replaced, jpeg.XMP) == b"<y/>"
    assert jpeg.metadata(replaced, jpeg.EXIF) == b"MM\0*\0\0\0\x08\0\0\0\0\0\0"
    assert removed == segments
    assert pixels(jpeg.write_segments(replaced)) == pixels(data)


def test_looks_keep_the_profile_and_drop_what_only_tells() -> None:
    data = picture("jpeg", comment=b"hello", icc_profile=b"p" * 100, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")

    kept = jpeg.write_segments(jpeg.looks(jpeg.read_segments(data)))

    assert opened(kept).info["icc_profile"] == b"p" * 100
    assert b"hello" not in kept
    assert b"Exif" not in kept
    assert pixels(kept) == pixels(data)


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
def test_damage_is_named(data: bytes, what: str) -> None:
    with pytest.raises(BadImage) as caught:
        jpeg.read_segments(data, may_be_followed=False)

    assert caught.value.what == what


def test_two_frame_headers_are_refused() -> None:
    segments = jpeg.read_segments(picture("jpeg"))
    frame = next(segment for segment in segments if segment.marker == 0xC0)

    with pytest.raises(BadImage, match="or more than one"):
        jpeg.size([frame, *segments])


def test_the_extension_of_an_older_packet_goes_with_it() -> None:
    segments = jpeg.read_segments(picture("jpeg"))
    extension = jpeg.Segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"more")

    assert extension in jpeg.with_metadata([*segments[:1], extension, *segments[1:]], {jpeg.EXIF: b""})
    assert extension not in jpeg.with_metadata([*segments[:1], extension, *segments[1:]], {jpeg.XMP: b"<x/>"})
