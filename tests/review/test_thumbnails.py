"""Thumbnails for the page: made when they are asked for, once, and kept."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from imagegen.report.gallery.folder import THUMB_BOX, create_thumbnails
from imagegen.review.thumbnails import Thumbnails
from tests.project_folder import picture

RED = picture("red", (48, 64))
SHA256 = hashlib.sha256(RED).hexdigest()


def test_it_is_made_once_however_many_ask_for_it(tmp_path: Path) -> None:
    reads = []
    together = threading.Barrier(8)

    def read(sha256: str) -> bytes:
        reads.append(sha256)
        return RED

    def ask(thumbnails: Thumbnails) -> bytes | None:
        together.wait()
        return thumbnails.get(SHA256, read)

    thumbnails = Thumbnails(tmp_path, tmp_path / ".imagegen")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, [thumbnails] * 8))
    assert len(set(found)) == 1
    assert found[0] is not None
    assert reads == [SHA256]
    again = Thumbnails(tmp_path, tmp_path / ".imagegen")
    assert again.get(SHA256, lambda _: None) == found[0]
    assert again.size(SHA256, tmp_path / "gone.png") == (48, 64)
    again.sweep([])
    assert Thumbnails(tmp_path, tmp_path / ".imagegen").get(SHA256, lambda _: None) is None


def test_that_of_the_gallery_serves_too(tmp_path: Path) -> None:
    create_thumbnails(tmp_path / "assets/gallery/thumbs", THUMB_BOX, {SHA256: lambda: RED}, tmp_path / "tmp")
    assert Thumbnails(tmp_path, tmp_path / ".imagegen").get(SHA256, lambda _: None)


def test_why_an_image_cannot_be_shown(tmp_path: Path) -> None:
    thumbnails = Thumbnails(tmp_path, tmp_path / ".imagegen")
    torn = RED[:-20]
    sha256 = hashlib.sha256(torn).hexdigest()
    assert thumbnails.get(sha256, lambda _: torn) is None
    assert sha256 in thumbnails.wrong
    assert thumbnails.size(sha256, tmp_path / "torn.png") is None
    assert thumbnails.get(SHA256, lambda _: torn) is None  # of another content: nothing is said of this one
    assert SHA256 not in thumbnails.wrong
