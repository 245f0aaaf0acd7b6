"""A server's JSON API: each call gives its answer, or says what went wrong. Real HTTP, a handler a test.

What hostile servers do is in comfyui/test_client.py and comfyui/test_hostile_servers.py.
"""

from __future__ import annotations

import base64
import json
import math
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from imagegen.backends import json_api
from imagegen.backends.json_api import JsonApi, Refused, Unreachable
from imagegen.backends.refusals import find_words
from tests.backends.comfyui.fake_program import free_port


class Api(JsonApi):
    api = "the cook"
    url_setting = "cook.url"

    def menu(self, kind: type = dict) -> Any:
        return self._json("GET", "/menu", kind)

    def order(self, dish: str) -> Any:
        return self._json("POST", "/orders", json={"dish": dish})


class ApiWithKey(Api):
    auth_setting = "COOK_KEY"


@contextmanager
def answering(status: int, body: bytes = b"{}", **headers: str) -> Iterator[tuple[str, list[Any]]]:
    """Serve this answer to everything. Yields the address, and the requests so far."""
    seen: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            seen.append((self.command, self.path, self.headers.get("Authorization"), json.loads(sent or b"null")))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - as http.server has it

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
        server.shutdown()


def test_an_answer_is_read_and_each_request_sent_once() -> None:
    with answering(202, b'{"soup": ["hot", 2.5, null]}') as (url, seen):
        assert Api(url).menu() == {"soup": ["hot", 2.5, None]}
        assert Api(url).order("sole") == {"soup": ["hot", 2.5, None]}
    assert seen == [("GET", "/menu", None, None), ("POST", "/orders", None, {"dish": "sole"})]


def test_an_https_address_of_a_server_with_plain_http_is_named_with_the_one_to_write() -> None:
    with answering(200) as (url, seen):
        secure = url.replace("http:", "https:")
        with pytest.raises(Refused) as caught:
            Api(secure).menu()
    assert caught.value.what.startswith(f"{secure} does not speak https: ")
    assert caught.value.hint == f"if it speaks plain http, write {url} (cook.url)"
    assert seen == []


def test_the_key_is_sent_and_never_shown() -> None:
    with answering(200, b'{"you said": "Bearer s3cret!"}') as (url, seen):
        assert "s3cret" not in str(ApiWithKey(url, "Bearer s3cret!").menu())
    assert [auth for _, _, auth, _ in seen] == ["Bearer s3cret!"]


@pytest.mark.parametrize(
    ("status", "body", "what"),
    [
        (200, b"<html>hello", "the answer to GET /menu is not JSON: <html>hello"),
        (200, b"[1]", "the answer to GET /menu is not the cook's: [1]"),
        (200, b"[" * 100_000, "the answer to GET /menu is not JSON"),
        (404, b"no such dish", "GET /menu was answered with 404 Not Found: no such dish"),
        (500, b"", "GET /menu was answered with 500 Internal Server Error"),
        (401, b"", "asks for authorization (401 Unauthorized), which imagegen does not send there"),
    ],
)
def test_what_is_no_answer_is_refused_in_words(status: int, body: bytes, what: str) -> None:
    with answering(status, body) as (url, _), pytest.raises(Refused) as refused:
        Api(url).menu()
    assert what in refused.value.what
    assert refused.value.status == (status if status != 200 else 0)


def test_a_refusal_s_own_words_can_be_read() -> None:
    with answering(429, b'{"error": "the queue is full"}') as (url, _), pytest.raises(Refused) as refused:
        Api(url).order("sole")
    assert refused.value.answer == {"error": "the queue is full"}
    assert refused.value.may_pass


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_without_its_server_is_unreachable(status: int) -> None:
    with answering(status, b"bad gateway") as (url, _), pytest.raises(Unreachable, match=str(status)):
        Api(url).menu()


def test_a_server_that_is_down_or_says_too_little_is_unreachable() -> None:
    with pytest.raises(Unreachable):
        Api(f"http://127.0.0.1:{free_port()}").menu()
    with answering(200, b"{", **{"Content-Length": "9"}) as (url, _), pytest.raises(Unreachable):
        Api(url).menu()


def test_a_redirect_is_not_followed() -> None:
    with answering(302, b"", Location="http://127.0.0.1:9/other") as (url, seen), pytest.raises(Refused) as refused:
        ApiWithKey(url, "Bearer s3cret!").menu()
    assert "redirects GET /menu to http://127.0.0.1:9/other" in refused.value.what
    assert refused.value.hint == "set cook.url to where it is"
    assert len(seen) == 1


def test_an_answer_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_api, "_MAX_VALUES", 10)
    with answering(200, json.dumps([0] * 20).encode()) as (url, _), pytest.raises(Refused, match="more than 10 JSON"):
        Api(url).menu(list)
    with answering(200, b"{}", **{"Content-Length": str(2**40)}) as (url, _), pytest.raises(Refused, match="larger"):
        Api(url).menu()
    with (
        answering(200, b"{}", **{"Content-Encoding": "gzip"}) as (url, _),
        pytest.raises(Refused, match="is compressed, which nobody asked for"),
    ):
        Api(url).menu()


class Paying(Api):
    def buy(self, limit: int = 100) -> bytes:
        return self._send("POST", "/orders", limit, keeps_all=True)


def test_what_is_paid_for_is_kept_whatever_it_is() -> None:
    packed = zlib.compressobj(wbits=31)
    gzip = packed.compress(b"soup " * 100) + packed.flush()
    for body, headers, kept in (
        (b"soup", {}, b"soup"),
        (gzip, {"Content-Encoding": "gzip"}, (b"soup " * 100)[:100]),
        (zlib.compress(b"soup"), {"Content-Encoding": "deflate"}, b"soup"),
        (b"not gzip", {"Content-Encoding": "gzip"}, b"not gzip"),
        (b"x" * 200, {}, b"x" * 100),
    ):
        with answering(200, body, **headers) as (url, _):
            assert Paying(url).buy() == kept
    with answering(200, b"sou", **{"Content-Length": "9"}) as (url, _), pytest.raises(Unreachable):
        Paying(url).buy()
    with answering(429, gzip, **{"Content-Encoding": "gzip"}) as (url, _), pytest.raises(Refused):
        Paying(url).buy()


def test_a_json_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_api, "_MAX_VALUES", 10)
    bomb = json.dumps({"error": [[]] * 20}).encode()
    with pytest.raises(ValueError, match="more than 10 JSON values"):
        json_api.read_json(bomb)
    with answering(200, bomb) as (url, _):
        assert Api(url).look("/x") is None
    with answering(400, bomb) as (url, _), pytest.raises(Refused) as caught:
        Api(url).menu()
    assert caught.value.answer == {}


@pytest.mark.parametrize("url", ["http://", "http://[::1"])
def test_an_address_that_is_not_valid_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        Api(url).menu()


def test_how_long_a_server_may_say_nothing_can_be_left_to_the_caller() -> None:
    class Patient(Api):
        def wait(self) -> bytes:
            return self._send("POST", "/orders", check=lambda: None, silence_s=math.inf)

    with answering(200) as (url, _):
        assert Patient(url).wait() == b"{}"


@pytest.mark.parametrize(
    ("headers", "least_s", "most_s"),
    [
        ({"Retry-After": "7"}, 7, 7),
        ({"Retry-After": "0.5"}, 0.5, 0.5),
        ({"Retry-After": "-3"}, 0, 0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0, 0),
        ({"Retry-After": formatdate(time.time() + 7200, usegmt=True)}, 1, 7200),
        ({"Retry-After": "7", "retry-after-ms": "1500"}, 1.5, 1.5),
    ],
)
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_may_say_when_to_ask_again(
    status: int, headers: dict[str, str], least_s: float, most_s: float
) -> None:
    with answering(status, b"{}", **headers) as (url, _), pytest.raises((Refused, Unreachable)) as caught:
        Api(url).menu()
    assert isinstance(caught.value, (Refused, Unreachable))
    assert least_s <= (caught.value.retry_after_s or 0) <= most_s
    assert caught.value.status == status


@pytest.mark.parametrize("said", ["", "soon", "nan", "inf", "Wed, 99 Oct 2015", "1e999"])
def test_what_says_no_time_says_nothing(said: str) -> None:
    with answering(429, b"{}", **{"Retry-After": said}) as (url, _), pytest.raises(Refused) as caught:
        Api(url).menu()
    assert caught.value.retry_after_s is None


@pytest.mark.parametrize("status", [401, 403, 503, 400])
def test_a_server_s_own_words_are_kept_with_an_error(status: int) -> None:
    body = json.dumps({"error": "the kitchen is closed"}).encode()
    with answering(status, body) as (url, _), pytest.raises((Refused, Unreachable)) as caught:
        Api(url).menu()
    assert isinstance(caught.value, (Refused, Unreachable))
    assert caught.value.answer == {"error": "the kitchen is closed"}


def test_only_a_request_that_found_no_server_is_sure_not_to_have_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreachable) as caught:
        Api(f"http://127.0.0.1:{free_port()}").order("soup")
    assert not caught.value.may_have_arrived
    with answering(502) as (url, _), pytest.raises(Unreachable) as caught:
        Api(url).order("soup")
    assert caught.value.may_have_arrived
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
        with pytest.raises(Unreachable) as caught:
            Api(f"http://127.0.0.1:{listener.getsockname()[1]}").order("soup")
    assert caught.value.may_have_arrived
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unreachable, match="proxy") as caught:
        Api("http://host.invalid").order("soup")
    assert not caught.value.may_have_arrived


def test_what_a_path_has_can_be_looked_at() -> None:
    for body, found in ((b'{"a": 1}', {"a": 1}), (b"", {}), (b"<html>", None), (b"[]", None)):
        with answering(200, body) as (url, _):
            assert Api(url).look("/x") == found
    for status in (404, 500, 502, 503):
        with answering(status) as (url, _):
            assert Api(url).look("/x") is None
    with pytest.raises(Unreachable):
        Api(f"http://127.0.0.1:{free_port()}").look("/x")


@pytest.mark.parametrize(
    "text", ["UE5HIQ==", "UE5HIQ", "UE5H\r\nIQ==\n", " UE5H\tIQ", "data:image/png;base64,UE5HIQ=="]
)
def test_an_image_in_base64_is_read_however_it_is_written(text: str) -> None:
    assert Api("http://h")._decode_image(text) == b"PNG!"


@pytest.mark.parametrize("text", [None, "", "?", 5, "AA=A", "A", "data:image/png;base64,", "data:"])
def test_what_is_no_image_in_base64_is_refused(text: object) -> None:
    with pytest.raises(Refused, match="answered without an image") as caught:
        Api("http://h")._decode_image(text)
    assert caught.value.status == 200


def test_an_address_in_place_of_an_image_is_said_to_be_one() -> None:
    with pytest.raises(Refused, match="answered with the address of an image") as caught:
        ApiWithKey("http://h", "Bearer abcdefghij")._decode_image("https://h/abcdefghij.png")
    assert caught.value.hint.endswith("this one is at https://h/….png")


def test_a_password_that_is_a_word_of_the_request_is_no_secret_in_the_answer() -> None:
    with answering(200, b'{"prompt": "a watercolour of Basic YW5uYTphIHJlZCBmb3g="}') as (url, _):
        api = ApiWithKey(url, "Basic YW5uYTphIHJlZCBmb3g=", "watercolour")
        assert api._json("GET", "/menu", asked="a watercolour")["prompt"] == "a watercolour of …"
        assert api._json("GET", "/menu")["prompt"] == "a … of …"


def test_a_password_that_is_a_word_of_the_request_is_no_secret_in_the_image() -> None:
    api = ApiWithKey("http://h", "Basic YW5uYTphIHJlZCBmb3g=", "anna:one watercolour", "one watercolour")
    prompt = "a watercolour of a fox"
    image = b"PNG " + prompt.encode()
    encoded = base64.b64encode(image).decode()
    assert api._decode_image(encoded, asked=prompt) == image
    with pytest.raises(Refused, match="the image has in it"):
        api._decode_image(encoded, asked="a fox")
    with pytest.raises(Refused, match="the image has in it"):
        api._decode_image(base64.b64encode(b"PNG anna:one watercolour").decode(), asked=prompt)


@pytest.mark.parametrize("secret", ["Bearer s3cret", "s3"])
def test_not_even_a_short_secret_is_shown_of_an_error(secret: str) -> None:
    body = json.dumps({"detail": [{"msg": "who is s3cret?", "loc": ["s3cret"]}], "s3": 1}).encode()
    for status in (400, 401, 503):
        with answering(status, body) as (url, _), pytest.raises((Refused, Unreachable)) as caught:
            ApiWithKey(url, secret).menu()
        assert isinstance(caught.value, (Refused, Unreachable))
        assert secret.rpartition(" ")[2] not in find_words(caught.value.answer) + str(caught.value)
        assert caught.value.answer["s3"] == 1  # a name that a program looks for


def test_an_image_with_the_key_in_it_is_not_kept() -> None:
    with pytest.raises(Refused, match="the image has in it what COOK_KEY holds"):
        ApiWithKey("http://h", "Bearer abcdefghij")._decode_image(base64.b64encode(b"PNG abcdefghij").decode())


def test_where_a_key_goes_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere(ApiWithKey):
        auth_servers = "the chef's own server"
        auth_url_setting = "CHEF_URL"

    monkeypatch.setenv("COOK_KEY", "secret")
    for kind, what, hint in (
        (ApiWithKey, "COOK_KEY is sent only to the server of cook.url", "set cook.url to this one, if you trust it"),
        (Elsewhere, "COOK_KEY is sent only to the chef's own server", "set CHEF_URL to this one, if you trust it"),
    ):
        with answering(401) as (url, _), pytest.raises(Refused, match=what) as caught:
            kind(url).menu()
        assert caught.value.hint == hint
