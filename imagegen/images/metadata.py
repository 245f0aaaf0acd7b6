"""What an image file says of itself besides its pixels: Exif and XMP.

Pillow puts both into a file, but they are made and read here. Its Exif takes memory without bound if values share
their bytes, warns of damage for all threads, and writes a UserComment as BYTE, which the web UI cannot read; its XMP
needs another package.

Sources: Exif 2.32 sections 4.5, 4.6; TIFF 6.0 section 2; XMP Specification Part 1 section 7 (ISO 16684-1); IPTC Photo
Metadata Standard, Digital Source Type, https://www.iptc.org/std/photometadata/specification/, whose value for the work
of a trained model this is.
"""

from __future__ import annotations

import html
import struct

__all__ = [
    "exif_of_comment",
    "is_generated",
    "read_exif_texts",
    "read_orientation",
    "read_record",
    "read_user_comment",
    "read_xmp_text",
    "xmp_packet",
]

_ORIENTATION, _EXIF_IFD, _USER_COMMENT = 0x0112, 0x8769, 0x9286
_ASCII, _SHORT, _LONG, _UNDEFINED = 2, 3, 4, 7
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}

_Entries = dict[int, tuple[int, int, bytes]]
"""TIFF type, count and value by tag."""


def exif_of_comment(comment: str) -> bytes:
    """Return Exif with this UserComment alone, its `Exif` header included.

    The text is UTF-16BE, as AUTOMATIC1111's web UI and its kin read it whatever the byte order is.
    """
    value = b"UNICODE\0" + comment.encode("utf-16-be")
    first = struct.pack(">HHHIII", 1, _EXIF_IFD, _LONG, 1, 26, 0)
    second = struct.pack(">HHHIII", 1, _USER_COMMENT, _UNDEFINED, len(value), 44, 0)
    return b"Exif\0\0" + b"MM\0*" + struct.pack(">I", 8) + first + second + value


def read_orientation(tiff: bytes) -> int:
    """Return which of the eight ways the picture lies, 1 … 8; 1, upright, if the structure does not say."""
    order, entries = _first_directory(tiff)
    kind, count, value = entries.get(_ORIENTATION, (0, 0, b""))
    found = struct.unpack(order + "H", value)[0] if (kind, count) == (_SHORT, 1) else 1
    return found if 1 <= found <= 8 else 1


def read_user_comment(tiff: bytes) -> str:
    """Return the UserComment of a TIFF structure; empty if it has none.

    Programs write its UTF-16 in one byte order or the other, whatever the structure says; its ASCII shows which.
    """
    order, entries = _first_directory(tiff)
    kind, count, value = entries.get(_EXIF_IFD, (0, 0, b""))
    if (kind, count) != (_LONG, 1):
        return ""
    comment = _directory_at(tiff, order, struct.unpack(order + "I", value)[0]).get(_USER_COMMENT, (0, 0, b""))[2]
    code, text = comment[:8], comment[8:]
    if code == b"UNICODE\0":
        big = text[::2].count(0) >= text[1::2].count(0)
        return text.decode("utf-16-be" if big else "utf-16-le", "replace").strip("\ufeff\0")
    return text.decode("utf-8", "replace").strip("\0") if code in (b"ASCII\0\0\0", bytes(8)) else ""


def read_exif_texts(tiff: bytes) -> list[str]:
    """Return the texts of the first directory: ComfyUI keeps its workflow in one."""
    _, entries = _first_directory(tiff)
    return [value.decode("utf-8", "replace").rstrip("\0") for kind, _, value in entries.values() if kind == _ASCII]


def _first_directory(tiff: bytes) -> tuple[str, _Entries]:
    """Return the byte order of `struct`, and the entries."""
    order = "<" if tiff.startswith(b"II*\0") else ">"
    if len(tiff) < 8 or not tiff.startswith((b"II*\0", b"MM\0*")):
        return order, {}
    return order, _directory_at(tiff, order, struct.unpack_from(order + "I", tiff, 4)[0])


def _directory_at(tiff: bytes, order: str, at: int) -> _Entries:
    """Return the entries of the directory there; none if it is broken.

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
            if not 0 < length <= len(tiff) - start:
                continue
            if (left := left - length) < 0:
                return {}
            entries[tag] = (kind, count, tiff[start : start + length])
    except struct.error:
        return {}
    return entries


_NAMESPACE = "urn:imagegen:1#"
_GENERATED = (
    "<Iptc4xmpExt:DigitalSourceType>"
    "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    "</Iptc4xmpExt:DigitalSourceType>\n"
)
_PACKET = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about=""
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:imagegen="{namespace}">
{generated}<imagegen:record>{record}</imagegen:record>
</rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def xmp_packet(record: str, *, generated: bool) -> str:
    """Return an XMP packet that holds our record.

    Args:
        record: JSON text.
        generated: whether the image is marked as a trained model's work.

    """
    # JSON has escaped the control characters; of what XML 1.0 forbids these two are left, and JSON can too
    safe = record.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
    return _PACKET.format(
        namespace=_NAMESPACE,
        generated=_GENERATED if generated else "",
        record=html.escape(safe, quote=False),
    )


def is_generated(xmp: bytes) -> bool:
    """Return whether a packet that `xmp_packet` wrote marks its image as a trained model's work."""
    return _GENERATED.encode("ascii") in xmp  # nothing within the record can be this: it is escaped there


def read_record(xmp: bytes) -> str | None:
    """Return the record of a packet, whether it is an element or, after another tool's work, an attribute.

    None if there is none, or the packet is not valid XML or brings a DTD.
    """
    return read_xmp_text(xmp, _NAMESPACE + " record")


def read_xmp_text(xmp: bytes, name: str) -> str | None:
    """Return the text in the elements or attributes of this name: its namespace, a space, its own name.

    None as for `read_record`.
    """
    from xml.parsers import expat

    found: list[str] = []
    within: list[str] = []
    """The open elements, from the first of this name on."""

    def start(element: str, attributes: dict[str, str]) -> None:
        if within or element == name:
            within.append(element)
        if name in attributes:
            found.append(attributes[name])

    def end(_element: str) -> None:
        if within:
            within.pop()

    def content(data: str) -> None:
        if within:
            found.append(data)

    def doctype(*_: object) -> None:
        raise ValueError("a DTD could define entities that grow without bound")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = content
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(xmp, True)
    except (expat.ExpatError, ValueError):
        return None
    return "".join(found) or None
