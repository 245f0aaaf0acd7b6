"""OLLAMA_HOST in its written forms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.backends.ollama.host import dialled, is_local
from imagegen.config.settings import SETTINGS
from tests.backends.ollama.standin.host import address

PORT = 11434
(SETTING,) = (setting for setting in SETTINGS if setting.name == "ollama.host")


@pytest.mark.parametrize(
    ("host", "at"),
    [
        ("", f"127.0.0.1:{PORT}"),
        ("127.0.0.1", f"127.0.0.1:{PORT}"),
        ("127.0.0.1:1234", "127.0.0.1:1234"),
        (":1234", "127.0.0.1:1234"),
        ("0.0.0.0", f"127.0.0.1:{PORT}"),  # noqa: S104 - nothing listens there
        ("0.0.0.0:1234", "127.0.0.1:1234"),
        ("localhost:1", "localhost:1"),
        ("LocalHost", f"LocalHost:{PORT}"),
        ("http://127.0.0.1", "127.0.0.1:80"),
        ("http://127.0.0.1:1234/ollama/", "127.0.0.1:1234"),
        ("https://localhost", "localhost:443"),
        ("other://localhost", f"localhost:{PORT}"),
        ("[::1]:1234", "[::1]:1234"),
        ("[::1]", f"[::1]:{PORT}"),
        ("::1", f"[::1]:{PORT}"),
        ("[::]:1234", "[::1]:1234"),
        ("127.8.8.8:1", "127.8.8.8:1"),
        (' "127.0.0.1:1234" ', "127.0.0.1:1234"),
        ("'localhost'", f"localhost:{PORT}"),
        ("127.0.0.1:99999", f"127.0.0.1:{PORT}"),
        ("127.0.0.1:x", f"127.0.0.1:{PORT}"),
        ("127.0.0.1:", f"127.0.0.1:{PORT}"),
    ],
)
def test_this_machine_in_all_its_forms(host: str, at: str) -> None:
    assert is_local(host)
    assert dialled(host) == at


@pytest.mark.parametrize(
    "host",
    [
        "192.168.1.5",
        "mac.lan:11434",
        "https://ollama.com",
        "http://10.0.0.1/api",
        "[2001:db8::1]:80",
        "2001:db8::1",
        "::2",
        "localhost.example.org",
    ],
)
def test_another_machine(host: str) -> None:
    assert not is_local(host)


@given(st.text("0123456789:.[]/ \"'htpsx-", max_size=20) | st.text(max_size=20))
def test_any_text_names_some_place(host: str) -> None:
    is_local(host)
    name, _, port = dialled(host).rpartition(":")
    assert 0 <= int(port) <= 65535
    assert name


@pytest.mark.parametrize(
    "host", [":1234", "http://127.0.0.1:80", "[::1]:1", '"127.0.0.1:8"', "localhost", "https://h:9/path"]
)
def test_it_is_what_the_stand_in_makes_of_it(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)
    name, port = address()
    at = f"[{name}]:{port}" if ":" in name else f"{name or '127.0.0.1'}:{port}"
    assert dialled(host) == at


@pytest.mark.parametrize("host", ["me:secret@mac.lan", "http://me:secret@mac.lan:1/x"])
def test_a_password_in_it_is_refused_and_not_repeated(host: str) -> None:
    with pytest.raises(ValueError, match="without a user or password") as caught:
        SETTING.kind.read(host)
    assert "secret" not in str(caught.value)
