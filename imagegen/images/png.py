"""PNG as a list of chunks: read, written and given text without encoding the pixels again.

Source: Portable Network Graphics (PNG) Specification, Third Edition, https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

from imagegen.images.formats import MAX_CHUNKS, BadImage, Chunk

__all__ = ["ANIMATION", "LOOKS", "itxt", "keyword", "read_chunks", "size", "text", "write_chunks"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXT = frozenset({b"tEXt", b"zTXt", b"iTXt"})

ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})

LOOKS = ANIMATION | frozenset(
    b"IHDR PLTE IDAT IEND tRNS cHRM cICP gAMA iCCP mDCV cLLI sBIT sRGB bKGD hIST pHYs sPLT".split()
)
"""The chunks that decide what the picture looks like; all others only tell something of it."""


def read_chunks(data: bytes, *, may_be_followed: bool = True) -> list[Chunk]:
    """Return every chunk, IEND included.

    Args:
        data: the file.
        may_be_followed: whether anything may come after IEND.

    Raises:
        BadImage: the signature, a length or a checksum is wrong, or IEND is not the end of the data.

    """
    if not data.startswith(_SIGNATURE):
        raise BadImage("the image has no PNG signature")
    chunks: list[Chunk] = []
    at = len(_SIGNATURE)
    while len(data) - at >= 12:
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if not kind.isalpha():
            raise BadImage(f"the image is corrupt: there is no PNG chunk at byte {at}")
        if end > len(data):
            break
        payload = data[at + 8 : end - 4]
        if zlib.crc32(payload, zlib.crc32(kind)).to_bytes(4, "big") != data[end - 4 : end]:
            raise BadImage(f"the image is corrupt: the checksum of its {kind.decode('ascii')} chunk is wrong")
        chunks.append((kind, payload))
        if len(chunks) > MAX_CHUNKS:
            raise BadImage(f"the image has more than {MAX_CHUNKS:,} PNG chunks")
        at = end
        if kind == b"IEND":
            if at < len(data) and not may_be_followed:
                raise BadImage(f"the image's IEND chunk is followed by {len(data) - at} bytes")
            return chunks
    raise BadImage("the image is cut off: no IEND chunk at its end")


def write_chunks(chunks: Iterable[Chunk]) -> bytes:
    """Return a PNG file of these chunks, in this order."""
    parts = [_SIGNATURE]
    for kind, payload in chunks:
        crc = zlib.crc32(payload, zlib.crc32(kind))
        parts += [struct.pack(">I", len(payload)), kind, payload, struct.pack(">I", crc)]
    return b"".join(parts)


def size(chunks: list[Chunk]) -> tuple[int, int]:
    """Return width and height (pixels) from the header. Raises BadImage where there is not just one, and first."""
    headers = [payload for kind, payload in chunks if kind == b"IHDR"]
    if len(headers) != 1 or chunks[0][0] != b"IHDR" or len(headers[0]) != 13:
        raise BadImage("the image is corrupt: it does not start with its one PNG header")
    width, height = struct.unpack_from(">II", headers[0])
    return width, height


def itxt(key: str, content: str) -> Chunk:
    """Return an uncompressed iTXt chunk.

    Args:
        key: 1 to 79 Latin-1 characters.
        content: the format forbids NUL in it, in whose place U+FFFD is written.

    """
    utf8 = content.replace("\0", "\ufffd").encode("utf-8")
    return b"iTXt", key.encode("latin-1") + b"\0" + b"\0\0" + b"\0" + b"\0" + utf8


def keyword(chunk: Chunk) -> str | None:
    """Return the keyword of a text chunk; None for a chunk of another type."""
    kind, payload = chunk
    return payload.partition(b"\0")[0].decode("latin-1") if kind in _TEXT else None


def text(chunk: Chunk) -> str | None:
    """Return the content of an uncompressed text chunk; None for any other, or where it is not UTF-8.

    Compressed text is not read: we write none, and it could be a zip bomb.
    """
    kind, payload = chunk
    rest = payload.partition(b"\0")[2]
    if kind == b"tEXt":
        return rest.decode("latin-1")
    if kind != b"iTXt" or rest[:1] != b"\0":
        return None
    try:
        return rest[2:].split(b"\0", 2)[2].decode("utf-8")
    except (IndexError, UnicodeDecodeError):
        return None
