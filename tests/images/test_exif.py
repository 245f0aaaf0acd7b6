from __future__ import annotations

import struct
import tracemalloc

import pytest
from PIL import Image

from imagegen.images.exif import orientation, with_user_comment


def user_comment(tiff: bytes) -> bytes:
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + tiff)
    comment = exif.get_ifd(0x8769)[0x9286]
    assert isinstance(comment, bytes)
    return comment


def field(tiff: bytes, tag: int) -> object:
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + tiff)
    return exif[tag]


@pytest.mark.parametrize("comment", ["", "a", "größer 🦊\nSteps: 20"])
def test_pillow_reads_the_comment(comment: str) -> None:
    assert user_comment(with_user_comment(b"", comment)) == b"UNICODE\0" + comment.encode("utf-16-be")


@pytest.mark.parametrize("endian", ["<", ">"])
def test_the_plain_fields_that_were_there_stay(endian: str) -> None:
    before = Image.Exif()
    before.endian = endian
    before[0x010F] = 'workflow:{"1": {}}'
    before[0x0110] = "odd"
    before[0x0112] = 6
    before[0x011A] = 72.0
    before.get_ifd(0x8769)[0x9286] = b"UNICODE\0old"

    after = with_user_comment(before.tobytes()[6:], "new one")

    assert field(after, 0x010F) == 'workflow:{"1": {}}'
    assert field(after, 0x0110) == "odd"
    assert field(after, 0x0112) == 6
    assert field(after, 0x011A) == 72
    assert user_comment(after) == b"UNICODE\0" + "new one".encode("utf-16-be")


def test_a_second_comment_takes_the_place_of_the_first() -> None:
    once = with_user_comment(b"", "two")

    assert with_user_comment(with_user_comment(b"", "first"), "two") == once


def test_a_broken_structure_is_ignored() -> None:
    whole = Image.Exif()
    whole[0x010F] = "a make that lies outside the directory"
    tiff = whole.tobytes()[6:]

    for cut in range(len(tiff)):
        comment = user_comment(with_user_comment(tiff[:cut], "new"))

        assert comment == b"UNICODE\0" + "new".encode("utf-16-be")


def test_a_pointer_to_what_is_left_behind_goes() -> None:
    before = Image.Exif()
    before[0x0110] = "model"
    before[0x8825] = {1: "N"}

    exif = Image.Exif()
    exif.load(b"Exif\0\0" + with_user_comment(before.tobytes()[6:], "new"))

    assert set(exif) == {0x0110, 0x8769}


def directory(values: list[tuple[int, int, int, int]], tail: bytes) -> bytes:
    """A TIFF structure of these entries (tag, type, count, value or its place), and what is behind them."""
    head = b"II*\0" + struct.pack("<IH", 8, len(values))
    return head + b"".join(struct.pack("<HHII", *value) for value in values) + bytes(4) + tail


def test_values_that_share_their_bytes_cost_no_more_than_the_structure_is_long() -> None:
    length = 200_000
    tiff = directory([(tag, 7, length, 8) for tag in range(1, 8001)], bytes(length))

    tracemalloc.start()
    try:
        assert orientation(tiff) == 1
        after = with_user_comment(tiff, "new")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 10 * len(tiff)
    assert user_comment(after) == b"UNICODE\0" + "new".encode("utf-16-be")


def test_two_values_may_share_their_bytes() -> None:
    at = 8 + 2 + 3 * 12 + 4
    tiff = directory([(0x0112, 3, 1, 6), (0x011A, 5, 1, at), (0x011B, 5, 1, at)], struct.pack("<II", 72, 1))

    assert orientation(tiff) == 6
    assert field(with_user_comment(tiff, "new"), 0x011B) == 72


def test_of_the_most_entries_a_directory_can_have_it_takes_no_time_that_one_would_notice() -> None:
    at = 8 + 2 + 65535 * 12 + 4
    tiff = directory([(tag, 4, 2, at + 8 * tag) for tag in range(65535)], bytes(8 * 65536))

    assert len(with_user_comment(tiff, "")) < 2 * len(tiff)
