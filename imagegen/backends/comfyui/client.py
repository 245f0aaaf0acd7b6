"""ComfyUI's HTTP API and its websocket at one address.

Each call of the API is made once and gives its answer, or what went wrong. This is the one boundary at which errors of
`requests` are translated. Source of the facts: a real server, v0.33.0.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import threading
import uuid
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
    read_available,
)
from imagegen.backends.text import one_line

__all__ = [
    "Client",
    "Events",
    "Refused",
    "Unreachable",
    "is_comfyui",
    "read_body",
]


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
        if not is_comfyui(stats):
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
                data = b"" if response.is_redirect else read_body(response, limit)
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
            self._threads.session = Session(self.url, self._auth)
        session = self._threads.session
        assert isinstance(session, Session)  # noqa: S101 - set above
        return session


_AUTH = "set COMFYUI_AUTH to the whole header value, such as 'Bearer …'"
_COMPRESSED = "where a proxy before the server compresses, have it leave answers as they are"
_ELSEWHERE = "check the address: COMFYUI_URL, or comfyui.server.url in the job or in [tool.imagegen]"


def is_comfyui(stats: Any) -> bool:
    """Whether this is what ComfyUI answers to `/system_stats`."""
    if not isinstance(stats, dict) or not isinstance(stats.get("system"), dict):
        return False
    devices = stats.get("devices")
    return (
        "comfyui_version" in stats["system"]
        and isinstance(devices, list)
        and all(isinstance(device, dict) for device in devices)
    )


def read_body(response: requests.Response, limit: int) -> bytes:
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


_CONNECT_S = 5.0
_PAUSES_S = 1.0, 30.0
"""Seconds between two connections, the first and the most: a server that restarts takes a while."""
_MOST = 16 * 1024**2
"""Bytes that are read for one message, previews of pictures and all that comes with it: the largest have a few MB."""
_MOST_TEXT = 1024**2
"""Characters of a message that is understood; what is of use here has some hundred."""
_LEAST = 64
"""Bytes that a read counts for at least, since each takes time: of the head each byte is read by itself."""
_MOST_STEPS = 1_000_000


class Events:
    """One connection at a time, from a thread of its own, with a client ID that no other has had.

    Source of the facts: of two connections with one ID, the newer goes silent when the older closes.
    """

    def __init__(self, url: str, auth: str) -> None:
        self.client_id = uuid.uuid4().hex
        self._mutex = threading.Lock()
        self._steps: dict[str, Callable[[int, int], None]] = {}
        self._nodes: dict[str, Callable[[str], None]] = {}
        self._done: dict[str, threading.Event] = {}
        self._socket: Any = None
        self._over = threading.Event()
        threading.Thread(target=self._listen, args=(url, auth), name="comfyui events", daemon=True).start()

    def watch(
        self, prompt_id: str, steps: Callable[[int, int], None], node: Callable[[str], None] = lambda _: None
    ) -> threading.Event:
        """From now on `steps` is called with (done, total) of this prompt, and `node` with each node that begins.

        The event is set when it seems done.
        """
        with self._mutex:
            self._steps[prompt_id] = steps
            self._nodes[prompt_id] = node
            return self._done.setdefault(prompt_id, threading.Event())

    def forget(self, prompt_id: str) -> None:
        """It is not watched any more."""
        with self._mutex:
            self._steps.pop(prompt_id, None)
            self._nodes.pop(prompt_id, None)
            self._done.pop(prompt_id, None)

    def close(self) -> None:
        """The connection ends."""
        self._over.set()
        if self._socket is not None:
            self._socket.close()

    def _listen(self, url: str, auth: str) -> None:
        """Connect, and once more after a pause where the connection ends or there is none."""
        try:
            import websocket  # noqa: F401 - without it there is nothing to listen with
        except ImportError:
            return
        pause_s = _PAUSES_S[0]
        while not self._over.is_set():
            # polling finds out whatever there is to find out; and the run may be over by the time that it stands
            try:
                with contextlib.closing(self._connected(url, auth)) as self._socket:
                    pause_s = _PAUSES_S[0]
                    self._hear(self._socket)
            except _TooMuchError:
                return  # it would come again, and what a connection read is not always free at once
            except Exception:  # noqa: S110 - as said
                pass
            self._over.wait(pause_s)
            pause_s = min(2 * pause_s, _PAUSES_S[1])

    def _connected(self, url: str, auth: str) -> Any:
        import websocket

        authority = os.environ.get("REQUESTS_CA_BUNDLE")
        return websocket.create_connection(
            f"ws{url.removeprefix('http')}/ws?clientId={self.client_id}",
            timeout=_CONNECT_S,
            header=[f"Authorization: {auth}"] if auth else [],
            sslopt={"ca_certs": authority} if authority else {},
            redirect_limit=0,
            # byte by byte in Python, which takes longer than all else here; what is none fails as it is decoded
            skip_utf8_validation=True,
            class_=_bounded(websocket.WebSocket),
        )

    def _hear(self, connection: Any) -> None:
        connection.settimeout(None)
        while not self._over.is_set():
            connection.sock.left = _MOST
            message = connection.recv()
            if message == "":
                return
            if isinstance(message, str) and len(message) <= _MOST_TEXT:  # the others are previews of pictures
                self._take(json.loads(message))

    def _take(self, message: Any) -> None:
        data = message.get("data") if isinstance(message, dict) else None
        if not isinstance(data, dict):
            return
        prompt_id = str(data.get("prompt_id"))
        with self._mutex:
            steps, done = self._steps.get(prompt_id), self._done.get(prompt_id)
            node = self._nodes.get(prompt_id)
        now, total = data.get("value"), data.get("max")
        if message.get("type") == "progress" and steps and _are_steps(now, total):
            steps(int(data["value"]), int(data["max"]))
        if message.get("type") == "executing" and data.get("node") is not None and node:
            node(str(data["node"]))
        # history has it by then, which it does not always at `execution_success`
        if message.get("type") == "executing" and data.get("node") is None and done:
            done.set()


def _are_steps(now: object, total: object) -> bool:
    return type(now) is int and type(total) is int and 0 <= now <= total <= _MOST_STEPS and total > 0


def _bounded(base: type[Any]) -> type[Any]:
    """The package's WebSocket, which by itself takes a head, and a message, of any size.

    All that it reads, from the first byte of the head on, it reads from its `sock`.
    """

    class Bounded(base):  # type: ignore[misc]  # the package is not needed
        @property
        def sock(self) -> _Limited | None:
            return self._limited

        @sock.setter
        def sock(self, sock: Any) -> None:
            self._limited = sock and _Limited(sock)

    return Bounded


class _TooMuchError(Exception):
    """More came than a message has."""


class _Limited:
    """A socket from which `left` bytes can be read, for now."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.left = _MOST_TEXT  # for the head

    def recv(self, size: int) -> bytes:
        data: bytes = self._sock.recv(size)
        self.left -= max(len(data), _LEAST)
        if self.left < 0:
            raise _TooMuchError
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)
