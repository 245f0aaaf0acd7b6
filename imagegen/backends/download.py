"""One file onto this disk: resumed, bounded, checked against its sha256, and named only when it is whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import urljoin, urlsplit

import requests

from imagegen.backends.address import is_local, port_of
from imagegen.backends.http import SecretRedactor, Session, check_while_reading, deadline, find_cause, read_available
from imagegen.backends.locked import locked
from imagegen.backends.text import one_line, size_text
from imagegen.errors import ImagegenError, Problem, not_written

__all__ = [
    "ConnectionLost",
    "PartialDownload",
    "RemoteFile",
    "Source",
    "download",
    "partial_path",
]


_PAUSES_S = (0.5, 1.0, 3.0)
"""Before it is tried again after nothing new came; after the last of them it is given up."""
_PROGRESS = 1024**2
"""Bytes that must be new for a try to count as none that failed."""


def download(
    remote: RemoteFile,
    path: Path,
    tell: Callable[[int, int], None] = lambda _done, _total: None,
    note: Callable[[str], None] = lambda _text: None,
) -> None:
    """Have the file at `path`, where nothing may be.

    tell: gets the bytes that there are and those that there will be (about; 0 where nobody says), often, and before any
    come. note: gets a line now and then. Either may raise.
    Raises ImagegenError. Then, and after Ctrl-C, what came stays beside it as `.part` and the next call goes on from
    there, unless it cannot be a part of this file.
    """
    with (
        _disk_errors(path.parent),
        locked(path.parent / ".imagegen.lock", _busy(path.parent)),
        PartialDownload(partial_path(path), remote) as part,
        contextlib.closing(Source(remote)) as source,
    ):
        if path.exists():
            raise ImagegenError(Problem(remote.key, f"{path} is there by now", "run it again"))
        is_resumed = part.size > 0
        if part.sha256 != remote.sha256:
            _fill(part, source, tell, note)
        if part.sha256 != remote.sha256 and is_resumed:
            note(f"{remote.key}: what was there of it is not of this file; it is downloaded from the start")
            part.restart()
            _fill(part, source, tell, note)
        if part.sha256 != remote.sha256:
            found = part.sha256
            part.restart()
            what = f"what came has sha256 {found}, and {remote.sha256} is expected; it is not kept"
            raise ImagegenError(Problem(remote.key, what, remote.if_other))
        part.finish(path)


def _fill(part: PartialDownload, source: Source, tell: Callable[[int, int], None], note: Callable[[str], None]) -> None:
    """Get the bytes that are lacking, in as many tries as get on."""
    failed, furthest = 0, part.size
    while True:
        try:
            source.read(part, tell, note)
            return
        except ConnectionLost as cut:
            failed = 0 if part.size >= furthest + _PROGRESS else failed + 1
            furthest = max(furthest, part.size)
            if failed > len(_PAUSES_S):
                whole = size_text(source.total) if source.total else "what nobody says"
                what = f"{source.remote.host}: {cut}; {size_text(part.size)} of {whole} are there"
                hint = "run it again: it goes on from there" if part.size else "check the network, then run it again"
                raise ImagegenError(Problem(source.remote.key, what, hint)) from None
            note(f"{source.remote.key}: {cut}; trying again")
            time.sleep(_PAUSES_S[max(0, failed - 1)])


def _busy(folder: Path) -> Problem:
    """One download into a folder at a time, whichever project it is for."""
    return Problem("", f"another download into {folder} is under way", "wait for it")


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = not_written(error, path=str(folder)).what
        raise ImagegenError(Problem("", what, "fix that, then run it again: what came so far stays")) from None


@dataclass(frozen=True)
class RemoteFile:
    """One file. For a host that needs or says more than others there is a class of its own.

    key: what problems call it. name: of the file. url: https, or http on this machine. host: where it comes from, for a
    person. sha256: in small letters. size: in bytes, about; 0 where it is not known. least, most: bytes that it may
    have. page: where a person reads about it. if_other, if_away: what to do where another file is there, or none.
    """

    key: str
    name: str
    url: str
    host: str
    sha256: str
    size: int
    least: int
    most: int
    page: str
    if_other: str
    if_away: str

    def token_for(self, url: str) -> str:  # noqa: ARG002 - some hosts want one
        """The token to be sent there; empty for none."""
        return ""

    def announced(self, headers: Mapping[str, str]) -> str:  # noqa: ARG002 - some hosts do
        """The sha256 that a redirect says the file has; empty where it says none."""
        return ""

    def refusal(self, url: str, status: int, said: str) -> tuple[str, str] | None:  # noqa: ARG002 - as above
        """What it means where this address answers with this status, and what to do; None where nothing is known."""
        return None


_BLOCK = 1024**2


def partial_path(path: Path) -> Path:
    """Where a download is until it is whole."""
    return path.with_name(f"{path.name}.part")


class PartialDownload:
    """What there is of the file so far, on disk, with its sha256; no file stays where that is nothing."""

    def __init__(self, path: Path, remote: RemoteFile) -> None:
        self.path = path
        self._remote = remote
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b", buffering=0)
        self._file.seek(0)
        self.size = 0
        self._hash = hashlib.sha256()
        while data := self._file.read(_BLOCK):
            self._count(data)
        if self.size > remote.most:
            self.restart()

    def __enter__(self) -> PartialDownload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if not self.size:
            self.path.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        """In hex, of what there is."""
        return self._hash.hexdigest()

    def add(self, data: bytes) -> None:
        """More of it. Raises ImagegenError where that is more than the file can have."""
        if self.size + len(data) > self._remote.most:
            self.restart()
            what = f"more than {self._remote.most:,} bytes come, which is more than it can have; it is not kept"
            raise ImagegenError(Problem(self._remote.key, what, self._remote.if_other))
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self._count(data)

    def restart(self) -> None:
        """From the first byte."""
        self._file.truncate(0)
        self.size = 0
        self._hash = hashlib.sha256()

    def finish(self, path: Path) -> None:
        """It is whole: give it its name, on disk before this returns."""
        os.fsync(self._file.fileno())
        self._file.close()
        self.path.replace(path)

    def _count(self, data: bytes) -> None:
        self.size += len(data)
        self._hash.update(data)


CONNECT_S, ANSWER_S = 10.0, 60.0
"""Seconds until a connection stands, and between two parts of an answer."""
HEAD_S = 120.0
"""Seconds until the head of an answer is there, which takes one packet."""
PACE_S, PACE = 60.0, 64 * 1024
"""Fewer bytes than these in so many seconds are as good as none: 1 KB/s, at which a model takes two months."""
_REDIRECTS = 5
_CHUNK = 64 * 1024
"""Bytes that are read in one go, at most: what has come is on disk before more is waited for."""
_PASSING = frozenset({408, 429, 500, 502, 503, 504})


class ConnectionLost(Exception):  # noqa: N818 - a state, which may pass
    """The connection ended early, or never stood. What came stays, and it may be tried again."""


class Source:
    """Where one file comes from. total: the bytes that it has, about until the server says it."""

    def __init__(self, remote: RemoteFile) -> None:
        self.remote = remote
        self.total = remote.size
        self._least = remote.least
        self._session = Session()
        self._hush = SecretRedactor(remote.token_for(remote.url))

    def close(self) -> None:
        """Close its connections."""
        self._session.close()

    def read(self, part: PartialDownload, tell: Callable[[int, int], None], note: Callable[[str], None]) -> None:
        """Get what the part lacks. Raises Cut where the connection does not last, ImagegenError for the rest."""
        with contextlib.closing(self._ask(part.size)) as response:
            if response.status_code == 416:  # there is no more: the sha256 tells whether that was all
                return
            if response.status_code == 200 and part.size:
                note(f"{self.remote.key}: the server does not resume; it is downloaded from the start")
                part.restart()
            self._check(response, part)
            tell(part.size, self.total)
            with self._translated(response.url), check_while_reading(_pace(part)):
                while data := read_available(response, _CHUNK):
                    part.add(data)
                    tell(part.size, self.total)
        if part.size < self._least:
            raise ConnectionLost("the connection ended early")

    def _ask(self, offset: int) -> requests.Response:
        """The answer to the request for all from this byte on, redirects followed: 200, 206 or 416."""
        url = self.remote.url
        for _ in range(_REDIRECTS + 1):
            response = self._get(url, offset)
            if response.status_code in (200, 206) or (response.status_code == 416 and offset):
                return response
            response.close()
            if response.status_code in _PASSING:
                raise ConnectionLost(self._hush.text(_status(response)))
            if not response.is_redirect:
                raise self._refused(url, response)
            self._compare_announced(response)
            url = self._redirected(url, response.headers["Location"])
        raise self._problem(f"{self.remote.host} redirects more than {_REDIRECTS} times", self.remote.if_away)

    def _get(self, url: str, offset: int) -> requests.Response:
        token = self.remote.token_for(url)

        def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
            if token:  # and in no case what a ~/.netrc says
                request.headers["Authorization"] = f"Bearer {token}"
            return request

        self._session.trust_env = not is_local(url)  # no proxy between this machine and itself
        late = deadline(HEAD_S, lambda: ConnectionLost(f"it does not answer within {HEAD_S:g} s"))
        with self._translated(url), check_while_reading(late):
            return self._session.get(
                url,
                headers={
                    "User-Agent": "imagegen",
                    **({"Range": f"bytes={offset}-"} if offset else {}),
                },
                auth=authorize,
                allow_redirects=False,  # the token must not go along
                stream=True,
                timeout=(CONNECT_S, ANSWER_S),
            )

    def _redirected(self, url: str, location: str) -> str:
        """Where it leads on to. A page on the net leads to https only, and never back to this machine."""
        try:
            to = urljoin(url, location)
            parts = urlsplit(to)
            is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_local(to))
            if (
                is_safe
                and (is_local(url) or not is_local(to))
                and parts.hostname
                and "@" not in parts.netloc
                and port_of(to)
            ):
                return to
            said = f"{parts.scheme}://{parts.hostname}"
        except ValueError:
            said = "what is no address"
        raise self._problem(f"{_host(url)} leads on to {one_line(said)}, which is not asked", self.remote.if_away)

    def _compare_announced(self, response: requests.Response) -> None:
        remote, announced = self.remote, self.remote.announced(response.headers)
        if announced and announced != remote.sha256:
            what = f"{remote.host} has another file: its sha256 is {announced}, and {remote.sha256} is expected"
            raise self._problem(what, remote.if_other)

    def _check(self, response: requests.Response, part: PartialDownload) -> None:
        """That what is about to come can be the file, or the rest of it."""
        length = response.headers.get("Content-Length", "")
        total = length
        if response.status_code == 206:
            found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if not found or int(found[1]) != part.size:
                part.restart()
                raise ConnectionLost("the server sent another part than it was asked for")
            total = found[2]
        if response.headers.get("Content-Type", "").startswith("text/html"):
            hint = f"open {self.remote.page} in a browser: it may ask you to log in or to accept a licence"
            raise self._problem(f"{_host(response.url)} sends a web page in place of the file", hint)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise self._problem(f"{_host(response.url)} sends the file compressed only", "take it from elsewhere")
        if re.fullmatch("[0-9]{1,18}", total):
            self.total = self._least = int(total)
            remote = self.remote
            if not remote.least <= self.total <= remote.most:
                part.restart()
                expected = f"{remote.least:,}" if remote.least == remote.most else f"about {size_text(remote.size)}"
                if not remote.size:
                    expected = f"at most {size_text(remote.most)}"
                what = f"{remote.host}: the file there has {self.total:,} bytes, and {expected} are expected"
                raise self._problem(what, remote.if_other)

    def _refused(self, url: str, response: requests.Response) -> ImagegenError:
        if known := self.remote.refusal(url, response.status_code, _status(response)):
            return self._problem(*known)
        if response.status_code in (401, 403):
            what = f"{_host(url)} does not give {self.remote.name} ({_status(response)})"
            hint = f"open {self.remote.page} in a browser; download it by hand where it asks you to log in"
            return self._problem(what, hint)
        return self._problem(f"{_host(url)} does not have it: {_status(response)}", self.remote.if_away)

    def _problem(self, what: str, hint: str) -> ImagegenError:
        return ImagegenError(Problem(self.remote.key, self._hush.text(what), hint))

    @contextlib.contextmanager
    def _translated(self, url: str) -> Iterator[None]:
        """Errors of requests as ours, without an address, which may be signed, or a header."""
        try:
            yield
        except requests.exceptions.SSLError as error:
            what = f"the certificate of {_host(url)} is not accepted: {one_line(find_cause(error))}"
            raise self._problem(what, "name the CA that signed it: REQUESTS_CA_BUNDLE=/path/to/ca.pem") from None
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader) as error:
            what = f"{_host(url)} cannot be asked: {type(error).__name__}"
            raise self._problem(what, self.remote.if_away) from None
        except requests.RequestException as error:
            raise ConnectionLost(self._hush.line(find_cause(error))) from None


def _pace(part: PartialDownload) -> Callable[[], None]:
    """A check that raises Cut where next to nothing of the part comes."""
    since_s, size = time.monotonic(), part.size

    def check() -> None:
        nonlocal since_s, size
        if time.monotonic() - since_s > PACE_S:
            if part.size - size < PACE:
                raise ConnectionLost(f"less than {size_text(PACE)} came in {PACE_S:g} s")
            since_s, size = time.monotonic(), part.size

    return check


_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")


def _host(url: str) -> str:
    return one_line(urlsplit(url).hostname or "", 80)


def _status(response: requests.Response) -> str:
    return one_line(f"{response.status_code} {response.reason or ''}", 80)
