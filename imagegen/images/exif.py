"""The Exif field that we write, UserComment, without losing what was there before; and the one that we follow.

Source: Exif 2.32 sections 4.5, 4.6; TIFF 6.0 section 2.
"""

from __future__ import annotations

import struct
from collections.abc import Collection

__all__ = ["orientation", "texts", "user_comment", "with_user_comment"]

_ORIENTATION, _EXIF_IFD, _USER_COMMENT = 0x0112, 0x8769, 0x9286
_ASCII, _SHORT, _LONG, _UNDEFINED = 2, 3, 4, 7
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_POINTERS = frozenset({_EXIF_IFD, 0x8825, 0xA005, 0x014A, 0x0111, 0x0117, 0x0201, 0x0202})

_Entries = dict[int, tuple[int, int, bytes]]
"""TIFF type, count and value by tag."""


def with_user_comment(tiff: bytes, comment: str) -> bytes:
    """A TIFF structure (Exif without its `Exif` header) with this UserComment.

    The text is UTF-16BE, as AUTOMATIC1111's web UI and its kin read it whatever the byte order is.
    tiff: the one that was there before, or empty. Its first directory's own values stay (ComfyUI keeps a
    workflow there); what it points to, such as GPS data or a thumbnail, does not. A broken one is ignored.
    """
    order, entries = _first_directory(tiff)
    value = b"UNICODE\0" + comment.encode("utf-16-be")
    sub_at = 8 + _length({**entries, _EXIF_IFD: (_LONG, 1, bytes(4))})
    entries[_EXIF_IFD] = (_LONG, 1, struct.pack(order + "I", sub_at))
    sub = {_USER_COMMENT: (_UNDEFINED, len(value), value)}
    mark = b"MM" if order == ">" else b"II"
    head = mark + struct.pack(order + "HI", 42, 8)
    return head + _directory(order, entries, 8) + _directory(order, sub, sub_at)


def orientation(tiff: bytes) -> int:
    """Which of the eight ways the picture lies, 1 … 8; 1, upright, where the TIFF structure does not say."""
    order, entries = _first_directory(tiff)
    kind, count, value = entries.get(_ORIENTATION, (0, 0, b""))
    found = struct.unpack(order + "H", value)[0] if (kind, count) == (_SHORT, 1) else 1
    return found if 1 <= found <= 8 else 1


def user_comment(tiff: bytes) -> str:
    """The UserComment of a TIFF structure; empty where it has none.

    Programs write its UTF-16 in one byte order or the other, whatever the structure says; its ASCII characters tell.
    """
    order, entries = _first_directory(tiff, skip=frozenset())
    kind, count, value = entries.get(_EXIF_IFD, (0, 0, b""))
    if (kind, count) != (_LONG, 1):
        return ""
    comment = _directory_at(tiff, order, struct.unpack(order + "I", value)[0]).get(_USER_COMMENT, (0, 0, b""))[2]
    code, text = comment[:8], comment[8:]
    if code == b"UNICODE\0":
        big = text[::2].count(0) >= text[1::2].count(0)
        return text.decode("utf-16-be" if big else "utf-16-le", "replace").strip("\ufeff\0")
    return text.decode("utf-8", "replace").strip("\0") if code in (b"ASCII\0\0\0", bytes(8)) else ""


def texts(tiff: bytes) -> list[str]:
    """The texts of the first directory: ComfyUI keeps its workflow in one."""
    _, entries = _first_directory(tiff)
    return [value.decode("utf-8", "replace").rstrip("\0") for kind, _, value in entries.values() if kind == _ASCII]


def _first_directory(tiff: bytes, skip: Collection[int] = _POINTERS) -> tuple[str, _Entries]:
    """The byte order of `struct`, and the entries but for those of these tags: what points somewhere."""
    order = "<" if tiff.startswith(b"II*\0") else ">"
    if len(tiff) < 8 or not tiff.startswith((b"II*\0", b"MM\0*")):
        return order, {}
    return order, _directory_at(tiff, order, struct.unpack_from(order + "I", tiff, 4)[0], skip)


def _directory_at(tiff: bytes, order: str, at: int, skip: Collection[int] = ()) -> _Entries:
    """The entries of the directory there; none where it is broken.

    Entries may share bytes, as thousands of them could; together they get no more than the structure has.
    """
    entries: _Entries = {}
    left = len(tiff)
    try:
        (number,) = struct.unpack_from(order + "H", tiff, at)
        for entry in range(at + 2, at + 2 + 12 * number, 12):
            tag, kind, count = struct.unpack_from(order + "HHI", tiff, entry)
            length = _TYPE_BYTES.get(kind, 0) * count
            start = entry + 8 if length <= 4 else struct.unpack_from(order + "I", tiff, entry + 8)[0]
            if tag in skip or not 0 < length <= len(tiff) - start:
                continue
            if (left := left - length) < 0:
                return {}
            entries[tag] = (kind, count, tiff[start : start + length])
    except struct.error:
        return {}
    return entries


def _length(entries: _Entries) -> int:
    outside = (len(value) for _, _, value in entries.values() if len(value) > 4)
    return 6 + 12 * len(entries) + sum(length + length % 2 for length in outside)


def _directory(order: str, entries: _Entries, at: int) -> bytes:
    """The directory, to be put at that offset, followed by those of its values that do not fit into it."""
    table = [struct.pack(order + "H", len(entries))]
    values: list[bytes] = []
    outside = at + 6 + 12 * len(entries)
    for tag, (kind, count, value) in sorted(entries.items()):
        table.append(struct.pack(order + "HHI", tag, kind, count))
        if len(value) <= 4:
            table.append(value.ljust(4, b"\0"))
        else:
            table.append(struct.pack(order + "I", outside))
            values.append(value + b"\0" * (len(value) % 2))
            outside += len(values[-1])
    return b"".join([*table, bytes(4), *values])
