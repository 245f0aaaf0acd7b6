"""JPEG as a list of segments: read, written and given metadata without encoding the pixels again.

Sources: ITU-T T.81 annex B (markers), Exif 2.32 section 4.7.2 (APP1), XMP Specification Part 3 section 1.1.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from imagegen.images.formats import BadImage

__all__ = [
    "EXIF",
    "LONGEST",
    "XMP",
    "Segment",
    "comment",
    "looks",
    "metadata",
    "read_segments",
    "size",
    "with_metadata",
    "write_segments",
]

LONGEST = 65_533
"""Bytes that a segment's payload can hold: its length field of 16 bits counts itself."""

EXIF = b"Exif\0\0"
XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"

_EOI, _SOS, _COM, _APP0, _APP1, _APP2, _APP14 = 0xD9, 0xDA, 0xFE, 0xE0, 0xE1, 0xE2, 0xEE
_STANDALONE = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_FILL = re.compile(rb"\xff*")
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


_MAX_SEGMENTS = 100_000
"""More than a file has; one of nothing has 4 bytes, and takes forty times that in memory."""
_MAX_SCANS = 100
"""An encoder writes about ten. One of a few bytes has a decoder go over all pixels."""


class Segment(NamedTuple):
    """A marker's second byte, the payload after its length field, and a scan's entropy-coded data."""

    marker: int
    payload: bytes
    scan: bytes = b""


def read_segments(data: bytes, *, may_be_followed: bool = True) -> list[Segment]:
    """Every segment between SOI and EOI. may_be_followed: whether anything may come after it, as phones write it.

    Raises BadImage where a length is wrong or EOI is not the end of the data.
    """
    if not data.startswith(b"\xff\xd8"):
        raise BadImage("the image has no JPEG header")
    cut_off = BadImage("the image is cut off: no EOI marker at its end")
    segments: list[Segment] = []
    at, scans = 2, 0
    while True:
        start = at
        fill = _FILL.match(data, at)
        at = fill.end() if fill else at
        if at >= len(data):
            raise cut_off
        marker = data[at]
        at += 1
        if at - start < 2 or marker in _STANDALONE:
            raise BadImage(f"the image is corrupt: there is no JPEG segment at byte {start}")
        if marker == _EOI:
            if at < len(data) and not may_be_followed:
                raise BadImage(f"the image's EOI marker is followed by {len(data) - at} bytes")
            return segments
        end = at + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            raise cut_off
        if end < at + 2:
            raise BadImage(f"the image is corrupt: there is no JPEG segment at byte {start}")
        payload, scan, at = data[at + 2 : end], b"", end
        if len(segments) >= _MAX_SEGMENTS:
            raise BadImage(f"the image has more than {_MAX_SEGMENTS:,} JPEG segments")
        if marker == _SOS:
            scans += 1
            if scans > _MAX_SCANS:
                raise BadImage(f"the image has more than {_MAX_SCANS} JPEG scans")
            found = _END_OF_SCAN.search(data, at)
            if found is None:
                raise cut_off
            scan, at = data[at : found.start()], found.start()
        segments.append(Segment(marker, payload, scan))


def write_segments(segments: Iterable[Segment]) -> bytes:
    """A JPEG file of these segments, in this order."""
    parts = [b"\xff\xd8"]
    for marker, payload, scan in segments:
        parts += [bytes([0xFF, marker]), (len(payload) + 2).to_bytes(2, "big"), payload, scan]
    return b"".join([*parts, bytes([0xFF, _EOI])])


def size(segments: list[Segment]) -> tuple[int, int]:
    """Width and height (pixels) from the frame header. Raises BadImage where there is not just one."""
    frames = [segment.payload for segment in segments if segment.marker in _FRAMES]
    if len(frames) != 1 or len(frames[0]) < 6:
        raise BadImage("the image is corrupt: it has no JPEG frame header, or more than one")
    return int.from_bytes(frames[0][3:5], "big"), int.from_bytes(frames[0][1:3], "big")


def looks(segments: list[Segment]) -> list[Segment]:
    """The segments that decide what the picture looks like: no comments, and of APPn JFIF, ICC, Adobe."""
    return [
        segment
        for segment in segments
        if segment.marker in (_APP0, _APP14)
        or (segment.marker == _APP2 and segment.payload.startswith(b"ICC_PROFILE\0"))
        or not (0xE0 <= segment.marker <= 0xEF or segment.marker == _COM)
    ]


def metadata(segments: list[Segment], kind: bytes) -> bytes:
    """What follows the header of the first APP1 segment of `EXIF` or `XMP`; empty where there is none."""
    for marker, payload, _ in segments:
        if marker == _APP1 and payload.startswith(kind):
            return payload[len(kind) :]
    return b""


def comment(segments: list[Segment]) -> str:
    """The text of the first comment; empty where there is none."""
    found = (payload for marker, payload, _ in segments if marker == _COM)
    return next(found, b"").decode("utf-8", "replace").strip("\0")


def with_metadata(segments: list[Segment], new: dict[bytes, bytes]) -> list[Segment]:
    """The segments with each kind (`EXIF`, `XMP`) of `new` replaced by its content.

    An empty content takes the kind out. A content is at most `LONGEST` bytes less those of its header.
    """
    gone = (*new, _EXTENDED_XMP) if XMP in new else tuple(new)
    kept = [s for s in segments if not (s.marker == _APP1 and s.payload.startswith(gone))]
    # JFIF asks to be first
    at = 1 if kept and kept[0].marker == _APP0 else 0
    kept[at:at] = [Segment(_APP1, kind + content) for kind, content in new.items() if content]
    return kept
