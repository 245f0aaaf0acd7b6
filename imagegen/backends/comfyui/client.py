"""ComfyUI's HTTP API at one address: each call once, its answer or what went wrong. It waits for nothing.

This is the one boundary at which errors of `requests` are translated. Source of the facts: a real server, v0.33.0.
"""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import requests

from imagegen.backends.http import (
    SecretRedactor,
    Session,
    check_while_reading,
    deadline,
    find_cause,
    open_session,
    read_available,
)
from imagegen.backends.text import one_line

__all__ = ["Client", "Refused", "Unreachable", "is_of_comfyui", "read"]

CONNECT_S, ANSWER_S, WHOLE_S = 5.0, 30.0, 60.0
"""Seconds until a connection stands, between two parts of an answer, and for the whole of one that is no image."""
MAX_JSON, MAX_IMAGE = 32 * 1024**2, 256 * 1024**2
"""Bytes of an answer that are read. The whole of /object_info is less than 1 MB, and with hundreds of custom nodes some
20 MB; the pixels of the largest image that is decoded (`images.verification.MAX_PIXELS`) take 256 MiB unpacked."""
_MAX_VALUES = 2_000_000
"""Values that a JSON answer has at most: three bytes of it can take a hundred in memory."""
_LONGEST_REFUSAL = 4 * 1024**2
"""Bytes of a refusal's JSON that are understood; the list of all checkpoints is in it."""
_PASSING = frozenset({502, 503, 504})
"""What a proxy says while the server behind it is away."""


class Unreachable(Exception):  # noqa: N818 - a state, which may pass
    """No answer: refused, reset, timed out, or a proxy without its server. Whether the request arrived is not known."""


class Refused(Exception):  # noqa: N818 - an answer
    """The server answered, and it is no success. status: of HTTP. answer: its JSON, where it is any.

    may_pass: whether the same question may have another answer a moment later.
    """

    def __init__(
        self,
        what: str,
        hint: str = "",
        status: int = 0,
        answer: Mapping[str, Any] | None = None,
        *,
        may_pass: bool = False,
    ) -> None:
        super().__init__(what)
        self.what, self.hint, self.status, self.answer = what, hint, status, answer or {}
        self.may_pass = may_pass or status >= 500 or status in (408, 429)


class Client:
    """One server, for many threads.

    url: without a slash at its end. auth: the value of the Authorization header. account_key: of the account at
    Comfy.org that the server's partner nodes are paid with; it goes along with each prompt.
    """

    def __init__(self, url: str, auth: str = "", account_key: str = "") -> None:
        self.url = url
        self._auth = auth
        self._account_key = account_key
        self._hush = SecretRedactor(auth, account_key)
        self._threads = threading.local()

    def system_stats(self) -> dict[str, Any]:
        """`system` and `devices`. Raises Refused where whoever answers is no ComfyUI."""
        try:
            stats = self._json("GET", "/system_stats")
        except Refused as refused:
            if refused.status != 404:
                raise
            stats = None
        if not is_of_comfyui(stats):
            raise Refused(f"what answers at {self.url} is no ComfyUI", _ELSEWHERE)
        return dict(stats)

    def object_info(self, class_type: str) -> dict[str, Any] | None:
        """A node class: its inputs and so on; None where there is no such class."""
        found = self._json("GET", f"/object_info/{quote(class_type, safe='')}")
        entry = found.get(class_type)
        return entry if isinstance(entry, dict) else None

    def class_names(self) -> list[str]:
        """Every node class."""
        return list(self._json("GET", "/object_info"))

    def models(self, folder: str) -> list[str]:
        """The model files in one of its folders, `checkpoints` for example."""
        found = self._json("GET", f"/models/{folder}", kind=list)
        return [str(name) for name in found]

    def queue(self) -> dict[str, str]:
        """The prompt_ids that are running or pending → which of the two."""
        found = self._json("GET", "/queue")
        states = (("running", "queue_running"), ("pending", "queue_pending"))
        entries = [(state, entry) for state, key in states for entry in found.get(key) or ()]
        return {str(entry[1]): state for state, entry in entries if isinstance(entry, list) and len(entry) > 1}

    def history(self, prompt_id: str) -> dict[str, Any] | None:
        """What became of a finished prompt; None while it is not, and where the server knows nothing of it."""
        found = self._json("GET", f"/history/{prompt_id}")
        entry = found.get(prompt_id)
        return entry if isinstance(entry, dict) else None

    def submit(self, graph: Mapping[str, Any], prompt_id: str, client_id: str) -> None:
        """Queue a prompt. Raises Refused, with its answer, where it is invalid; Unreachable where nobody knows."""
        body: dict[str, Any] = {"prompt": graph, "prompt_id": prompt_id, "client_id": client_id}
        if self._account_key:
            body["extra_data"] = {"api_key_comfy_org": self._account_key}
        answer = self._json("POST", "/prompt", json=body)
        if answer.get("node_errors"):  # the others run, and end in a success without this one
            raise Refused("", status=200, answer=answer)

    def cancel(self, prompt_id: str) -> None:
        """Take our own prompt out of the queue, or stop it; nobody else's."""
        self._send("POST", "/queue", json={"delete": [prompt_id]})
        # without an ID, or on a server too old to heed it, it would hit whatever is running
        if self.queue().get(prompt_id) == "running":
            self._send("POST", "/interrupt", json={"prompt_id": prompt_id})

    def free(self) -> None:
        """Have it unload its models and forget what it cached, before its next prompt."""
        self._send("POST", "/free", json={"unload_models": True, "free_memory": True})

    def upload(self, name: str, data: bytes, subfolder: str) -> str:
        """Put an image into the server's input folder, over one of the same name; what a LoadImage node calls it."""
        form = {"type": "input", "subfolder": subfolder, "overwrite": "true"}
        answer = self._json("POST", "/upload/image", data=form, files={"image": (name, data)})
        return "/".join(filter(None, (str(answer.get("subfolder", "")), str(answer.get("name", name)))))

    def view(self, image: Mapping[str, Any], check: Callable[[], None]) -> bytes:
        """The bytes of an image, as history names it. check: is called with each part of it, and may raise."""
        named = {key: image[key] for key in ("filename", "subfolder", "type") if key in image}
        data = self._send("GET", "/view", MAX_IMAGE, check, params=named)
        if self._hush.is_in(data):  # it would get into the output, which others see
            raise Refused(
                "the image has in it what COMFYUI_AUTH or COMFY_API_KEY holds",
                "see who runs that server, and change the secret",
            )
        return data

    def _json(self, method: str, path: str, kind: type = dict, **arguments: Any) -> Any:
        """The answer as JSON of this kind, dict or list. Raises Refused for anything else."""
        data = self._send(method, path, **arguments)
        if sum(data.count(sign) for sign in (b",", b"[", b"{")) > _MAX_VALUES:
            raise Refused(f"{method} {path} was answered with more than {_MAX_VALUES:,} values of JSON", _ELSEWHERE)
        try:
            found = self._hush.json(json.loads(data))
        except (ValueError, RecursionError):
            what = f"{method} {path} was answered with what is no JSON: {self._hush.line(data)}"
            raise Refused(what, _ELSEWHERE, may_pass=True) from None
        if not isinstance(found, kind):
            raise Refused(
                f"{method} {path} was answered by what is no ComfyUI: {self._hush.line(data, 80)}", _ELSEWHERE
            )
        return found

    def _send(
        self,
        method: str,
        path: str,
        limit: int = MAX_JSON,
        check: Callable[[], None] | None = None,
        **arguments: Any,
    ) -> bytes:
        """The body of a success. check: decides how long it may take; else that is WHOLE_S."""
        if not (self._auth.isascii() and self._auth.isprintable() and self._auth == self._auth.strip()):
            # what is below would say so too, and repeat it
            raise Refused("COMFYUI_AUTH holds what is no header value: a line break, or what is not ASCII", _AUTH)
        try:
            with (
                check_while_reading(check or deadline(WHOLE_S, _too_slow)),
                self._session().request(
                    method,
                    self.url + path,
                    timeout=(CONNECT_S, ANSWER_S),
                    allow_redirects=False,  # it may lead to another host
                    stream=True,
                    **arguments,
                ) as response,
            ):
                data = b"" if response.is_redirect else read(response, limit)
        except requests.exceptions.SSLError as error:
            what = f"the certificate of {self.url} is not accepted: {one_line(find_cause(error))}"
            raise Refused(what, "name the CA that signed it: REQUESTS_CA_BUNDLE=/path/to/ca.pem") from None
        except requests.exceptions.InvalidURL:
            raise Refused(f"{self.url} cannot be asked: it is no address", _ELSEWHERE) from None
        except requests.exceptions.RequestException as error:
            raise Unreachable(one_line(find_cause(error))) from None
        except (OSError, ValueError) as error:  # of what it is asked with: there is no such file, no such address
            what = f"{self.url} cannot be asked: {one_line(str(error))}"
            raise Refused(what, "correct COMFYUI_URL, or REQUESTS_CA_BUNDLE") from None
        if response.status_code in _PASSING:
            raise Unreachable(self._hush.line(f"{response.status_code} {response.reason}", 80))
        if response.status_code != 200:
            raise self._refused(method, path, response, data)
        return data

    def _refused(self, method: str, path: str, response: requests.Response, data: bytes) -> Refused:
        status = response.status_code
        if status in (401, 403, 407):
            said = self._hush.line(f"{status} {response.reason}", 80)
            what = f"{self.url} asks for authorization ({said}), and "
            if self._auth:
                return Refused(f"{what}the server does not take what COMFYUI_AUTH holds", _AUTH, status)
            if os.environ.get("COMFYUI_AUTH"):
                what += "COMFYUI_AUTH is sent to the server of COMFYUI_URL only"
                return Refused(what, "set COMFYUI_URL, or comfyui.server.url in [tool.imagegen], to this one", status)
            return Refused(f"{what}COMFYUI_AUTH is not set", _AUTH, status)
        if 300 <= status < 400:
            to = self._hush.line(response.headers.get("Location", "nowhere"))
            return Refused(f"{self.url} sends {method} {path} on to {to}", "set COMFYUI_URL to where it is", status)
        try:
            answer = self._hush.json(json.loads(data[:_LONGEST_REFUSAL]))
        except (ValueError, RecursionError):
            answer = None
        said = self._hush.line(f"{response.reason}: {data[:4096].decode('utf-8', 'replace')}").rstrip(": ")
        what = f"{method} {path} was answered with {status} {said}"
        return Refused(what, "", status, answer if isinstance(answer, dict) else None)

    def _session(self) -> Session:
        """A session for each thread: requests does not promise that one is safe to share."""
        if not hasattr(self._threads, "session"):
            self._threads.session = open_session(self.url, self._auth)
        session = self._threads.session
        assert isinstance(session, Session)  # noqa: S101 - set above
        return session


_AUTH = "set COMFYUI_AUTH to the whole header value, such as 'Bearer …'"
_COMPRESSED = "where a proxy before the server compresses, have it leave answers as they are"
_ELSEWHERE = "check the address: COMFYUI_URL, or comfyui.server.url in the job or in [tool.imagegen]"


def is_of_comfyui(stats: Any) -> bool:
    """Whether this is what ComfyUI answers to `/system_stats`."""
    if not isinstance(stats, dict) or not isinstance(stats.get("system"), dict):
        return False
    devices = stats.get("devices")
    return (
        "comfyui_version" in stats["system"]
        and isinstance(devices, list)
        and all(isinstance(device, dict) for device in devices)
    )


def read(response: requests.Response, limit: int) -> bytes:
    """The body. Raises Refused where it is more than so many bytes, or packed; and errors of `requests`."""
    path = response.request.path_url.partition("?")[0]
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise Refused(f"{path} was answered with what is compressed, which nobody asked for", _COMPRESSED)
    announced = response.headers.get("Content-Length", "")
    awaited = int(announced) if announced.isascii() and announced.isdigit() and len(announced) < 20 else 0
    too_large = Refused(f"the answer to {path} is larger than {limit // 1024**2} MiB")
    if awaited > limit:
        raise too_large
    data = io.BytesIO()
    while part := read_available(response):
        data.write(part)
        if data.tell() > limit:
            raise too_large
    if data.tell() < awaited:
        raise requests.exceptions.ConnectionError(f"only {data.tell()} of {awaited} bytes came")
    return data.getvalue()  # not copied once more, as a bytearray would be


def _too_slow() -> Unreachable:
    return Unreachable(f"the answer was not whole after {WHOLE_S:g} s")
