"""WebP as a list of RIFF chunks: read, written and given metadata without encoding the pixels again.

Source: RFC 9649, WebP Image Format, https://www.rfc-editor.org/rfc/rfc9649
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from imagegen.images.formats import BadImage

__all__ = [
    "LOOKS",
    "Chunk",
    "is_lossless",
    "metadata",
    "read_chunks",
    "size",
    "with_metadata",
    "write_chunks",
]

_MAX_CHUNKS = 100_000
"""More than a file has: a picture is one chunk, a frame of an animation another."""

Chunk = tuple[bytes, bytes]
"""A chunk's FourCC and its payload, without the padding."""

LOOKS = frozenset({b"VP8X", b"ICCP", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L"})
"""The chunks that decide what the picture looks like; all others only tell something of it."""

_METADATA_FLAGS = {b"EXIF": 0x08, b"XMP ": 0x04}
_ALPHA_FLAG = 0x10


def read_chunks(data: bytes, *, may_be_followed: bool = True) -> list[Chunk]:
    """Every chunk. may_be_followed: whether anything may come after the last.

    Raises BadImage where a size is not that of the data.
    """
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise BadImage("the image has no WebP header")
    stated = struct.unpack_from("<I", data, 4)[0] + 8
    if stated > len(data):
        raise BadImage(f"the image is cut off: {len(data)} of its {stated} bytes are there")
    if stated < len(data) and not may_be_followed:
        raise BadImage(f"the image is followed by {len(data) - stated} bytes")
    return _chunks(data[12:stated])


def _chunks(data: bytes) -> list[Chunk]:
    chunks: list[Chunk] = []
    at = 0
    while at < len(data):
        kind = data[at : at + 4]
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + length
        if end + length % 2 > len(data):
            raise BadImage("the image is corrupt: a WebP chunk is longer than the file")
        chunks.append((kind, data[at + 8 : end]))
        if len(chunks) > _MAX_CHUNKS:
            raise BadImage(f"the image has more than {_MAX_CHUNKS:,} WebP chunks")
        at = end + length % 2
    return chunks


def write_chunks(chunks: Iterable[Chunk]) -> bytes:
    """A WebP file of these chunks, in this order."""
    body = b"".join(
        kind + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) % 2) for kind, payload in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def size(chunks: list[Chunk]) -> tuple[int, int]:
    """Width and height (pixels) from the header. Raises BadImage where there is none."""
    kind, payload = chunks[0] if chunks else (b"", b"")
    if kind == b"VP8X" and len(payload) >= 10:
        return 1 + int.from_bytes(payload[4:7], "little"), 1 + int.from_bytes(payload[7:10], "little")
    if kind == b"VP8L" and len(payload) >= 5 and payload[0] == 0x2F:
        bits = int.from_bytes(payload[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and len(payload) >= 10 and payload[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", payload, 6)
        return width & 0x3FFF, height & 0x3FFF
    raise BadImage("the image is corrupt: it does not start with a WebP header")


def is_lossless(chunks: list[Chunk]) -> bool:
    """Whether the picture (of an animation: its first frame) is encoded without loss."""
    frame = next((payload for kind, payload in chunks if kind == b"ANMF"), None)
    within = chunks if frame is None else _chunks(frame[16:])
    return any(kind == b"VP8L" for kind, _ in within)


def metadata(chunks: list[Chunk], kind: bytes) -> bytes:
    """The payload of the first `EXIF` or `XMP ` chunk; empty where there is none."""
    return next((payload for found, payload in chunks if found == kind), b"")


def with_metadata(chunks: list[Chunk], new: dict[bytes, bytes]) -> list[Chunk]:
    """The chunks with `EXIF` and `XMP ` as in `new` and no others, and the header's flags to match.

    Raises BadImage where the chunks do not start with a header.
    """
    kept = [chunk for chunk in chunks if chunk[0] not in _METADATA_FLAGS]
    width, height = size(kept)
    if new and kept[0][0] != b"VP8X":
        kept.insert(0, (b"VP8X", _extended_header(kept[0], width, height)))
    if kept[0][0] == b"VP8X":
        header = kept[0][1]
        flags = header[0] & ~sum(_METADATA_FLAGS.values()) | sum(_METADATA_FLAGS[kind] for kind in new)
        kept[0] = (b"VP8X", bytes([flags]) + header[1:])
    return kept + [(kind, new[kind]) for kind in _METADATA_FLAGS if kind in new]


def _extended_header(first: Chunk, width: int, height: int) -> bytes:
    kind, payload = first
    has_alpha = kind == b"VP8L" and payload[4] & 0x10
    flags = _ALPHA_FLAG if has_alpha else 0
    return struct.pack("<I", flags) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
