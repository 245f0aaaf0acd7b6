"""AVIF: what Pillow does not say about a file, and its metadata without damage to anybody.

An AVIF is a file of boxes, one of which, `meta`, lists items: the picture, its transparency, its Exif, its XMP. libavif
reads a file whose end is missing as long as it finds the picture; so the boxes are walked here, to the last byte that
an item has.

Sources: ISO/IEC 14496-12 (boxes; `iinf`, `iloc`, `iprp`, `pitm`); ISO/IEC 23008-12 (`ispe`, `irot`, `imir`, the item
`Exif`); AV1 Image File Format, https://aomediacodec.github.io/av1-avif/.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator

from imagegen.images.av1 import max_frame_size
from imagegen.images.formats import MAX_CHUNKS, BadImage, Chunk

__all__ = ["NO_AVIF", "avif_orientation", "avif_size", "has_avif", "read_avif", "simplify_avif"]

_TOP = frozenset(b"meta mdat moov moof mfra free skip wide uuid sidx pdin styp prft emsg udta idat".split())
"""The boxes that a file may have after its first. Anything else begins something that is not of this image."""
_CORRUPT = "the image is corrupt: "
_CUT_OFF = "the image is cut off: "


NO_AVIF = "this Pillow was built without AVIF"
"""Its wheels have it, but for that of Pillow 11.3 for Windows on ARM; a distribution's own package may not."""


def has_avif() -> bool:
    """Return whether Pillow was built with AVIF; found out without loading it."""
    from importlib.util import find_spec

    return find_spec("PIL._avif") is not None


def read_avif(data: bytes, *, may_be_followed: bool = True) -> list[Chunk]:
    """Return the properties of the main image, in their order, then the file's `Exif` and `XMP `.

    Raises:
        BadImage: a length is wrong, a part of an item is missing; or something follows the last box, and must not.

    """
    meta, end = _walk_file(data)
    if end < len(data) and not may_be_followed:
        raise BadImage(f"the image is followed by {len(data) - end} bytes")
    try:
        return _read_meta(data[:end] if end < len(data) else data, meta)
    except (struct.error, IndexError):
        raise BadImage(_CORRUPT + "an AVIF box is shorter than what it holds") from None


def _walk_file(data: bytes) -> tuple[tuple[int, int], int]:
    """Return where the content of the box `meta` begins and ends, and where the image ends."""
    meta: tuple[int, int] | None = None
    at = number = 0
    while len(data) - at >= 8:
        kind, start, end = _box_at(data, at, len(data))
        if number and kind not in _TOP:
            break
        if end > len(data):
            raise BadImage(f"{_CUT_OFF}{len(data)} of its {end} bytes are there")
        number += 1
        if number > MAX_CHUNKS:
            raise BadImage(f"the image has more than {MAX_CHUNKS:,} AVIF boxes")
        if kind == b"meta" and meta is None:
            meta = (start, end)
        at = end
    if meta is None:
        raise BadImage(_CUT_OFF + "no list of its items" if at >= len(data) - 8 else _CORRUPT + "no list of its items")
    return meta, at


def _box_at(data: bytes, at: int, end_of_all: int) -> tuple[bytes, int, int]:
    """Return the kind of the box there, and where its content begins and ends."""
    length, kind = struct.unpack_from(">I4s", data, at)
    start = at + 8
    if length == 1 and end_of_all - at >= 16:
        (length,) = struct.unpack_from(">Q", data, start)
        start += 8
    end = end_of_all if length == 0 else at + length
    if end < start:
        raise BadImage(f"{_CORRUPT}there is no AVIF box at byte {at}")
    return kind, start, end


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Return the boxes in a box."""
    at = start
    for _ in range(MAX_CHUNKS):
        if at >= end:
            return
        kind, within, at_end = _box_at(data, at, end)
        if at_end > end:
            raise BadImage(_CORRUPT + "an AVIF box is longer than the one that it is in")
        yield kind, within, at_end
        at = at_end
    raise BadImage(f"the image has more than {MAX_CHUNKS:,} AVIF boxes")


def _read_meta(data: bytes, meta: tuple[int, int]) -> list[Chunk]:
    inner = {kind: (start, end) for kind, start, end in _boxes(data, meta[0] + 4, meta[1])}
    missing = sorted(kind.decode() for kind in (b"pitm", b"iinf", b"iloc", b"iprp") if kind not in inner)
    if missing:
        raise BadImage(f"{_CORRUPT}it has no AVIF box {missing[0]}")
    at = inner[b"pitm"][0]
    (main,) = struct.unpack_from(">H" if data[at] == 0 else ">I", data, at + 4)
    extents = _read_extents(data, *inner[b"iloc"], inner.get(b"idat", (0, 0)))
    if main not in extents:
        raise BadImage(_CORRUPT + "its main image is not there")
    chunks = list(_properties_of(data, main, *inner[b"iprp"]))
    kinds = list(_read_kinds(data, *inner[b"iinf"]))
    width, height = avif_size(chunks)
    parts = [data[slice(*extents[item][0])] for item, kind in kinds if kind == b"av01" and extents.get(item)]
    _check_frames(parts, width * height)
    for item, kind in kinds:
        if kind in (b"Exif", b"XMP ") and item in extents:
            content = b"".join(data[start:end] for start, end in extents[item])
            # Exif begins with where its TIFF structure does
            chunks.append((kind, content[4 + int.from_bytes(content[:4], "big") :] if kind == b"Exif" else content))
    return chunks


def _check_frames(parts: Iterable[bytes], pixels: int) -> None:
    """Check that the pictures that a main image of so many pixels is made of are not far larger together.

    Those are its tiles or itself, its transparency, a thumbnail. libavif decodes a picture of whatever size its AV1
    data say, and then makes it as large as the container says.
    """
    found = 0
    for part in parts:
        size = max_frame_size(part[:_HEADER_BYTES])
        if size is None:
            raise BadImage(_CORRUPT + "its AV1 data have no header")
        found += size[0] * size[1]
        if found > 4 * pixels + _LITTLE_PIXELS:
            raise BadImage(_CORRUPT + "its AV1 data have a far larger picture than it says")


_HEADER_BYTES = 256
_LITTLE_PIXELS = 2048 * 2048
"""Tiles may reach beyond a small image."""


def _read_kinds(data: bytes, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Return the number of each item, and its type; that of XMP is `XMP ` here."""
    first = start + (6 if data[start] == 0 else 8)
    for kind, at, at_end in _boxes(data, first, end):
        if kind != b"infe" or data[at] not in (2, 3):
            continue
        form = ">H2x4s" if data[at] == 2 else ">I2x4s"
        item, type_ = struct.unpack_from(form, data, at + 4)
        rest = data[at + 4 + struct.calcsize(form) : at_end]
        is_xmp = type_ == b"mime" and rest.split(b"\0")[1:2] == [b"application/rdf+xml"]
        yield item, b"XMP " if is_xmp else type_


def _read_extents(data: bytes, start: int, end: int, idat: tuple[int, int]) -> dict[int, list[tuple[int, int]]]:
    """Return where the parts of each item are. Raises BadImage if one is not within the file.

    Parts may share bytes, as thousands of them could; together they get no more than the file has.
    """
    version, sizes = data[start], struct.unpack_from(">H", data, start + 4)[0]
    fields = _Fields(data, start + 6, end)
    of_offset, of_length, of_base, of_index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    found: dict[int, list[tuple[int, int]]] = {}
    left = len(data)
    for _ in range(fields.take(4 if version == 2 else 2)):
        item = fields.take(4 if version == 2 else 2)
        method = fields.take(2) & 15 if version else 0
        fields.take(2)
        base = fields.take(of_base)
        parts = found.setdefault(item, [])
        for _ in range(fields.take(2)):
            fields.take(of_index if version else 0)
            offset, length = base + fields.take(of_offset), fields.take(of_length)
            if method > 1:  # from another item: no such picture is decoded
                continue
            first, last = idat if method == 1 else (0, len(data))
            part = (first + offset, first + offset + length if length else last)
            if not part[0] <= part[1] <= last:
                raise BadImage(_CUT_OFF + f"of item {item}, not all bytes are there")
            left -= part[1] - part[0]
            if left < 0:
                raise BadImage(_CORRUPT + "its items share their bytes")
            parts.append(part)
    return found


class _Fields:
    """Whole numbers of a box, one after the other, each of as many bytes as it says."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data, self._at, self._end = data, at, end
        self._left = 10 * MAX_CHUNKS

    def take(self, size: int) -> int:
        self._left -= 1
        if self._left < 0:  # a few bytes may announce thousands of millions that have none
            raise BadImage(f"the image has an AVIF box of more than {10 * MAX_CHUNKS:,} numbers")
        start, self._at = self._at, self._at + size
        if self._at > self._end:
            raise IndexError
        return int.from_bytes(self._data[start : self._at], "big")


def _properties_of(data: bytes, item: int, start: int, end: int) -> Iterator[Chunk]:
    """Return the properties of an item, in their order."""
    inner = list(_boxes(data, start, end))
    listed = [box for kind, at, at_end in inner if kind == b"ipco" for box in _boxes(data, at, at_end)]
    for kind, at, at_end in inner:
        if kind != b"ipma":
            continue
        version, flags = data[at], data[at + 3]
        fields = _Fields(data, at + 4, at_end)
        for _ in range(fields.take(4)):
            of = fields.take(4 if version else 2)
            numbers = [fields.take(2 if flags & 1 else 1) for _ in range(fields.take(1))]
            for number in numbers if of == item else ():
                index = number & (0x7FFF if flags & 1 else 0x7F)  # its first bit says that a reader must know it
                if 0 < index <= len(listed):
                    name, first, last = listed[index - 1]
                    yield name, data[first:last]


def avif_size(chunks: list[Chunk]) -> tuple[int, int]:
    """Return width and height (pixels) of the main image. Raises BadImage if it has none."""
    for kind, content in chunks:
        if kind == b"ispe" and len(content) == 12:
            width, height = struct.unpack_from(">II", content, 4)
            return width, height
    raise BadImage(_CORRUPT + "its main image has no size")


def avif_orientation(chunks: list[Chunk]) -> int:
    """Return which of the eight ways the picture lies, 1 … 8, as Exif counts them.

    It is turned first (`irot`: quarter turns to the left), then mirrored (`imir`: its top and bottom, or left and
    right). What the file's Exif says of it does not count.
    """
    turns = next((content[0] & 3 for kind, content in chunks if kind == b"irot" and content), 0)
    axis = next((content[0] & 1 for kind, content in chunks if kind == b"imir" and content), None)
    return {None: (1, 8, 3, 6), 0: (4, 5, 2, 7), 1: (2, 7, 4, 5)}[axis][turns]


_EXIF_ITEM = rb"(?s)(infe(?:\x02\0\0[\0\1]..|\x03\0\0[\0\1]....)\0\0)Exif"


def simplify_avif(data: bytes) -> bytes:
    """Return the file as Pillow is to see it: without Exif, and not as a sequence.

    Pillow parses Exif on opening, and warns of damage. Of a sequence, the main image is a picture by itself, whose size
    is known; the first frame of the sequence is the same one.
    """
    data = re.sub(_EXIF_ITEM, rb"\1skip", data)
    return data[:8] + b"avif" + data[12:] if data[8:12] == b"avis" else data
