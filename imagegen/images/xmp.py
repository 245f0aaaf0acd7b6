"""The XMP packet: the mark of a generated image, and our record where a format has no text chunk for it.

Sources: XMP Specification Part 1 section 7 (ISO 16684-1); IPTC Photo Metadata Standard, Digital Source Type,
https://www.iptc.org/std/photometadata/specification/, whose value for the work of a trained model this is.
"""

from __future__ import annotations

import html

__all__ = ["is_generated", "packet", "record_of", "text_of"]

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


def packet(record: str, *, generated: bool) -> str:
    """The packet. record: JSON text; generated: whether the image is marked as a trained model's work."""
    # JSON has escaped the control characters; of what XML 1.0 forbids these two are left, and JSON can too
    safe = record.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
    return _PACKET.format(
        namespace=_NAMESPACE,
        generated=_GENERATED if generated else "",
        record=html.escape(safe, quote=False),
    )


def is_generated(xmp: bytes) -> bool:
    """Whether a packet that `packet` wrote marks its image as a trained model's work."""
    return _GENERATED.encode("ascii") in xmp  # nothing within the record can be this: it is escaped there


def record_of(xmp: bytes) -> str | None:
    """The record of a packet, whether it is an element or, after another tool's work, an attribute.

    None where there is none, or the packet is not valid XML or brings a DTD.
    """
    return text_of(xmp, _NAMESPACE + " record")


def text_of(xmp: bytes, name: str) -> str | None:
    """The text in the elements or attributes of this name: its namespace, a space, its own. None as for `record_of`."""
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
