"""Downloads: one file to this disk, over HTTPS; resumed, bounded, checked by its sha256, and named only when complete.

This is the only place where errors of `requests` in a download are translated.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests

from imagegen.backends.address import get_port, is_local
from imagegen.backends.file_lock import hold_file_lock
from imagegen.backends.http import (
    SecretRedactor,
    Session,
    check_while_reading,
    deadline,
    find_cause,
    read_available,
)
from imagegen.backends.text import one_line, size_text
from imagegen.errors import ImagegenError, Problem, not_written

__all__ = ["PartialDownload", "RemoteFile", "download", "partial_path"]

CONNECT_S, ANSWER_S = 10.0, 60.0
"""Seconds to connect, and between two parts of an answer."""
HEAD_S = 120.0
"""Seconds for the head of an answer, which takes one packet."""
PACE_S, PACE = 60.0, 64 * 1024
"""A connection that brings fewer bytes than these in so many seconds counts as lost: at 1 KB/s a model takes months."""
_PAUSES_S = (0.5, 1.0, 3.0)
"""Before each new attempt after one that brought next to nothing; after the last of them, the download fails."""
_PROGRESS = 1024**2
"""Bytes that an attempt must bring to count as progress."""
_REDIRECTS = 5
_READ = 64 * 1024
"""Bytes that are read in one go, at most: what has come is on disk before more is waited for."""
_BLOCK = 1024**2
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")


@dataclass(frozen=True)
class RemoteFile:
    """A file to download. A subclass knows what is special about its host."""

    key: str
    """What problems call it."""
    name: str
    url: str
    """https, or http on this machine."""
    host: str
    """Where it comes from, for a person."""
    sha256: str
    """In small letters."""
    size: int
    """Its bytes, approximately; 0 if unknown."""
    least: int
    most: int
    """The fewest and the most bytes that it may have."""
    page: str
    """Where a person reads about it."""
    if_other: str
    if_missing: str
    """What to do if there is another file, or none."""

    def find_token(self, url: str) -> str:  # noqa: ARG002 - some hosts want one
        """Return the token to send to this address; empty for none."""
        return ""

    def read_announced_sha256(self, headers: Mapping[str, str]) -> str:  # noqa: ARG002 - some hosts do
        """Return the sha256 that the headers of a redirect announce; empty if they don't."""
        return ""

    def explain_refusal(self, url: str, status: int, said: str) -> tuple[str, str] | None:  # noqa: ARG002 - as above
        """Return what it means that this address answers with this status, and what to do; None if unknown."""
        return None


class ConnectionLost(Exception):  # noqa: N818 - a state, which may pass
    """The connection ended early, or was never made. What came stays, and another attempt may succeed."""


def download(
    remote: RemoteFile,
    path: Path,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    on_note: Callable[[str], None] = lambda _text: None,
) -> None:
    """Download a file to `path`; there must be no file yet.

    Args:
        path: where the file goes. Until it is complete, it is beside that as `.part`.
        on_progress: gets the bytes done and the total (0 if unknown), often, first before any byte comes. May raise.
        on_note: gets a line of text now and then. May raise.

    Raises:
        ImagegenError: it failed. The `.part` stays, as after Ctrl-C, and the next call continues from there; unless it
            cannot be a part of this file.
    """
    with (
        _disk_errors(path.parent),
        hold_file_lock(path.parent / ".imagegen.lock", _busy(path.parent)),
        PartialDownload(partial_path(path), remote) as part,
    ):
        if path.exists():
            raise ImagegenError(Problem(remote.key, f"{path} has appeared in the meantime", "run it again"))
        transfer = _Transfer(remote, part, on_progress, on_note)
        is_resumed = part.size > 0
        if part.sha256 != remote.sha256:
            transfer.run()
        if part.sha256 != remote.sha256 and is_resumed:
            on_note(f"{remote.key}: the part that was there is of another file; downloading from the start")
            part.restart()
            transfer.run()
        if part.sha256 != remote.sha256:
            found = part.sha256
            part.restart()
            what = f"the downloaded file has sha256 {found}, but {remote.sha256} is expected; it is not kept"
            raise ImagegenError(Problem(remote.key, what, remote.if_other))
        part.finish(path)


def partial_path(path: Path) -> Path:
    """Return where a download is until it is complete."""
    return path.with_name(f"{path.name}.part")


class PartialDownload:
    """What there is of a file so far, on disk, with its size and sha256. An empty one leaves no file behind."""

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

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if not self.size:
            self.path.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        """In hex, of what there is."""
        return self._hash.hexdigest()

    def add(self, data: bytes) -> None:
        """Append. Raises ImagegenError if that is more than the file can have."""
        if self.size + len(data) > self._remote.most:
            self.restart()
            what = f"the server sends more than {self._remote.most:,} bytes, the most it can have; it is not kept"
            raise ImagegenError(Problem(self._remote.key, what, self._remote.if_other))
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self._count(data)

    def restart(self) -> None:
        """Start over from the first byte."""
        self._file.truncate(0)
        self.size = 0
        self._hash = hashlib.sha256()

    def finish(self, path: Path) -> None:
        """Give the complete file its name; it is on disk before this returns."""
        os.fsync(self._file.fileno())
        self._file.close()
        self.path.replace(path)

    def _count(self, data: bytes) -> None:
        self.size += len(data)
        self._hash.update(data)


class _Transfer:
    """Fetches what a partial download lacks."""

    def __init__(
        self,
        remote: RemoteFile,
        part: PartialDownload,
        on_progress: Callable[[int, int], None],
        on_note: Callable[[str], None],
    ) -> None:
        self._remote, self._part = remote, part
        self._on_progress, self._on_note = on_progress, on_note
        self._total, self._least = remote.size, remote.least
        self._redactor = SecretRedactor(remote.find_token(remote.url))

    def run(self) -> None:
        """Fetch it, in as many attempts as make progress. Raises ImagegenError."""
        part, failed, furthest = self._part, 0, self._part.size
        while True:
            try:
                self._attempt()
                return
            except ConnectionLost as lost:
                failed = 0 if part.size >= furthest + _PROGRESS else failed + 1
                furthest = max(furthest, part.size)
                if failed > len(_PAUSES_S):
                    of = f" of {size_text(self._total)}" if self._total else ""
                    hint = (
                        "run it again: it continues from there" if part.size else "check the network, then run it again"
                    )
                    what = f"{self._remote.host}: {lost}; {size_text(part.size)}{of} downloaded"
                    raise ImagegenError(Problem(self._remote.key, what, hint)) from None
                self._on_note(f"{self._remote.key}: {lost}; trying again")
                time.sleep(_PAUSES_S[max(0, failed - 1)])

    def _attempt(self) -> None:
        """Read from one connection until its end. Raises ConnectionLost, and ImagegenError."""
        part, url = self._part, self._remote.url
        for _ in range(_REDIRECTS + 1):
            with self._open(url) as response:
                if response.status_code in (200, 206):
                    self._read(response)
                    if part.size < self._least:
                        raise ConnectionLost("the connection ended early")
                    return
                if response.status_code == 416 and part.size:  # there is no more: the sha256 shows whether that was all
                    return
                if response.status_code in _PASSING:
                    raise ConnectionLost(self._redactor.text(_status(response)))
                if not response.is_redirect:
                    raise self._refusal(url, response)
                self._compare_announced(response)
                url = self._redirected(url, response.headers["Location"])
        raise self._problem(f"{self._remote.host} redirects more than {_REDIRECTS} times", self._remote.if_missing)

    @contextlib.contextmanager
    def _open(self, url: str) -> Iterator[requests.Response]:
        """Ask for the missing bytes at this address, which alone gets the token for it."""
        token = self._remote.find_token(url)
        headers = {"User-Agent": "imagegen"}
        if self._part.size:
            headers["Range"] = f"bytes={self._part.size}-"
        late = deadline(HEAD_S, lambda: ConnectionLost(f"it does not answer within {HEAD_S:g} s"))
        with Session(url, f"Bearer {token}" if token else "") as session:
            with self._errors_translated(url), check_while_reading(late):
                response = session.get(
                    url,
                    headers=headers,
                    allow_redirects=False,  # the token must not go along
                    stream=True,
                    timeout=(CONNECT_S, ANSWER_S),
                )
            with contextlib.closing(response):
                yield response

    def _read(self, response: requests.Response) -> None:
        part = self._part
        if response.status_code == 200 and part.size:
            self._on_note(f"{self._remote.key}: the server cannot resume; downloading from the start")
            part.restart()
        self._check_head(response)
        self._on_progress(part.size, self._total)
        with self._errors_translated(response.url), check_while_reading(_check_pace(part)):
            while data := read_available(response, _READ):
                part.add(data)
                self._on_progress(part.size, self._total)

    def _check_head(self, response: requests.Response) -> None:
        """Check that what is about to come can be the file, or the rest of it."""
        remote, part, total = self._remote, self._part, response.headers.get("Content-Length", "")
        if response.status_code == 206:
            found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if not found or int(found[1]) != part.size:
                part.restart()
                raise ConnectionLost("the server sent another part than it was asked for")
            total = found[2]
        if response.headers.get("Content-Type", "").startswith("text/html"):
            hint = f"open {remote.page} in a browser: it may ask you to log in or to accept a licence"
            raise self._problem(f"{_host(response.url)} sends a web page instead of the file", hint)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise self._problem(f"{_host(response.url)} sends the file compressed only", "download it from elsewhere")
        if not re.fullmatch("[0-9]{1,18}", total):
            return
        self._total = self._least = int(total)
        if not remote.least <= self._total <= remote.most:
            part.restart()
            expected = f"{remote.least:,}" if remote.least == remote.most else f"about {size_text(remote.size)}"
            if not remote.size:
                expected = f"at most {size_text(remote.most)}"
            what = f"{remote.host}: the file there has {self._total:,} bytes, but {expected} are expected"
            raise self._problem(what, remote.if_other)

    def _redirected(self, url: str, location: str) -> str:
        """Return where a redirect leads: to https, or from this machine to this machine; nowhere else."""
        try:
            to = urljoin(url, location)
            parts = urlsplit(to)
            is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_local(to))
            is_outward = is_local(url) or not is_local(to)
            if is_safe and is_outward and parts.hostname and "@" not in parts.netloc and get_port(to):
                return to
            shown = f"{parts.scheme}://{parts.hostname}"
        except ValueError:
            shown = "an address that isn't valid"
        raise self._problem(
            f"{_host(url)} redirects to {one_line(shown)}, which isn't followed", self._remote.if_missing
        )

    def _compare_announced(self, response: requests.Response) -> None:
        remote, announced = self._remote, self._remote.read_announced_sha256(response.headers)
        if announced and announced != remote.sha256:
            what = f"{remote.host} has another file: its sha256 is {announced}, but {remote.sha256} is expected"
            raise self._problem(what, remote.if_other)

    def _refusal(self, url: str, response: requests.Response) -> ImagegenError:
        status = _status(response)
        if known := self._remote.explain_refusal(url, response.status_code, status):
            return self._problem(*known)
        if response.status_code in (401, 403):
            hint = f"open {self._remote.page} in a browser; download it by hand if it asks you to log in"
            return self._problem(f"{_host(url)} refuses to send {self._remote.name} ({status})", hint)
        return self._problem(f"{_host(url)} does not have it: {status}", self._remote.if_missing)

    def _problem(self, what: str, hint: str) -> ImagegenError:
        return ImagegenError(Problem(self._remote.key, self._redactor.text(what), hint))

    @contextlib.contextmanager
    def _errors_translated(self, url: str) -> Iterator[None]:
        """Turn errors of requests into ours, without the address, which may be signed, and without headers."""
        try:
            yield
        except requests.exceptions.SSLError as error:
            what = f"the certificate of {_host(url)} is not accepted: {one_line(find_cause(error))}"
            raise self._problem(what, "name the CA that signed it: REQUESTS_CA_BUNDLE=/path/to/ca.pem") from None
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader) as error:
            what = f"{_host(url)} cannot be contacted: {type(error).__name__}"
            raise self._problem(what, self._remote.if_missing) from None
        except requests.RequestException as error:
            raise ConnectionLost(self._redactor.line(find_cause(error))) from None


def _check_pace(part: PartialDownload) -> Callable[[], None]:
    """Return a check that raises ConnectionLost if next to nothing of the part comes."""
    since_s, size = time.monotonic(), part.size

    def check() -> None:
        nonlocal since_s, size
        if time.monotonic() - since_s > PACE_S:
            if part.size - size < PACE:
                raise ConnectionLost(f"less than {size_text(PACE)} came in {PACE_S:g} s")
            since_s, size = time.monotonic(), part.size

    return check


def _host(url: str) -> str:
    return one_line(urlsplit(url).hostname or "", 80)


def _status(response: requests.Response) -> str:
    return one_line(f"{response.status_code} {response.reason or ''}", 80)


def _busy(folder: Path) -> Problem:
    """Return the problem that another download into the folder is running, for whichever project."""
    return Problem("", f"another download into {folder} is running", "wait for it")


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = not_written(error, path=str(folder)).what
        raise ImagegenError(Problem("", what, "fix that, then run it again: it continues from there")) from None
