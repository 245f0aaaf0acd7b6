"""The image formats: which one a file is, and the containers of PNG, JPEG and WebP; `images.avif` has that of AVIF.

A PNG's chunks are read and written here, so that its pixels stay as they are encoded. JPEG and WebP are decoded and
written by Pillow. But Pillow does not say where a JPEG ends and counts no scans; as soon as it opens a JPEG it parses
damaged Exif, with warnings that cannot be held back for one thread and memory without bound; and it does not say
whether a WebP is lossless. For that, their containers are walked here.

Sources: Portable Network Graphics (PNG) Specification, Third Edition, https://www.w3.org/TR/png-3/; ITU-T T.81 annex B
(JPEG's markers); RFC 9649 (WebP).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterable
from typing import cast

from imagegen.config.schema import Format

__all__ = [
    "MAX_CHUNKS",
    "MAX_SCANS",
    "PNG_ANIMATION",
    "PNG_VISUAL_CHUNKS",
    "BadImage",
    "Chunk",
    "copy_png",
    "format_of",
    "is_lossless_webp",
    "jpeg_size",
    "keyword_of",
    "png_size",
    "read_jpeg",
    "read_png",
    "read_webp",
    "text_chunk",
    "text_of",
    "webp_size",
    "write_jpeg",
    "write_png",
]

Chunk = tuple[bytes, bytes]
"""A part of an image file: its kind and its content. In a JPEG the kind is the marker's second byte, and empty for the
entropy-coded data of a scan."""

MAX_CHUNKS = 100_000
"""More than a file has: of the largest PNG that is decoded, with 8 KiB a chunk, they are 32,768. An empty one has 4 to
12 bytes in the file, and takes ten to forty times that in memory."""
MAX_SCANS = 100
"""An encoder writes about ten. Each of a few bytes has a decoder go over all pixels."""


class BadImage(Exception):  # noqa: N818 - it names what is there, as `Cancelled` does
    """These bytes are not the whole, sound image that they should be.

    Args:
        what: one sentence without a full stop.
        hint: what to do about it, if that is known.

    """

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


def format_of(data: bytes) -> Format:
    """Return the format, by the first bytes alone. Raises BadImage if it is none of these."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if _is_avif(data):
        return "avif"
    if not data:
        raise BadImage("not an image (it is empty)")
    for name, pattern in _OTHERS.items():
        if pattern.match(data):
            raise BadImage(f"not a PNG, WebP, AVIF or JPEG image, but {name}")
    # bytes' repr escapes whatever could upset a terminal
    raise BadImage(f"not a PNG, WebP, AVIF or JPEG image (it starts with {repr(data[:32])[1:]})")


def _is_avif(data: bytes) -> bool:
    """Return whether the first box says so: by its main brand, or one that it is compatible with.

    Some programs give the container's own brand, `mif1` or `msf1`, as the main one.
    """
    if data[4:8] != b"ftyp":
        return False
    brands = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
    others = {brands[at : at + 4] for at in range(8, len(brands), 4)}
    return brands[:4] in _AVIF or (brands[:4] in (b"mif1", b"msf1") and bool(others & _AVIF))


_AVIF = frozenset({b"avif", b"avis"})  # a picture, and a sequence of them

_OTHERS = {
    "a HEIC image": re.compile(rb"....ftyp(?:hei[cmsx]|hev[cmsx]|mif1|msf1)", re.DOTALL),
    "a GIF image": re.compile(rb"GIF8[79]a"),
    "a BMP image": re.compile(rb"BM.{12}[\x0c\x28\x6c\x7c]", re.DOTALL),
    "a TIFF or raw camera image": re.compile(rb"II\*\0|MM\0\*|II\+\0"),
    "a JPEG XL image": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "),
    "a JPEG 2000 image": re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
    "a Photoshop document": re.compile(rb"8BPS"),
    "an SVG image": re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!DOCTYPE svg[^>]*>\s*)?<svg"),
}
"""Other formats that people call a picture, each with a pattern of its first bytes."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXT = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_PIXELS = frozenset({b"IDAT", b"fdAT"})
"""Chunks whose content is a view of the file's bytes, since a copy would take time: it can be written, and compared."""

PNG_ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})

PNG_VISUAL_CHUNKS = PNG_ANIMATION | frozenset(
    b"IHDR PLTE IDAT IEND tRNS cHRM cICP gAMA iCCP mDCV cLLI sBIT sRGB bKGD hIST pHYs sPLT".split()
)
"""The chunks that decide what the picture looks like; all others only say something about it."""


def read_png(data: bytes, *, may_be_followed: bool = True) -> list[Chunk]:
    """Return every chunk, IEND included.

    Raises:
        BadImage: the signature, a length or a checksum is wrong; or something follows IEND, and must not.

    """
    if not data.startswith(_SIGNATURE):
        raise BadImage("the image has no PNG signature")
    chunks: list[Chunk] = []
    view, at = memoryview(data), len(_SIGNATURE)
    while len(data) - at >= 12:
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if not kind.isalpha():
            raise BadImage(f"the image is corrupt: there is no PNG chunk at byte {at}")
        if end > len(data):
            break
        if zlib.crc32(view[at + 4 : end - 4]).to_bytes(4, "big") != data[end - 4 : end]:
            raise BadImage(f"the image is corrupt: the checksum of its {kind.decode('ascii')} chunk is wrong")
        payload = view[at + 8 : end - 4]
        chunks.append((kind, cast("bytes", payload) if kind in _PIXELS else bytes(payload)))
        if len(chunks) > MAX_CHUNKS:
            raise BadImage(f"the image has more than {MAX_CHUNKS:,} PNG chunks")
        at = end
        if kind == b"IEND":
            if at < len(data) and not may_be_followed:
                raise BadImage(f"the image's IEND chunk is followed by {len(data) - at} bytes")
            return chunks
    raise BadImage("the image is cut off: no IEND chunk at its end")


def write_png(chunks: Iterable[Chunk]) -> bytes:
    """Return a PNG file of these chunks, in this order."""
    return b"".join([_SIGNATURE, *(part for chunk in chunks for part in _encoded(chunk))])


def _encoded(chunk: Chunk) -> tuple[bytes, bytes, bytes, bytes]:
    kind, payload = chunk
    return struct.pack(">I", len(payload)), kind, payload, struct.pack(">I", zlib.crc32(payload, zlib.crc32(kind)))


def copy_png(data: bytes, chunks: Iterable[Chunk], keep: Callable[[Chunk], bool], added: Iterable[Chunk] = ()) -> bytes:
    """Return a copy of a PNG file with some of its chunks, as they stand there.

    Args:
        data: the file.
        chunks: all of them, as `read_png` returns them.
        keep: whether a chunk stays.
        added: chunks that come before the pixels: some readers look no further.

    """
    view, parts = memoryview(data), [memoryview(_SIGNATURE)]
    new: bytes | None = b"".join(part for chunk in added for part in _encoded(chunk))
    begin = at = len(_SIGNATURE)  # begin: of the chunks that stay and are not copied yet
    for chunk in chunks:
        end = at + 12 + len(chunk[1])
        is_kept = keep(chunk)
        if not is_kept or (new and chunk[0] in (b"IDAT", b"IEND")):
            parts.append(view[begin:at])
            begin = at if is_kept else end
            if new and chunk[0] in (b"IDAT", b"IEND"):
                parts.append(memoryview(new))
                new = None
        at = end
    return b"".join([*parts, view[begin:at]])


def png_size(chunks: list[Chunk]) -> tuple[int, int]:
    """Return width and height (pixels) from the header. Raises BadImage unless there is just one, and first."""
    headers = [payload for kind, payload in chunks if kind == b"IHDR"]
    if len(headers) != 1 or chunks[0][0] != b"IHDR" or len(headers[0]) != 13:
        raise BadImage("the image is corrupt: it does not start with its one PNG header")
    width, height = struct.unpack_from(">II", headers[0])
    return width, height


def text_chunk(key: str, content: str) -> Chunk:
    """Return an uncompressed iTXt chunk.

    Args:
        key: 1 to 79 Latin-1 characters.
        content: the format forbids NUL in it, in whose place U+FFFD is written.

    """
    utf8 = content.replace("\0", "\ufffd").encode("utf-8")
    return b"iTXt", key.encode("latin-1") + b"\0" + b"\0\0" + b"\0" + b"\0" + utf8


def keyword_of(chunk: Chunk) -> str | None:
    """Return the keyword of a text chunk; None for a chunk of another type."""
    kind, payload = chunk
    return payload.partition(b"\0")[0].decode("latin-1") if kind in _TEXT else None


def text_of(chunk: Chunk) -> str | None:
    """Return the content of an uncompressed text chunk; None for any other, or if it is not UTF-8.

    Compressed text is not read: we write none, and it could be a zip bomb.
    """
    kind, payload = chunk
    if kind not in _TEXT:
        return None
    rest = payload.partition(b"\0")[2]
    if kind == b"tEXt":
        return rest.decode("latin-1")
    if kind != b"iTXt" or rest[:1] != b"\0":
        return None
    try:
        return rest[2:].split(b"\0", 2)[2].decode("utf-8")
    except (IndexError, UnicodeDecodeError):
        return None


_EOI, _SOS = 0xD9, 0xDA
_STANDALONE = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})
_FRAMES = frozenset(bytes([marker]) for marker in range(0xC0, 0xD0)) - {b"\xc4", b"\xc8", b"\xcc"}
_FILL = re.compile(rb"\xff*")
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def read_jpeg(data: bytes, *, may_be_followed: bool = True) -> list[Chunk]:
    """Return every segment between SOI and EOI, and after each SOS the data of its scan.

    Raises:
        BadImage: a length is wrong; or something follows EOI, as phones write it, and must not.

    """
    if not data.startswith(b"\xff\xd8"):
        raise BadImage("the image has no JPEG header")
    cut_off = BadImage("the image is cut off: no EOI marker at its end")
    segments: list[Chunk] = []
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
        if len(segments) >= MAX_CHUNKS:
            raise BadImage(f"the image has more than {MAX_CHUNKS:,} JPEG segments")
        segments.append((bytes([marker]), data[at + 2 : end]))
        at = end
        if marker == _SOS:
            scans += 1
            if scans > MAX_SCANS:
                raise BadImage(f"the image has more than {MAX_SCANS} JPEG scans")
            found = _END_OF_SCAN.search(data, at)
            if found is None:
                raise cut_off
            segments.append((b"", data[at : found.start()]))
            at = found.start()


def write_jpeg(segments: Iterable[Chunk]) -> bytes:
    """Return a JPEG file of these segments, in this order."""
    parts = [b"\xff\xd8"]
    for marker, content in segments:
        parts += [b"\xff", marker, (len(content) + 2).to_bytes(2, "big"), content] if marker else [content]
    return b"".join([*parts, b"\xff\xd9"])


def jpeg_size(segments: Iterable[Chunk]) -> tuple[int, int]:
    """Return width and height (pixels) from the frame header. Raises BadImage unless there is just one."""
    frames = [content for marker, content in segments if marker in _FRAMES]
    if len(frames) != 1 or len(frames[0]) < 6:
        raise BadImage("the image is corrupt: it has no JPEG frame header, or more than one")
    return int.from_bytes(frames[0][3:5], "big"), int.from_bytes(frames[0][1:3], "big")


def read_webp(data: bytes, *, may_be_followed: bool = True) -> list[Chunk]:
    """Return every RIFF chunk, without its padding.

    Raises:
        BadImage: a size is wrong; or something follows the last chunk, and must not.

    """
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise BadImage("the image has no WebP header")
    stated = struct.unpack_from("<I", data, 4)[0] + 8
    if stated > len(data):
        raise BadImage(f"the image is cut off: {len(data)} of its {stated} bytes are there")
    if stated < len(data) and not may_be_followed:
        raise BadImage(f"the image is followed by {len(data) - stated} bytes")
    return _riff_chunks(data[12:stated])


def _riff_chunks(data: bytes) -> list[Chunk]:
    chunks: list[Chunk] = []
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + length
        if end + length % 2 > len(data):
            raise BadImage("the image is corrupt: a WebP chunk is longer than the file")
        chunks.append((data[at : at + 4], data[at + 8 : end]))
        if len(chunks) > MAX_CHUNKS:
            raise BadImage(f"the image has more than {MAX_CHUNKS:,} WebP chunks")
        at = end + length % 2
    return chunks


def webp_size(chunks: list[Chunk]) -> tuple[int, int]:
    """Return width and height (pixels) from the header. Raises BadImage if there is none."""
    kind, content = chunks[0] if chunks else (b"", b"")
    if kind == b"VP8X" and len(content) >= 10:
        return 1 + int.from_bytes(content[4:7], "little"), 1 + int.from_bytes(content[7:10], "little")
    if kind == b"VP8L" and len(content) >= 5 and content[0] == 0x2F:
        bits = int.from_bytes(content[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and len(content) >= 10 and content[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", content, 6)
        return width & 0x3FFF, height & 0x3FFF
    raise BadImage("the image is corrupt: it does not start with a WebP header")


def is_lossless_webp(chunks: list[Chunk]) -> bool:
    """Return whether the picture (of an animation: its first frame) is encoded without loss."""
    frame = next((content for kind, content in chunks if kind == b"ANMF"), None)
    within = chunks if frame is None else _riff_chunks(frame[16:])
    return any(kind == b"VP8L" for kind, _ in within)
