from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from imagegen.images import xmp


@given(st.text(st.characters(codec="utf-8")))
def test_any_json_survives_the_packet(prompt: str) -> None:
    record = json.dumps({"prompt": prompt}, ensure_ascii=False)

    found = xmp.record_of(xmp.packet(record, generated=True).encode("utf-8"))

    assert json.loads(found or "") == {"prompt": prompt}


def test_what_xml_forbids_survives_too() -> None:
    prompt = "\0\x0b\x1f\x7f\x85\u2028\ufffe\uffff </imagegen:record> ]]> &amp; \r\n"
    record = json.dumps(prompt, ensure_ascii=False)

    found = xmp.record_of(xmp.packet(record, generated=False).encode("utf-8"))

    assert json.loads(found or "") == prompt


def test_a_record_that_another_tool_made_an_attribute_of_is_found() -> None:
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:ns1="urn:imagegen:1#" ns1:record="{&quot;imagegen&quot;:1}"/>'
        "</rdf:RDF></x:xmpmeta>"
    )

    assert xmp.record_of(packet.encode()) == '{"imagegen":1}'


def test_a_packet_with_a_dtd_is_not_read() -> None:
    bomb = '<!DOCTYPE a [<!ENTITY e "eeee">]><a xmlns:i="urn:imagegen:1#"><i:record>&e;</i:record></a>'

    assert xmp.record_of(bomb.encode()) is None
    assert xmp.record_of(b'<a xmlns:i="urn:imagegen:1#"><i:record>1</i:record></a>') == "1"


def test_what_is_no_xml_or_has_no_record_gives_none() -> None:
    assert xmp.record_of(b"") is None
    assert xmp.record_of(b"\xff\xfe<") is None
    assert xmp.record_of(b"<a/>") is None
