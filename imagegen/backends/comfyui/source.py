"""Where a model file comes from, over HTTPS: Hugging Face or any other address. Keeps nothing on disk.

This is the one boundary of downloading at which errors of `requests` are translated. What Hugging Face answers, and
with which headers, is as its own documentation and client have it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, urljoin, urlsplit

import requests

from imagegen.backends.comfyui.client import Session, cause, one_line
from imagegen.backends.comfyui.launch import is_local, port_of
from imagegen.backends.comfyui.listed import size_text
from imagegen.backends.comfyui.part import Part
from imagegen.config.models import HUGGING_FACE, ModelFile
from imagegen.errors import ImagegenError, Problem

__all__ = ["TOKENS", "Cut", "HuggingFace", "Source"]

CONNECT_S, ANSWER_S = 10.0, 60.0
"""Seconds until a connection stands, and between two parts of an answer."""
TOKENS = f"{HUGGING_FACE}/settings/tokens"
"""Where one gets a token."""
_REDIRECTS = 5
_CHUNK = 64 * 1024
"""Bytes that are read in one go; of a connection that is cut, as many may be lost."""
_PASSING = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class HuggingFace:
    """Where it is, and the token for it, empty where there is none.

    The token is for huggingface.co itself, over https; for another endpoint only where that is this very machine.
    """

    endpoint: str = HUGGING_FACE
    token: str = field(default="", repr=False)

    def address(self, model: ModelFile) -> str:
        """Where the model is downloaded from."""
        if not model.repo:
            return model.url
        return f"{self.endpoint}/{model.repo}/resolve/{quote(model.revision, safe='')}/{quote(model.file)}"

    def is_at(self, url: str) -> bool:
        """Whether the token may be sent there."""
        ours = [HUGGING_FACE, *([self.endpoint] if is_local(self.endpoint) else [])]
        return _origin(url) in map(_origin, ours)


class Cut(Exception):  # noqa: N818 - a state, which may pass
    """The connection ended early, or never stood. What came stays, and it may be tried again."""


class Source:
    """Where one model comes from. total: the bytes that the file has, about until the server says it."""

    def __init__(self, model: ModelFile, hub: HuggingFace) -> None:
        self.model = model
        self.total = model.size
        self._least = model.least
        self._hub = hub
        self._session = Session()
        self._url = hub.address(model)

    def close(self) -> None:
        """Close its connections."""
        self._session.close()

    def read(self, part: Part, tell: Callable[[int, int], None], note: Callable[[str], None]) -> None:
        """Get what the part lacks. Raises Cut where the connection does not last, ImagegenError for the rest."""
        with contextlib.closing(self._ask(part.size)) as response:
            if response.status_code == 416:  # there is no more: the sha256 tells whether that was all
                return
            if response.status_code == 200 and part.size:
                note(f"{self.model.key}: the server does not resume; it is downloaded from the start")
                part.restart()
            self._check(response, part)
            tell(part.size, self.total)
            with self._translated(response.url):
                for data in response.iter_content(_CHUNK):
                    part.add(data)
                    tell(part.size, self.total)
        if part.size < self._least:
            raise Cut("the connection ended early")

    def _ask(self, offset: int) -> requests.Response:
        """The answer to the request for all from this byte on, redirects followed: 200, 206 or 416."""
        url = self._url
        for _ in range(_REDIRECTS + 1):
            response = self._get(url, offset)
            if response.status_code in (200, 206) or (response.status_code == 416 and offset):
                return response
            response.close()
            if response.status_code in _PASSING:
                raise Cut(_status(response))
            if not response.is_redirect:
                raise self._refused(url, response)
            self._compare_announced(response)
            url = self._redirected(url, response.headers["Location"])
        raise self._problem(f"{self.model.source} redirects more than {_REDIRECTS} times", "check where it comes from")

    def _get(self, url: str, offset: int) -> requests.Response:
        token = self._hub.token if self._hub.is_at(url) else ""

        def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
            if token:  # and in no case what a ~/.netrc says
                request.headers["Authorization"] = f"Bearer {token}"
            return request

        self._session.trust_env = not is_local(url)  # no proxy between this machine and itself
        with self._translated(url):
            return self._session.get(
                url,
                headers={
                    "User-Agent": "imagegen",
                    "Accept-Encoding": "identity",  # else neither sizes nor ranges are those of the file
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
        raise self._problem(
            f"{_host(url)} leads on to {one_line(said)}, which is not asked", "check where it comes from"
        )

    def _compare_announced(self, response: requests.Response) -> None:
        """Hugging Face says a file's sha256 before it sends it on: better now than after some gigabytes."""
        announced = response.headers.get("X-Linked-Etag", "").strip('"').lower()
        if self.model.repo and re.fullmatch("[0-9a-f]{64}", announced) and announced != self.model.sha256:
            what = f"{self.model.source} has another file: its sha256 is {announced}, and {self.model.sha256} is listed"
            mend = "list its sha256 and size if it is wanted; if not, name the revision (a commit) that yours is of"
            raise self._problem(what, mend)

    def _check(self, response: requests.Response, part: Part) -> None:
        """That what is about to come can be the file, or the rest of it."""
        length = response.headers.get("Content-Length", "")
        total = length
        if response.status_code == 206:
            found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if not found or int(found[1]) != part.size:
                part.restart()
                raise Cut("the server sent another part than it was asked for")
            total = found[2]
        if response.headers.get("Content-Type", "").startswith("text/html"):
            mend = f"open {self.model.page or 'its page'} in a browser: it may ask you to log in or to accept a licence"
            raise self._problem(f"{_host(response.url)} sends a web page in place of the file", mend)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise self._problem(f"{_host(response.url)} sends the file compressed only", "take it from elsewhere")
        if re.fullmatch("[0-9]{1,18}", total):
            self.total = self._least = int(total)
            if not self.model.least <= self.total <= self.model.most:
                part.restart()
                listed = f"{self.model.least:,}" if self.model.least == self.model.most else size_text(self.model.size)
                what = f"{self.model.source}: the file there has {self.total:,} bytes, and size says {listed}"
                raise self._problem(what, "correct size and sha256, or where it comes from")

    def _refused(self, url: str, response: requests.Response) -> ImagegenError:
        model, status = self.model, response.status_code
        if status in (401, 403) and (model.repo or self._hub.is_at(url)):
            with_token = bool(self._hub.token) and self._hub.is_at(url)
            accept = f"accept the licence on {model.page or _repo_page(url)}"
            if with_token:
                what = f"Hugging Face does not give {model.name} to the account of HF_TOKEN ({_status(response)})"
                mend = f"with that account {accept}; let the token read gated repositories: {TOKENS}"
            else:
                what = f"Hugging Face gives {model.name} only to those who accepted its licence ({_status(response)})"
                mend = f"{accept}, and set HF_TOKEN to a token from {TOKENS}; or there is no such repository"
            return self._problem(what, mend)
        if status in (401, 403):
            page = model.page or "its page"
            what = f"{_host(url)} does not give {model.name} ({_status(response)})"
            return self._problem(what, f"open {page} in a browser; download it by hand where it asks you to log in")
        if status in (404, 410) and model.repo:
            what = f"{model.repo} has no {model.file} at revision {model.revision} ({_status(response)})"
            return self._problem(what, f"correct repo, file or revision: see {HUGGING_FACE}/{model.repo}")
        return self._problem(f"{_host(url)} does not have it: {_status(response)}", "correct where it comes from")

    def _problem(self, what: str, mend: str) -> ImagegenError:
        return ImagegenError(Problem(self.model.key, what, mend))

    @contextlib.contextmanager
    def _translated(self, url: str) -> Iterator[None]:
        """Errors of requests as ours, without an address, which may be signed, or a header."""
        try:
            yield
        except requests.exceptions.SSLError as error:
            what = f"the certificate of {_host(url)} is not accepted: {one_line(cause(error))}"
            raise self._problem(what, "name the CA that signed it: REQUESTS_CA_BUNDLE=/path/to/ca.pem") from None
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader) as error:
            raise self._problem(
                f"{_host(url)} cannot be asked: {type(error).__name__}", "correct its address"
            ) from None
        except requests.RequestException as error:
            raise Cut(one_line(cause(error))) from None


_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", port_of(url)


def _host(url: str) -> str:
    return one_line(urlsplit(url).hostname or "", 80)


def _repo_page(url: str) -> str:
    return HUGGING_FACE + urlsplit(url).path.partition("/resolve/")[0]


def _status(response: requests.Response) -> str:
    return one_line(f"{response.status_code} {response.reason or ''}", 80)
