from __future__ import annotations

import hashlib
import re
import socket
import threading
from pathlib import Path
from typing import Any

import filelock
import pytest

from imagegen.backends.download import download
from imagegen.errors import ImagegenError
from tests.backends.file_server import DATA, FileServer, Served, file_server, remote


class Place:
    """A folder to download into, and what was told meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "models" / "m.safetensors"
        self.part = folder / "models" / "m.safetensors.part"
        self.notes: list[str] = []
        self.reported: list[tuple[int, int]] = []

    def get(self, server: FileServer, data: bytes = DATA, **changes: Any) -> None:
        """From the address /m.safetensors of the server, unless the changes say otherwise."""
        wanted = remote(data=data, **{"url": f"{server.url}/m.safetensors"} | changes)
        download(wanted, self.path, lambda *so_far: self.reported.append(so_far), self.notes.append)

    def refused(self, server: FileServer, **changes: Any) -> str:
        with pytest.raises(ImagegenError) as caught:
            self.get(server, **changes)
        assert not self.path.exists(), "never under the final name"
        return str(caught.value)

    def has_part(self, data: bytes) -> None:
        self.part.parent.mkdir(parents=True)
        self.part.write_bytes(data)

    def has_all(self) -> bool:
        return self.path.read_bytes() == DATA and not self.part.exists()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_file_is_downloaded_and_how_far_it_is_is_told(place: Place) -> None:
    with file_server(m=Served()) as server:
        place.get(server)
    assert place.has_all()
    assert server.ranges == [""]
    assert (place.reported[0], place.reported[-1]) == ((0, len(DATA)), (len(DATA), len(DATA)))


def test_a_size_in_words_is_enough_and_a_server_may_not_say_how_much_comes(place: Place) -> None:
    with file_server(m=Served(length=False)) as server:
        place.get(server, least=1, size=3_000_000, most=4_000_000)
    assert place.has_all()


def test_a_connection_that_is_cut_is_taken_up_where_it_ended(place: Place) -> None:
    with file_server(m=Served(cut_after=[2_000_000])) as server:
        place.get(server)
    assert place.has_all()
    assert server.ranges == ["", "bytes=2000000-"]


def test_what_an_earlier_call_left_is_taken_up(place: Place) -> None:
    place.has_part(DATA[:1000])
    with file_server(m=Served()) as server:
        place.get(server)
    assert place.has_all()
    assert server.ranges == ["bytes=1000-"]


def test_what_an_earlier_call_left_whole_is_only_named(place: Place) -> None:
    place.has_part(DATA)
    with file_server() as server:
        place.get(server)
    assert place.has_all()
    assert server.asked == []


@pytest.mark.parametrize("left", [b"other" * 100, DATA[:-1] + b"x", DATA + b"more"])
def test_a_part_of_something_else_does_no_harm(place: Place, left: bytes) -> None:
    place.has_part(left)
    with file_server(m=Served()) as server:
        place.get(server)
    assert place.has_all()
    assert server.ranges[-1] == ""


def test_a_server_that_does_not_resume_sends_it_from_the_start(place: Place) -> None:
    place.has_part(DATA[:1000])
    with file_server(m=Served(ranges=False)) as server:
        place.get(server)
    assert place.has_all()
    assert place.notes == ["m: the server cannot resume; downloading from the start"]


def test_a_server_that_sends_another_range_than_asked_for_is_not_believed(place: Place) -> None:
    place.has_part(DATA[:1000])
    served = Served(status=206, ranges=False, headers={"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"})
    with file_server(m=served) as server:
        place.get(server)
    assert place.has_all()
    assert server.ranges == ["bytes=1000-", ""]


def test_a_connection_that_gets_nowhere_is_given_up_and_what_came_stays(place: Place) -> None:
    with file_server(m=Served(cut_after=[70_000, 0, 0, 0, 0, 0])) as server:
        message = place.refused(server)
    assert len(server.asked) == 4
    assert "m: 127.0.0.1:" in message
    assert "run it again: it continues from there" in message
    assert place.part.read_bytes() == DATA[:70_000]


def test_a_server_that_is_not_there_is_told_and_leaves_nothing(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with file_server() as server:
        message = place.refused(server, url=f"http://127.0.0.1:{port}/m.safetensors")
    assert "Connection refused" in message
    assert not place.part.exists()


def test_a_busy_server_is_asked_again(place: Place) -> None:
    served = Served(status=503)
    with file_server(m=served) as server:
        timer = threading.Timer(0.3, lambda: server.files.update({"/m.safetensors": Served()}))
        timer.start()
        place.get(server)
        timer.join()
    assert place.has_all()


def test_another_sha256_is_refused_and_nothing_is_kept(place: Place) -> None:
    other = hashlib.sha256(b"other").hexdigest()
    with file_server(m=Served()) as server:
        message = place.refused(server, sha256=other)
    assert (
        f"the downloaded file has sha256 {hashlib.sha256(DATA).hexdigest()}, but {other} is expected; it is not kept"
        in message
    )
    assert not place.part.exists()
    assert server.ranges == [""]


def test_another_size_is_refused_before_anything_is_downloaded(place: Place) -> None:
    with file_server(m=Served(hold=threading.Event(), cut_after=[0])) as server:
        message = place.refused(server, least=5, most=5)
        server.files["/m.safetensors"].hold.set()  # type: ignore[union-attr]
    assert f"the file there has {len(DATA):,} bytes, but 5 are expected" in message
    assert not place.part.exists()


def test_an_answer_without_end_is_bounded_by_size(place: Place) -> None:
    with file_server(m=Served(endless=True)) as server:
        message = place.refused(server)
    assert "sends more than 3,145,745 bytes, the most it can have; it is not kept" in message
    assert not place.part.exists()


def test_a_web_page_in_place_of_the_file_is_told(place: Place) -> None:
    with file_server(m=Served(headers={"Content-Type": "text/html; charset=utf-8"})) as server:
        message = place.refused(server, page="https://example.org/licence")
    assert "127.0.0.1 sends a web page instead of the file" in message
    assert "open https://example.org/licence in a browser" in message


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://example.org/x", "http://[", "https://[::1", "https://a@b/", "//:0"])  # fmt: skip
def test_a_redirect_to_what_is_not_asked_is_refused(place: Place, to: str) -> None:
    with file_server(m=Served(b"", 302, headers={"Location": to})) as server:
        assert "127.0.0.1 redirects to" in place.refused(server)


def test_a_redirect_in_a_circle_ends(place: Place) -> None:
    with file_server(m=Served(b"", 302, headers={"Location": "/m.safetensors"})) as server:
        assert "redirects more than 5 times" in place.refused(server)
    assert len(server.asked) == 6


def test_a_signed_address_is_not_told(place: Place) -> None:
    with file_server("localhost", m=Served(b"", 410)) as other, file_server() as server:
        server.files["/m.safetensors"] = Served(
            b"", 302, headers={"Location": f"{other.url}/m.safetensors?signed=hush"}
        )
        assert "hush" not in place.refused(server)


def test_only_one_downloads_into_a_folder_at_a_time(place: Place) -> None:
    place.path.parent.mkdir()
    with file_server(m=Served()) as server:
        with filelock.FileLock(place.path.parent / ".imagegen.lock"):
            assert "another download into" in place.refused(server)
        assert server.asked == []
        place.get(server)
    assert place.has_all()


def test_a_folder_that_cannot_be_written_is_told(place: Place) -> None:
    place.path.parent.write_text("in the way")
    with file_server(m=Served()) as server:
        assert re.search(r"cannot write: .*models", place.refused(server))


def test_a_file_that_came_in_between_is_not_replaced(place: Place) -> None:
    place.path.parent.mkdir()
    place.path.write_text("mine")
    with file_server(m=Served()) as server, pytest.raises(ImagegenError, match="has appeared in the meantime"):
        place.get(server)
    assert place.path.read_text() == "mine"
