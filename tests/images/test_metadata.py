from __future__ import annotations

import json
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imagegen.images.metadata import (
    exif_of_comment,
    read_exif_texts,
    read_orientation,
    read_record,
    read_user_comment,
    xmp_packet,
)


def comment_in(exif: bytes) -> bytes:
    """As Pillow reads it."""
    read = Image.Exif()
    read.load(exif)
    comment = read.get_ifd(0x8769)[0x9286]
    assert isinstance(comment, bytes)
    return comment


@pytest.mark.parametrize("comment", ["", "a", "größer 🦊\nSteps: 20"])
def test_a_comment_is_written_and_read(comment: str) -> None:
    exif = exif_of_comment(comment)

    assert comment_in(exif) == b"UNICODE\0" + comment.encode("utf-16-be")
    assert read_user_comment(exif.removeprefix(b"Exif\0\0")) == comment


@pytest.mark.parametrize("endian", ["<", ">"])
def test_the_fields_of_either_byte_order_are_read(endian: str) -> None:
    exif = Image.Exif()
    exif.endian = endian
    exif[0x010F] = 'workflow:{"1": {}}'
    exif[0x0112] = 6
    exif[0x8769] = {0x9286: b"UNICODE\0" + "old".encode("utf-16-be")}
    tiff = exif.tobytes()[6:]

    assert read_exif_texts(tiff) == ['workflow:{"1": {}}']
    assert read_orientation(tiff) == 6
    assert read_user_comment(tiff) == "old"


def test_a_broken_structure_is_ignored() -> None:
    whole = Image.Exif()
    whole[0x010F] = "a make that lies outside the directory"
    whole[0x8769] = {0x9286: b"UNICODE\0" + "old".encode("utf-16-be")}
    tiff = whole.tobytes()[6:]

    for cut in range(len(tiff)):
        assert read_orientation(tiff[:cut]) == 1
        assert read_exif_texts(tiff[:cut]) in ([], ["a make that lies outside the directory"])
        assert read_user_comment(tiff[:cut]) in ("", "old")


def directory(values: list[tuple[int, int, int, int]], tail: bytes) -> bytes:
    """A TIFF structure of these entries (tag, type, count, value or its place), and what is behind them."""
    head = b"II*\0" + struct.pack("<IH", 8, len(values))
    return head + b"".join(struct.pack("<HHII", *value) for value in values) + bytes(4) + tail


def test_values_that_share_their_bytes_cost_no_more_than_the_structure_is_long() -> None:
    length = 200_000
    tiff = directory([(tag, 7, length, 8) for tag in range(1, 8001)], bytes(length))

    tracemalloc.start()
    try:
        assert read_orientation(tiff) == 1
        assert read_exif_texts(tiff) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 10 * len(tiff)


def test_two_values_may_share_their_bytes() -> None:
    at = 8 + 2 + 3 * 12 + 4
    tiff = directory([(0x0112, 3, 1, 6), (0x010F, 2, 6, at), (0x0110, 2, 6, at)], b"model\0")

    assert read_orientation(tiff) == 6
    assert read_exif_texts(tiff) == ["model", "model"]


def test_of_the_most_entries_a_directory_can_have_it_takes_no_time_that_one_would_notice() -> None:
    at = 8 + 2 + 65535 * 12 + 4
    tiff = directory([(tag, 4, 2, at + 8 * tag) for tag in range(65535)], bytes(8 * 65536))

    assert read_orientation(tiff) == 1


@given(st.text(st.characters(codec="utf-8")))
def test_any_json_survives_the_packet(prompt: str) -> None:
    record = json.dumps({"prompt": prompt}, ensure_ascii=False)

    found = read_record(xmp_packet(record, generated=True).encode("utf-8"))

    assert json.loads(found or "") == {"prompt": prompt}


def test_what_xml_forbids_survives_too() -> None:
    prompt = "\0\x0b\x1f\x7f\x85\u2028\ufffe\uffff </imagegen:record> ]]> &amp; \r\n"
    record = json.dumps(prompt, ensure_ascii=False)

    found = read_record(xmp_packet(record, generated=False).encode("utf-8"))

    assert json.loads(found or "") == prompt


def test_a_record_that_another_tool_made_an_attribute_of_is_found() -> None:
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:ns1="urn:imagegen:1#" ns1:record="{&quot;imagegen&quot;:1}"/>'
        "</rdf:RDF></x:xmpmeta>"
    )

    assert read_record(packet.encode()) == '{"imagegen":1}'


def test_a_packet_with_a_dtd_is_not_read() -> None:
    bomb = '<!DOCTYPE a [<!ENTITY e "eeee">]><a xmlns:i="urn:imagegen:1#"><i:record>&e;</i:record></a>'

    assert read_record(bomb.encode()) is None
    assert read_record(b'<a xmlns:i="urn:imagegen:1#"><i:record>1</i:record></a>') == "1"


def test_what_is_no_xml_or_has_no_record_gives_none() -> None:
    assert read_record(b"") is None
    assert read_record(b"\xff\xfe<") is None
    assert read_record(b"<a/>") is None
