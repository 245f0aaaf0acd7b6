"""Whether an image file may be transparent, by its header: nothing is decoded."""

from __future__ import annotations

from imagegen.images.formats import format_of

__all__ = ["HEADER_BYTES", "may_be_transparent"]

HEADER_BYTES = 64 * 1024
"""How much of a file is looked at: a profile and texts may come before what says it in a PNG."""


def may_be_transparent(header: bytes) -> bool:
    """Return whether an image may be transparent: False only if it certainly is not.

    Sources: PNG Specification, sections 11.2.1 and 11.3.1.1 (colour types 4 and 6 have alpha, tRNS comes before IDAT);
    RFC 9649, section 2.7 (the flag in VP8X), and WebP Lossless Bitstream Specification, section 3 (the bit in VP8L).

    Args:
        header: the first `HEADER_BYTES` of the file.

    Raises:
        BadImage: it is not an image.
    """
    kind = format_of(header)
    if kind == "jpeg":
        return False
    if kind == "png":
        before, found, _ = header.partition(b"IDAT")
        return header[25:26] in (b"\x04", b"\x06") or b"tRNS" in before or not found
    if kind == "webp":
        flags = {b"VP8X": header[20:21], b"VP8L": header[24:25], b"VP8 ": b"\0"}.get(header[12:16]) or b"\xff"
        return bool(flags[0] & 0x10)
    return True
