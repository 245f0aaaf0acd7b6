"""ComfyUI's HTTP API and its websocket at one address.

Source of the facts: a real server, v0.33.0.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import quote

from imagegen.backends.comfyui import swarmui
from imagegen.backends.json_api import JsonApi, Refused, Unreachable

if TYPE_CHECKING:
    import requests

__all__ = ["Client", "Events", "is_koboldcpp"]

MAX_IMAGE = 256 * 1024**2
"""Bytes of an image that are read: the pixels of the largest one that is decoded take so many unpacked."""


class Client(JsonApi):
    """One server, for many threads.

    Args:
        url: without a slash at its end.
        auth: the value of the Authorization header.
        account_key: of the Comfy.org account that pays for the server's partner nodes; it goes along with each prompt.
    """

    api = "ComfyUI"
    url_setting = "COMFYUI_URL, or comfyui.server.url in [tool.imagegen]"
    auth_setting = "COMFYUI_AUTH"

    def __init__(self, url: str, auth: str = "", account_key: str = "") -> None:
        super().__init__(url, auth, account_key)
        self._account_key = account_key

    def system_stats(self) -> dict[str, Any]:
        """Return `system` and `devices`. Raises Refused if what answers is not ComfyUI."""
        try:
            stats = self._json("GET", "/system_stats")
        except Refused as refused:
            if refused.status != 404 or refused.hint:
                raise
            stats = None
        if not _is_comfyui(stats):
            raise Refused(f"what answers at {self.url} is not ComfyUI", self._check_address)
        if is_koboldcpp(stats):
            what = (
                f"what answers at {self.url} is koboldcpp, which has ComfyUI's API, but may answer with another image"
            )
            raise Refused(what, f"write backend: a1111, and a1111.server.url: {self.url}", _OK)
        return dict(stats)

    def object_info(self, class_type: str) -> dict[str, Any] | None:
        """Return a node class with its inputs and outputs; None if there is no such class."""
        found = self._json("GET", f"/object_info/{quote(class_type, safe='')}")
        entry = found.get(class_type)
        return entry if isinstance(entry, dict) else None

    def class_names(self) -> list[str]:
        """Return the names of all node classes."""
        return list(self._json("GET", "/object_info"))

    def models(self, folder: str) -> list[str]:
        """Return the names of the model files in one of its folders, `checkpoints` for example."""
        found = self._json("GET", f"/models/{folder}", kind=list)
        return [str(name) for name in found]

    def queue(self) -> dict[str, Literal["running", "pending"]]:
        """Return the prompt IDs that are running or pending → which of the two."""
        found = self._json("GET", "/queue")
        states: dict[str, Literal["running", "pending"]] = {}
        for state in get_args(Literal["running", "pending"]):
            for entry in found.get(f"queue_{state}") or ():
                if isinstance(entry, list) and len(entry) > 1:
                    states[str(entry[1])] = state
        return states

    def history(self, prompt_id: str) -> dict[str, Any] | None:
        """Return what became of a prompt; None if it is not finished, or the server has no record of it."""
        found = self._json("GET", f"/history/{prompt_id}")
        entry = found.get(prompt_id)
        return entry if isinstance(entry, dict) else None

    def submit(self, graph: Mapping[str, Any], prompt_id: str, client_id: str) -> None:
        """Queue a prompt. Raises Refused, with its answer, if it is not valid; Unreachable if nobody knows."""
        body: dict[str, Any] = {"prompt": graph, "prompt_id": prompt_id, "client_id": client_id}
        if self._account_key:
            body["extra_data"] = {"api_key_comfy_org": self._account_key}
        answer = self._json("POST", "/prompt", json=body)
        if answer.get("node_errors"):  # the other outputs run, and end in a success without this one
            raise Refused("", status=200, answer=answer)

    def cancel(self, prompt_id: str) -> None:
        """Take our own prompt out of the queue, or stop it; never anybody else's."""
        self._send("POST", "/queue", json={"delete": [prompt_id]})
        # without an ID, or on a server too old to heed it, it would hit whatever is running
        if self.queue().get(prompt_id) == "running":
            self._send("POST", "/interrupt", json={"prompt_id": prompt_id})

    def free(self) -> None:
        """Have the server unload its models and empty its cache before its next prompt."""
        self._send("POST", "/free", json={"unload_models": True, "free_memory": True})

    def upload(self, name: str, data: bytes, subfolder: str) -> str:
        """Put an image into the server's input folder, over one of the same name; return LoadImage's name for it."""
        form = {"type": "input", "subfolder": subfolder, "overwrite": "true"}
        answer = self._json("POST", "/upload/image", data=form, files={"image": (name, data)})
        return "/".join(filter(None, (str(answer.get("subfolder", "")), str(answer.get("name", name)))))

    def view(self, image: Mapping[str, Any], check: Callable[[], None]) -> bytes:
        """Download an image, as the history names it. `check` is called with each part of it, and may raise."""
        params = {key: image[key] for key in ("filename", "subfolder", "type") if key in image}
        data = self._send("GET", "/view", MAX_IMAGE, check, params=params)
        if self._redactor.is_in(data):  # it would get into the output, which others see
            raise Refused(
                "the image has in it what COMFYUI_AUTH or COMFY_API_KEY holds",
                "see who runs that server, and change the secret",
            )
        return data

    def _refused(self, method: str, path: str, response: requests.Response, data: bytes) -> Refused:
        """Return what the answer means. Raises Unreachable if SwarmUI, which passes calls on, has no ComfyUI."""
        location = response.headers.get("Location", "")
        error = swarmui.explain_answer(self.url, response.status_code, location, data)
        if isinstance(error, Unreachable):
            raise error
        return error or super()._refused(method, path, response, data)


def _is_comfyui(stats: Any) -> bool:
    """Whether this is ComfyUI's answer to /system_stats."""
    if not isinstance(stats, dict) or not isinstance(stats.get("system"), dict):
        return False
    devices = stats.get("devices")
    return (
        "comfyui_version" in stats["system"]
        and isinstance(devices, list)
        and all(isinstance(device, dict) for device in devices)
    )


def is_koboldcpp(stats: Any) -> bool:
    """Whether this answer to /system_stats is koboldcpp's: it gives everybody its last image, even another person's.

    Source: its koboldcpp.py, 1.117.
    """
    devices = stats.get("devices") if isinstance(stats, dict) else None
    return isinstance(devices, list) and any(
        isinstance(one, dict) and one.get("name") == "koboldcpp" for one in devices
    )


_OK = 200
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


@dataclass(frozen=True)
class _Watched:
    """What happens when the websocket reports on one prompt."""

    steps: Callable[[int, int], None]
    node: Callable[[str], None]
    done: threading.Event


class Events:
    """The websocket: it reports nodes, steps and the end of our prompts, from a thread of its own.

    Polling decides, so a websocket that is refused, silent or broken costs only the display of steps; so does a missing
    package `websocket-client` (the extra `comfyui`). Each object has a client ID that no other has had: of two
    connections with one ID, the newer goes silent when the older closes.
    """

    def __init__(self, url: str, auth: str) -> None:
        self.client_id = uuid.uuid4().hex
        self._mutex = threading.Lock()
        self._watched: dict[str, _Watched] = {}
        self._socket: Any = None
        self._closing = threading.Event()
        threading.Thread(target=self._listen, args=(url, auth), name="comfyui events", daemon=True).start()

    def watch(
        self, prompt_id: str, steps: Callable[[int, int], None], node: Callable[[str], None] = lambda _: None
    ) -> threading.Event:
        """Call `steps` with (done, total) of this prompt from now on, and `node` with each node that begins.

        Returns:
            An event that is set when the prompt seems done.
        """
        watched = _Watched(steps, node, threading.Event())
        with self._mutex:
            self._watched[prompt_id] = watched
        return watched.done

    def forget(self, prompt_id: str) -> None:
        """Stop watching the prompt."""
        with self._mutex:
            self._watched.pop(prompt_id, None)

    def reconnect(self) -> None:
        """Connect again, with another client ID."""
        self.client_id = uuid.uuid4().hex
        if self._socket is not None:
            self._socket.abort()

    def close(self) -> None:
        """End the connection."""
        self._closing.set()
        if self._socket is not None:
            self._socket.close()

    def _listen(self, url: str, auth: str) -> None:
        """Connect, and connect again after a pause whenever the connection ends or fails."""
        try:
            import websocket  # noqa: F401 - without it there is nothing to listen with
        except ImportError:
            return
        pause_s = _PAUSES_S[0]
        while not self._closing.is_set():
            # the run may be over by the time that the connection stands
            try:
                with contextlib.closing(self._connected(url, auth)) as self._socket:
                    pause_s = _PAUSES_S[0]
                    self._read(self._socket)
            except _TooMuchError:
                return  # it would come again, and what a connection read is not always free at once
            except Exception:  # noqa: S110 - polling finds out whatever there is to find out
                pass
            self._closing.wait(pause_s)
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

    def _read(self, connection: Any) -> None:
        connection.settimeout(None)
        while not self._closing.is_set():
            connection.sock.left = _MOST
            message = connection.recv()
            if message == "":
                return
            if isinstance(message, str) and len(message) <= _MOST_TEXT:  # the others are previews of pictures
                self._handle(json.loads(message))

    def _handle(self, message: Any) -> None:
        data = message.get("data") if isinstance(message, dict) else None
        if not isinstance(data, dict):
            return
        with self._mutex:
            watched = self._watched.get(str(data.get("prompt_id")))
        if watched is None:
            return
        done, total = data.get("value"), data.get("max")
        if message.get("type") == "progress" and _are_steps(done, total):
            watched.steps(int(data["value"]), int(data["max"]))
        if message.get("type") == "executing":
            if data.get("node") is not None:
                watched.node(str(data["node"]))
            else:  # the history has the prompt by then, which it does not always at `execution_success`
                watched.done.set()


def _are_steps(done: object, total: object) -> bool:
    return type(done) is int and type(total) is int and 0 <= done <= total <= _MOST_STEPS and total > 0


def _bounded(base: type[Any]) -> type[Any]:
    """Return the package's WebSocket with a limit: by itself it takes a head, and a message, of any size.

    Everything that it reads, from the first byte of the head on, it reads from its `sock`.
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
    """More came than the longest message has."""


class _Limited:
    """A socket from which only `left` more bytes can be read."""

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
