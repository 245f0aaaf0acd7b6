from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.download import download
from imagegen.backends.hugging_face import HuggingFace, create_remote_file
from imagegen.errors import ImagegenError
from tests.backends.file_server import DATA, FileServer, Served, file_server, listed

TOKEN = "hf_hush"  # noqa: S105 - no real one


class Place:
    """A folder to download into, with the token for the server as Hugging Face."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "models" / "m.safetensors"

    def get(self, server: FileServer, **changes: Any) -> None:
        """From the address /m.safetensors of the server, unless the changes say otherwise."""
        changes = changes if "repo" in changes else {"url": f"{server.url}/m.safetensors"} | changes
        download(create_remote_file(listed("m", DATA, **changes), HuggingFace(server.url, TOKEN)), self.path)

    def refused(self, server: FileServer, **changes: Any) -> str:
        with pytest.raises(ImagegenError) as caught:
            self.get(server, **changes)
        assert not self.path.exists(), "never under the final name"
        message = str(caught.value)
        assert TOKEN not in message
        return message

    def has_all(self) -> bool:
        return self.path.read_bytes() == DATA


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_hugging_face_gets_the_token_and_the_quoted_path_of_the_revision(place: Place) -> None:
    with file_server() as server:
        server.files["/o/r/resolve/refs%2Fpr%2F1/a%20b/m%231.safetensors"] = Served()
        place.get(server, repo="o/r", file="a b/m#1.safetensors", revision="refs/pr/1")
    assert place.has_all()
    assert [asked.authorization for asked in server.asked] == [f"Bearer {TOKEN}"]


def test_no_other_host_gets_the_token(place: Place) -> None:
    with file_server("localhost", m=Served()) as other, file_server() as server:
        place.get(server, url=f"{other.url}/m.safetensors")
    assert place.has_all()
    assert [asked.authorization for asked in other.asked] == [""]


def test_the_token_does_not_go_along_a_redirect_to_another_host(place: Place) -> None:
    with file_server("localhost", m=Served()) as other, file_server() as server:
        server.files["/o/r/resolve/main/m.safetensors"] = Served(b"", 302, headers={"Location": "/again"})
        server.files["/again"] = Served(b"", 302, headers={"Location": f"{other.url}/m.safetensors?signed=1"})
        place.get(server, repo="o/r", file="m.safetensors")
    assert place.has_all()
    assert [asked.authorization for asked in server.asked] == [f"Bearer {TOKEN}"] * 2
    assert [asked.authorization for asked in other.asked] == [""]


@pytest.mark.parametrize(
    ("endpoint", "url", "trusted"),
    [
        ("https://huggingface.co", "https://huggingface.co/x", True),
        ("https://huggingface.co", "https://huggingface.co:443/x", True),
        ("https://huggingface.co", "http://huggingface.co/x", False),
        ("https://huggingface.co", "https://huggingface.co:8443/x", False),
        ("https://huggingface.co", "https://huggingface.co.evil.org/x", False),
        ("https://huggingface.co", "https://cdn-lfs.huggingface.co/x", False),
        ("https://mirror.example.org", "https://mirror.example.org/x", False),
        ("https://mirror.example.org", "https://huggingface.co/x", True),
        ("http://127.0.0.1:80", "http://127.0.0.1/x", True),
        ("http://127.0.0.1:80", "http://localhost/x", False),
    ],
)
def test_the_token_is_for_hugging_face_alone(endpoint: str, url: str, trusted: bool) -> None:
    assert HuggingFace(endpoint, TOKEN).may_get_token(url) is trusted


def test_the_token_is_in_no_text_of_what_holds_it() -> None:
    assert TOKEN not in repr(HuggingFace(token=TOKEN))


@pytest.mark.parametrize("token", ["a\nb", "a b", "ä"])
def test_what_can_be_no_token_is_not_sent(token: str) -> None:
    with pytest.raises(ImagegenError, match="HF_TOKEN is not a valid token") as caught:
        create_remote_file(listed(url="https://example.org/m.pt"), HuggingFace(token=token))
    assert token not in str(caught.value)


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_file_says_which_licence_to_accept(place: Place, status: int) -> None:
    with file_server() as server:
        server.files["/o/r/resolve/main/m.safetensors"] = Served(b"", status)
        message = place.refused(server, repo="o/r", file="m.safetensors")
        assert f"does not give m.safetensors to the account of HF_TOKEN ({status} " in message
        assert "accept the licence on https://huggingface.co/o/r; let the token" in message
        model = listed(repo="o/r", file="m.safetensors", licence="https://example.org/licence")
        with pytest.raises(ImagegenError) as caught:
            download(create_remote_file(model, HuggingFace(server.url)), place.path)
    assert "only to those who accepted its licence" in str(caught.value)
    assert "accept the licence on https://example.org/licence, and set HF_TOKEN" in str(caught.value)


def test_another_host_that_refuses_is_told_by_its_licence_page(place: Place) -> None:
    with file_server("localhost", m=Served(b"", 403)) as other, file_server() as server:
        message = place.refused(server, url=f"{other.url}/m.safetensors", licence="https://example.org/licence")
    assert "localhost refuses to send m.safetensors (403 Forbidden)" in message
    assert "open https://example.org/licence in a browser" in message


def test_a_file_that_is_not_there_is_told_by_what_to_correct(place: Place) -> None:
    with file_server() as server:
        message = place.refused(server, repo="o/r", file="m.safetensors")
        assert "o/r has no m.safetensors at revision main (404 Not Found)" in message
        assert "127.0.0.1 does not have it: 404 Not Found" in place.refused(server)


def test_hugging_face_says_that_the_file_is_another_before_it_sends_it(place: Place) -> None:
    with file_server(cdn=Served()) as server:
        headers = {"Location": "/cdn.safetensors", "X-Linked-Etag": f'"{"ab" * 32}"'}
        server.files["/o/r/resolve/main/m.safetensors"] = Served(b"", 302, headers=headers)
        message = place.refused(server, repo="o/r", file="m.safetensors")
    assert f"o/r on Hugging Face has another file: its sha256 is {'ab' * 32}" in message
    assert len(server.asked) == 1
