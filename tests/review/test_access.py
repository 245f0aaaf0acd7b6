"""Attacks on the server of the page, over real HTTP: what another site's page could have a browser send, and worse."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.project_folder import ProjectFolder, picture
from tests.review.served import Answer, Served, small_project, wait_until

RUN = json.dumps({"command": "reroll", "images": ["places:gate"]}).encode()
pytestmark = pytest.mark.xdist_group("review-access")

JSON = {"Content-Type": "application/json"}
SECURITY = (
    "content-security-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "referrer-policy",
    "x-content-type-options",
    "x-frame-options",
    "cache-control",
)


def raw(review: Served, text: bytes) -> bytes:
    """Send these bytes as they are, and return the answer."""
    parts = urlsplit(review.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60) as connection:
        connection.sendall(text)
        answer = b""
        while more := connection.recv(65536):
            answer += more
    return answer


def sha256_of(review: Served, task: str) -> str:
    page = review.ask("GET", "").body.decode()
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    found: str = next(one["sha256"] for one in data if one["task"] == task)
    return found


@pytest.fixture(autouse=True)
def nothing_happens(review: Served, folder: ProjectFolder) -> Iterator[None]:
    """Whatever is sent: no action is begun, nothing is written, and the server goes on."""
    before = {path: path.read_bytes() for path in folder.root.glob("jobs/*")}
    yield
    assert {path: path.read_bytes() for path in folder.root.glob("jobs/*")} == before
    assert b'"actions":[]' in review.ask("GET", "").body
    assert "Traceback" not in review.output


def assert_closed(answer: Answer) -> None:
    assert [name for name in SECURITY if name not in answer.headers] == []
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert "server" not in answer.headers


FOLDERS = ("thumbs/", "earlier/", "originals/", "versions?image=", "edit/", "../", "%2e%2e/", "..%2f")
HOSTS = [
    "evil.example",
    "127.0.0.1.evil.example:{port}",
    "127.0.0.1",
    "127.0.0.1:1",
    "localhost:{port}.",
    "0.0.0.0:{port}",
]
HOSTS += ["127.1:{port}", "2130706433:{port}", "[::ffff:127.0.0.1]:{port}", "user@127.0.0.1:{port}", "", "é:{port}"]


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_that_is_not_its_own_is_refused(review: Served, host: str) -> None:
    name = host.format(port=urlsplit(review.url).port).encode("latin-1").decode("latin-1")
    for path in ("", "events", "originals/x.png"):
        answer = review.ask("GET", path, headers={"Host": name})
        assert answer.status in (400, 403)
        assert_closed(answer)
        assert review.secret not in str(answer)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_each_of_its_own_names_is_good(review: Served, name: str) -> None:
    assert review.ask("GET", "", headers={"Host": f"{name}:{urlsplit(review.url).port}"}).status == 200


def test_a_missing_and_a_doubled_host_are_refused(review: Served) -> None:
    path = urlsplit(review.url).path.encode()
    host = review.host.encode()
    assert b" 403 " in raw(review, b"GET %s HTTP/1.0\r\n\r\n" % path).splitlines()[0]
    assert b" 400 " in raw(review, b"GET %s HTTP/1.1\r\n\r\n" % path).splitlines()[0]
    doubled = b"GET %s HTTP/1.1\r\nHost: %s\r\nHost: %s\r\n\r\n" % (path, host, host)
    assert raw(review, doubled).splitlines()[0].split()[1] in (b"400", b"403")
    absolute = b"GET http://%s%s HTTP/1.1\r\nHost: evil.example\r\n\r\n" % (host, path)
    assert b" 403 " in raw(review, absolute).splitlines()[0]


def test_without_the_secret_nothing_tells_what_there_is(review: Served) -> None:
    sha256 = sha256_of(review, "places:gate")
    guesses = ["", "x/", f"{review.secret[:-1]}/", f"{review.secret}x/", "%00/", f"{review.secret.swapcase()}/", "é/"]
    answers = set()
    for guess in guesses:
        for path in ("", "events", "run", f"originals/{sha256}.png", "nowhere"):
            for method in ("GET", "POST", "OPTIONS", "PUT"):
                address = f"/{guess}{path}".encode()
                first = b"%s %s HTTP/1.1\r\nHost: %s\r\n" % (method.encode(), address, review.host.encode())
                head, _, body = raw(review, first + b"Connection: close\r\n\r\n").partition(b"\r\n\r\n")
                lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"date")]
                if guess.isascii():
                    answers.add((*lines, body))
    assert len(answers) == 1
    assert next(iter(answers))[0].endswith(b"404 Not Found")


ORIGINS = [
    None,
    "null",
    "http://evil.example",
    "https://{host}",
    "http://{host}/",
    "http://{host}.evil.example",
    "http://localhost:1",
]


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("path", ["run", "cancel"])
def test_what_changes_something_must_come_from_the_page(review: Served, path: str, origin: str | None) -> None:
    headers = dict(JSON) if origin is None else {**JSON, "Origin": origin.format(host=review.host)}
    answer = review.ask("POST", path, RUN, headers)
    assert answer.status == 403
    assert_closed(answer)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "text/json"]
)
def test_what_a_form_could_send_is_refused(review: Served, kind: str) -> None:
    headers = {"Origin": f"http://{review.host}", "Content-Type": kind}
    assert review.ask("POST", "run", RUN, headers).status == 415


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_another_site_embeds_and_reads_nothing(review: Served, site: str) -> None:
    sha256 = sha256_of(review, "places:gate")
    for path in (f"thumbs/{sha256}.webp", f"originals/{sha256}.png", "versions?image=places:gate", "", "events"):
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
        answer = review.ask("GET", path, headers=headers)
        assert answer.status == 403
        assert_closed(answer)
    answer = review.ask("POST", "run", RUN, {**JSON, "Origin": f"http://{review.host}", "Sec-Fetch-Site": site})
    assert answer.status == 403
    assert review.ask("GET", "", headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}).status == 200  # a link


BODIES = [b"", b"{", b"[]", b"null", b"3", b'"x"', b"\xff\xfe", b"{} {}", b"[" * 100_000, b'{"a":' * 50_000]
BODIES += [b'{"command": "\\ud800"}', b'{"command": 1e999}', b'{"number": %s}' % (b"9" * 5000), b'{"number": true}']
BODIES += [
    b'{"number": "1"}',
    b'{"number": null}',
    b'{"command": "build"}',
    b'{"command": "build", "images": ["../x"]}',
]
BODIES += [b'{"command": "build", "images": [["places:gate"]]}', b'{"command": "build", "images": [{}]}']
BODIES += [b'{"command": "run", "images": ["places:gate"]}', b'{"command": "build", "images": ["--help"]}']
BODIES += [
    b'{"command": "pick", "images": ["places:gate"], "variant": "1; x"}',
    b'{"command": {}, "images": {}, "task": {}, "values": [], "sha256": [], "number": {}}',
    b'{"command": "build", "images": ["x"], "task": "places:gate", "values": 3, "sha256": 3, "number": 1.5}',
    b'{"task": "places:gate", "values": {"prompt": {"a": [1]}, "nothing": 1}, "sha256": "x", "number": -1}',
    b'{"command": ["build"], "images": []}',
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:30]))
def test_a_body_that_is_not_valid_is_refused_in_words(review: Served, body: bytes) -> None:
    for path in ("run", "cancel", "undo", "forecast", "edit/read", "edit/preview", "edit/write"):
        answer = review.ask("POST", path, body, {**JSON, "Origin": f"http://{review.host}"})
        assert answer.status in (400, 404, 409) or (answer.status == 200 and path in ("edit/read", "edit/preview"))
        assert answer.status == 200 or answer.json["problem"]
        assert_closed(answer)


def test_a_body_has_a_bound_with_and_without_its_length(review: Served) -> None:
    head = f"POST {urlsplit(review.url).path}run HTTP/1.1\r\nHost: {review.host}\r\nOrigin: http://{review.host}\r\n"
    head += "Content-Type: application/json\r\nConnection: close\r\n"
    lengthy = raw(review, f"{head}Content-Length: {(1 << 20) + 1}\r\n\r\n".encode())  # answered before any of it comes
    assert b" 413 " in lengthy.splitlines()[0]
    chunk = b"%x\r\n%s\r\n" % (1 << 17, b" " * (1 << 17))
    try:
        chunked = raw(review, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + 9 * chunk)
    except ConnectionError:  # the server has hung up, and the answer was lost with what it had not read
        return
    assert b" 413 " in chunked.splitlines()[0]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", ""),
        ("PUT", "run"),
        ("DELETE", "events"),
        ("PATCH", "cancel"),
        ("TRACE", ""),
        ("GET", "run"),
        ("HEAD", "run"),
    ],
)
def test_a_method_that_an_address_does_not_have(review: Served, method: str, path: str) -> None:
    answer = review.ask(method, path, b"{}", {**JSON, "Origin": f"http://{review.host}"})
    assert answer.status == 405
    assert_closed(answer)


NAMES = [
    "../dodo.py",
    "..%2fdodo.py",
    "%2e%2e/dodo.py",
    "..%5cdodo.py",
    "%00",
    "dodo.py",
    "/etc/passwd",
    "%2fetc%2fpasswd",
]
NAMES += ["a" * 5000, "*", "%ff", ".", "..", "~", "CON", "{sha256}%00.png", "{sha256}/../../dodo.py", "{SHA256}.png"]
NAMES += ["file:%2f%2f%2fetc%2fpasswd", "{sha256}.png/x", "%F0%9F%98%80", "0" * 64 + ".png"]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_to_a_file_that_no_picture_shows(review: Served, name: str) -> None:
    sha256 = sha256_of(review, "places:gate")
    name = name.replace("{sha256}", sha256).replace("{SHA256}", sha256.upper())
    for folder in ("thumbs", "earlier", "originals"):
        answer = review.ask("GET", f"{folder}/{name}")
        assert answer.status in (404, 405)
        assert b"imagegen" not in answer.body
        assert b"root:" not in answer.body
        assert_closed(answer)


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=60), st.sampled_from(["", *FOLDERS]))
def test_whatever_is_asked_for_is_answered_in_words(review: Served, path: str, folder_of: str) -> None:
    head, _, body = get(review, f"{folder_of}{path}").partition(b"\r\n\r\n")
    status = head.split()[1]
    assert status in (b"200", b"307", b"400", b"404", b"405"), head
    assert status != b"200" or path.partition("?")[0].partition("#")[0] in ("", "data")
    assert b"imagegen.tasks" not in body


def get(review: Served, path: str) -> bytes:
    address = f"{urlsplit(review.url).path}{path}"
    return raw(review, f"GET {address} HTTP/1.1\r\nHost: {review.host}\r\nConnection: close\r\n\r\n".encode())


def test_what_is_served_can_be_nothing_but_an_image(review: Served) -> None:
    sha256 = sha256_of(review, "places:gate")
    for name in (
        f"originals/{sha256}.png",
        f"originals/{sha256}.html",
        f"originals/{sha256}",
        f"originals/{sha256}.svg",
    ):
        answer = review.ask("GET", name)
        assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
        assert "sandbox" in answer.headers["content-security-policy"]
        assert "immutable" in answer.headers["cache-control"]
        assert hashlib.sha256(answer.body).hexdigest() == sha256
    assert review.ask("GET", f"thumbs/{sha256}.webp").headers["content-type"] == "image/webp"


def test_the_secret_is_in_no_file_and_in_no_answer_but_the_page_address(review: Served, folder: ProjectFolder) -> None:
    secret = review.secret.encode()
    for path in ("", "nowhere", "events/x", "originals/x"):
        answer = review.ask("GET", path)
        assert secret not in answer.body + str(answer.headers).encode()
    kept = {path for path in folder.root.rglob("*") if path.is_file() and secret in path.read_bytes()}
    assert kept == set()
    assert review.output.count(review.secret) == 1


def test_files_that_changed_disguised_themselves_or_lead_outside(tmp_path: Path) -> None:
    project = small_project(tmp_path / "project")
    outside = tmp_path / "outside"
    outside.mkdir()
    secret = picture("navy", (48, 64))
    (outside / "private.png").write_bytes(secret)
    html = b"<script>alert(1)</script>"
    project.image("harbour", job="places").write_bytes(html)
    project.image("marsh", job="places").unlink()
    project.image("marsh", job="places").symlink_to(outside / "private.png")
    review = Served(project)
    try:
        found = review.ask("GET", f"originals/{hashlib.sha256(html).hexdigest()}.html")
        assert found.status == 404 or found.headers["content-type"] == "application/octet-stream"
        assert review.ask("GET", f"originals/{hashlib.sha256(secret).hexdigest()}.png").status == 404
        assert review.ask("GET", f"thumbs/{hashlib.sha256(secret).hexdigest()}.webp").status == 404
        gate = sha256_of(review, "places:gate")
        project.image("gate", job="places").write_bytes(picture("red", (48, 64)))
        wait_until(lambda: is_gone(review, gate))
        red = sha256_of(review, "places:gate")
        project.image("gate", job="places").unlink()
        os.mkfifo(project.image("gate", job="places"))
        wait_until(lambda: is_gone(review, red))
    finally:
        review.end()


def is_gone(review: Served, sha256: str) -> bool:
    """Whether it is missing. Until then, nothing else is in its place."""
    answer = review.ask("GET", f"originals/{sha256}.png")
    assert answer.status == 404 or hashlib.sha256(answer.body).hexdigest() == sha256
    return answer.status == 404


def test_connections_that_ask_for_nothing_keep_nobody_out(review: Served) -> None:
    parts = urlsplit(review.url)
    crowd = [socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60) for _ in range(300)]
    for connection in crowd:
        with contextlib.suppress(OSError):  # it is closed already
            connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
    heard = review.listen()
    heard.wait_for("hello")
    heard.close()
    assert review.ask("GET", "").status == 200
    with contextlib.suppress(ConnectionResetError):
        assert crowd[0].recv(1) == b""
    for connection in crowd:
        connection.close()


def test_only_so_many_pages_are_open_at_a_time(review: Served) -> None:
    wait_until(lambda: is_full(review))
    answer = review.ask("GET", "events")
    assert (answer.status, "close some of its tabs" in answer.json["problem"]) == (503, True)
    review.end_listening()
    wait_until(lambda: not is_full(review))
    review.end_listening()


def is_full(review: Served) -> bool:
    try:
        review.listen()
    except ConnectionRefusedError:
        return True
    return False
