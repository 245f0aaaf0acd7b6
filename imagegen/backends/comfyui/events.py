"""What ComfyUI tells over its websocket: nodes and steps of our prompts, and that one is done. It decides nothing.

Polling is the truth, so a socket that is refused, silent or broken costs only the display of steps. It takes the
package `websocket-client`, the extra `comfyui`; without it there is none.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import uuid
from collections.abc import Callable
from typing import Any

__all__ = ["Events"]

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
