"""A server with TLS: whether a request may have arrived when its connection fails. Real certificates."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from imagegen.backends.json_api import JsonApi, Refused, Unreachable

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="it makes the certificate")


class Api(JsonApi):
    api = "the cook"
    url_setting = "cook.url"

    def order(self) -> bytes:
        return self._send("POST", "/orders", json={})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    name = ["-subj", "/CN=cook", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *kind, *name, "-keyout", str(file), "-out", f"{file}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


@contextmanager
def serving(certificate: Path, then: Callable[[socket.socket, ssl.SSLSocket], object]) -> Iterator[str]:
    """Read a request, and go on with the connection and its TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve() -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with context.wrap_socket(connection, server_side=True) as tls:
                while b"{}" not in tls.recv(65536):
                    pass
                with socket.socket(fileno=os.dup(tls.fileno())) as raw:
                    then(raw, tls)
                    raw.shutdown(socket.SHUT_RDWR)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def half_a_body(raw: socket.socket, tls: ssl.SSLSocket) -> None:
    tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsou")
    raw.sendall(b"x" * 64)


BROKEN: list[Callable[[socket.socket, ssl.SSLSocket], object]] = [
    lambda raw, _: raw.sendall(b"\x17\x03\x03\x00\x40" + b"x" * 64),
    lambda raw, _: raw.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"),
    lambda *_: None,
    half_a_body,
]


@pytest.mark.parametrize("then", BROKEN, ids=["another's record", "plain text", "its end", "in the body"])
def test_a_request_may_have_arrived_if_its_tls_breaks_off(
    certificate: Path, then: Callable[[socket.socket, ssl.SSLSocket], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with serving(certificate, then) as url, pytest.raises(Unreachable) as caught:
        Api(url).order()
    assert caught.value.may_have_arrived
    assert "certificate" not in str(caught.value)


def test_nothing_was_sent_to_a_server_whose_certificate_is_not_accepted(certificate: Path) -> None:
    with (
        serving(certificate, lambda *_: None) as url,
        pytest.raises(Refused, match=r"the certificate of .* is not accepted") as caught,
    ):
        Api(url).order()
    assert caught.value.status == 0
