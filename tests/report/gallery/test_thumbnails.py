from __future__ import annotations

import hashlib
import io
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imagegen.images.formats import BadImage
from imagegen.report.gallery.folder import Thumbnail, create_thumbnails, find_thumbnails, shrink


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    assert image.format == "WEBP"
    return image


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("size", "expected"), [((800, 400), (100, 50)), ((400, 800), (25, 50)), ((40, 30), (40, 30)), ((999, 1), (100, 1))]
)
def test_it_fits_the_box_and_is_never_enlarged(size: tuple[int, int], expected: tuple[int, int]) -> None:
    data, *own = shrink(encoded(Image.new("RGB", size, "teal")), (100, 50))
    assert (opened(data).size, tuple(own)) == (expected, size)


def test_of_a_large_jpeg_the_thumbnail_still_fills_the_box_and_its_own_size_is_told() -> None:
    data, *own = shrink(encoded(Image.new("RGB", (1000, 600), "teal"), "JPEG"), (100, 100))
    assert (opened(data).size, own) == ((100, 60), [1000, 600])


@pytest.mark.parametrize(
    ("mode", "colour", "kind", "expected"),
    [
        ("RGB", (200, 30, 30), "JPEG", (200, 30, 30)),
        ("L", 90, "PNG", (90, 90, 90)),
        ("I;16", 65535, "PNG", (255, 255, 255)),
        ("P", 5, "PNG", None),
        ("LA", (90, 255), "PNG", None),
    ],
)
def test_every_kind_of_image_can_be_shown(mode: str, colour: Any, kind: str, expected: Any) -> None:
    data, *_ = shrink(encoded(Image.new(mode, (64, 64), colour), kind), (32, 32))
    pixel = opened(data).convert("RGB").getpixel((9, 9))
    assert isinstance(pixel, tuple)
    assert expected is None or all(abs(one - other) < 6 for one, other in zip(pixel, expected, strict=True))


def test_what_is_transparent_stays_so() -> None:
    data, *_ = shrink(encoded(Image.new("RGBA", (64, 64), (255, 0, 0, 0))), (32, 32))
    pixel = opened(data).convert("RGBA").getpixel((9, 9))
    assert isinstance(pixel, tuple)
    assert pixel[3] == 0


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(BadImage):
        shrink(b"GIF89a", (32, 32))


def test_only_what_is_not_there_is_made(tmp_path: Path) -> None:
    folder, temporary = tmp_path / "thumbs", tmp_path / "tmp"
    one, other = (encoded(Image.new("RGB", (64, 32), colour)) for colour in ("red", "blue"))
    found, made, _ = create_thumbnails(folder, (32, 32), {sha(one): lambda: one}, temporary)
    assert (made, found) == (1, {sha(one): Thumbnail(f"{sha(one)[:20]}-64x32.webp", 64, 32)})

    def must_not_be_read() -> bytes:
        raise AssertionError

    images = {sha(one): must_not_be_read, sha(other): lambda: other}
    found, made, wrong = create_thumbnails(folder, (32, 32), images, temporary)
    assert (made, set(found), wrong) == (1, {sha(one), sha(other)}, {})
    assert {thumbnail.name for thumbnail in find_thumbnails(folder).values()} == {
        path.name for path in folder.iterdir()
    }


def test_no_more_images_are_in_memory_than_there_are_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work, most, guard = 0, 0, threading.Lock()

    def count(data: bytes, box: tuple[int, int]) -> tuple[bytes, int, int]:
        nonlocal at_work, most
        with guard:
            at_work += 1
            most = max(most, at_work)
        small = shrink(data, box)
        with guard:
            at_work -= 1
        return small

    monkeypatch.setattr("imagegen.report.gallery.folder.shrink", count)
    pictures = [encoded(Image.new("RGB", (64, 32), (0, 0, number))) for number in range(40)]
    images = {sha(data): (lambda data=data: data) for data in pictures}
    seen: list[tuple[int, int]] = []
    found, *_ = create_thumbnails(tmp_path / "a", (32, 32), images, tmp_path, lambda *now: seen.append(now))
    assert (len(found), seen) == (40, [(done, 40) for done in range(1, 41)])
    assert 1 <= most <= (os.cpu_count() or 1)


def test_images_that_are_broken_gone_or_changed_are_told_and_leave_no_file(tmp_path: Path) -> None:
    broken = encoded(Image.new("RGB", (64, 64)))[:-20]
    images = {sha(broken): lambda: broken, "0" * 64: lambda: b"another", "1" * 64: lambda: None}
    found, made, wrong = create_thumbnails(tmp_path / "thumbs", (32, 32), images, tmp_path / "tmp")
    assert (found, made, find_thumbnails(tmp_path / "thumbs")) == ({}, 0, {})
    assert set(wrong) == set(images)
    assert wrong["0" * 64] == "changed meanwhile"
