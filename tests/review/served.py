"""A small project, and the real `doit review` on it in a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from imagegen.backends.placeholder import PlaceholderBackend
from tests.project_folder import ProjectFolder

__all__ = ["STARTED", "Answer", "Listener", "Served", "ask", "post", "small_project", "wait_until"]

_JOB = {"backend": "placeholder", "generate": {"width": 48, "height": 64}}


def small_project(root: Path) -> ProjectFolder:
    """Return a project that is built: `portraits` has three variants of each item, `places` none, `icons` a derived file."""
    folder = ProjectFolder(root, _JOB)
    folder.backends["placeholder"] = PlaceholderBackend
    folder.job(
        "portraits",
        variants=3,
        items=[{"name": "Mallsing", "prompt": "a tall figure"}, {"name": "Yrr", "prompt": "a small figure"}],
    )
    folder.job("places", items=[{"name": name, "prompt": f"a {name}"} for name in ("harbour", "gate", "marsh")])
    folder.job("icons", items=[{"name": "raven", "prompt": "a raven"}], derive={"small": {"width": 24}})
    folder.build()
    return folder


def wait_until(holds: Callable[[], object], what: Callable[[], object] = lambda: "it never came true") -> None:
    """Wait until it holds. what: to say if it does not."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, what()
        time.sleep(0.02)


@dataclass(frozen=True)
class Answer:
    """What the server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(url: str, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
    """Send a request for a path after the page's address, and read the answer to its end."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        connection.request(method, f"{parts.path}{path}", body, headers or {})
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, response.read())
    finally:
        connection.close()


def post(url: str, path: str, body: Any) -> Answer:
    """Send what the script of the page at this address sends."""
    headers = {"Content-Type": "application/json", "Origin": f"http://{urlsplit(url).netloc}"}
    return ask(url, "POST", path, json.dumps(body).encode(), headers)


class Listener:
    """Hears what a page that is open hears."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self._connection.request("GET", f"{parts.path}events")
        self._socket = self._connection.sock
        self._response = self._connection.getresponse()
        if self._response.status != 200:
            self._connection.close()
            raise ConnectionRefusedError(self._response.read())
        self.events: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):  # the server was killed, or `close` called
            for line in self._response:
                if line.startswith(b"data: "):
                    self.events.append(json.loads(line[6:]))

    @property
    def is_over(self) -> bool:
        """Whether the stream has ended."""
        return not self._thread.is_alive()

    def wait_for(self, event: str, **fields: Any) -> dict[str, Any]:
        """Wait for an event with these fields, and return the first of those that there are."""

        def found() -> list[dict[str, Any]]:
            wanted = {"event": event, **fields}
            return [one for one in self.events if wanted.items() <= one.items()]

        wait_until(found, lambda: f"no {event} {fields} among {self.events}")
        return found()[0]

    def close(self) -> None:
        with contextlib.suppress(OSError):  # it has ended
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._response.close()
        self._connection.close()


STARTED: list[Served] = []
"""All that were started in this module: what a test that fails leaves running is ended with it."""


class Served:
    """`doit review --no-open` on a project, until it is ended."""

    def __init__(
        self, folder: ProjectFolder, *words: str, log: Path | None = None, opens: bool = False, **environment: str
    ) -> None:
        """Start it, and wait for its address.

        Args:
            words: options besides `--no-open`.
            log: for its output.
            opens: without `--no-open`.
            environment: variables for it.
        """
        self.folder = folder
        self._log = log or folder.root.with_name(f"{folder.root.name}-review.log")
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "doit", "review", *([] if opens else ["--no-open"]), *words],
                cwd=folder.root,
                env=folder.process_environment(**environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        STARTED.append(self)
        wait_until(lambda: "http://" in self.output or self.process.poll() is not None)
        found = re.search(r"http://\S+", self.output)
        assert found, self.output
        self.url = found[0]
        self._listeners: list[Listener] = []

    @property
    def output(self) -> str:
        """All that it has printed."""
        return self._log.read_text("utf-8")

    @property
    def secret(self) -> str:
        return urlsplit(self.url).path.strip("/")

    @property
    def host(self) -> str:
        """The address without the secret, as the header `Host` has it."""
        return urlsplit(self.url).netloc

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """Send a request for a path after the secret, and read the answer to its end."""
        return ask(self.url, method, path, body, headers)

    def post(self, path: str, body: Any) -> Answer:
        """Send what the page's own script sends."""
        return post(self.url, path, body)

    def listen(self) -> Listener:
        self._listeners.append(Listener(self.url))
        return self._listeners[-1]

    def end_listening(self) -> None:
        """Close the streams of all who listen."""
        while self._listeners:
            self._listeners.pop().close()

    def run(self, command: str, *images: str, **options: Any) -> int:
        """Have the page's server run a command. Returns the action's number."""
        answer = self.post("run", {"command": command, "images": list(images), **options})
        assert answer.status == 200, answer
        number: int = answer.json["number"]
        return number

    def wait_until_it_says(self, text: str) -> None:
        wait_until(lambda: text in self.output, lambda: self.output)

    def press_ctrl_c(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Wait for its end. Returns its exit code."""
        return self.process.wait(60)

    def end(self) -> None:
        """End it, whatever it is doing."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.end_listening()
        assert "Traceback" not in self.output, self.output
