"""Talking to a ComfyUI server, the fake server or a real one, the way its clients do."""

from __future__ import annotations

import io
import json
import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import requests
from PIL import Image

__all__ = ["LONG", "Graph", "Talk", "png"]

Graph = dict[str, Any]
LONG = "a prompt that takes long"


def png(width: int = 64, height: int = 64, colour: int = 90) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (colour, 20, 30)).save(buffer, "PNG")
    return buffer.getvalue()


class Talk:
    """One client of the server at `url`, with an ID and a folder of its own."""

    def __init__(self, url: str, **always: Any) -> None:
        """always: what requests is told each time."""
        self.url = url
        self._always = always
        self.client_id = uuid.uuid4().hex
        self.folder = f"facts-{self.client_id[:8]}"
        self.checkpoint: str = self.get("/models/checkpoints").json()[0]

    def get(self, path: str, **more: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=30, **self._always, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> requests.Response:
        return requests.post(
            self.url + path, **({"json": body} if body is not None else {}), timeout=30, **self._always, **more
        )

    def graph(self, prefix: str = "x", **sampler: Any) -> Graph:
        """Text to image, 64×64, of a seed that nobody had."""
        settings: Graph = {"steps": 2, "cfg": 5, "sampler_name": "euler", "scheduler": "normal", "denoise": 1}
        links = {"model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}
        seed = {"seed": random.getrandbits(48)}
        return {
            "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": self.checkpoint}},
            "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
            "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a stone", "clip": ["4", 1]}},
            "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["4", 1]}},
            "3": {"class_type": "KSampler", "inputs": {**seed, **settings, **links, **sampler}},
            "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
            "9": {
                "class_type": "SaveImage",
                "inputs": {"images": ["8", 0], "filename_prefix": f"{self.folder}/{prefix}"},
            },
        }

    def submit(self, graph: Graph, **more: Any) -> str:
        """Queue it; its prompt_id."""
        answer = self.post("/prompt", {"prompt": graph, "client_id": self.client_id, **more})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["prompt_id"])

    def entry(self, id_: str, seconds: float = 60) -> dict[str, Any]:
        """What history says of it, when it does."""
        found: dict[str, Any] = self.until(lambda: self.get(f"/history/{id_}").json(), seconds)
        return dict(found[id_])

    def run(self, graph: Graph, **more: Any) -> dict[str, Any]:
        return self.entry(self.submit(graph, **more))

    def images(self, entry: dict[str, Any], node: str = "9") -> list[dict[str, str]]:
        return list(entry["outputs"][node]["images"])

    def data(self, graph: Graph, **more: Any) -> bytes:
        """The file of its first image."""
        return self.view(self.images(self.run(graph, **more))[0]).content

    def view(self, image: dict[str, str]) -> requests.Response:
        return self.get("/view", params=image)

    def picture(self, data: bytes) -> Image.Image:
        image = Image.open(io.BytesIO(data))
        image.load()
        return image

    def cached(self, entry: dict[str, Any]) -> list[str]:
        return sorted(dict(entry["status"]["messages"])["execution_cached"]["nodes"])

    def queue(self) -> tuple[list[str], list[str]]:
        """The IDs that run, and that wait."""
        found = self.get("/queue").json()
        return [job[1] for job in found["queue_running"]], [job[1] for job in found["queue_pending"]]

    def is_left(self, id_: str) -> bool:
        """Whether it runs or waits."""
        return any(id_ in ids for ids in self.queue())

    @contextmanager
    def occupied(self) -> Iterator[str]:
        """While a prompt of ours keeps the server from all others; its prompt_id."""
        graph = self.graph("long", steps=5000)
        graph["6"]["inputs"]["text"] = LONG
        id_ = self.submit(graph)
        try:
            self.until(lambda: id_ in self.queue()[0])
            time.sleep(0.3)  # the interruption of one that has not begun is lost
            yield id_
        finally:
            self.post("/interrupt", {"prompt_id": id_})
            self.until(lambda: id_ not in self.queue()[0])

    def until(self, holds: Callable[[], Any], seconds: float = 60) -> Any:
        end = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < end, "it did not come true"
            time.sleep(0.01)
        return found

    @contextmanager
    def socket(self, client_id: str | None = None, **more: Any) -> Iterator[Any]:
        websocket = pytest.importorskip("websocket")
        address = self.url.replace("http", "ws", 1) + f"/ws?clientId={client_id or self.client_id}"
        socket = websocket.create_connection(address, timeout=30, **more)
        try:
            yield socket
        finally:
            socket.close()

    def events(self, socket: Any, id_: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """What is told, up to the end of this prompt."""
        while True:
            text = socket.recv()
            if not isinstance(text, str) or not text:
                continue
            message = json.loads(text)
            yield message["type"], message["data"]
            if message["type"] == "executing" and (message["data"]["node"], message["data"].get("prompt_id")) == (
                None,
                id_,
            ):
                return

    def overheard(self, socket: Any, seconds: float = 0.5) -> list[str]:
        """The types of all that is told until it is quiet for so long."""
        heard = []
        socket.settimeout(seconds)
        with suppress(TimeoutError, pytest.importorskip("websocket").WebSocketTimeoutException):
            while True:
                heard.append(json.loads(socket.recv())["type"])
        return heard
