"""How the server makes an image: loading, waiting for its turn, steps, and all that goes wrong."""

from __future__ import annotations

import base64
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.backends.ollama.standin.picture import draw
from tests.backends.ollama.standin.program import Program
from tests.backends.ollama.standin.state import Fault
from tests.backends.ollama.standin.store import Model
from tests.backends.ollama.standin.versions import NOT_SUPPORTED, draws, number

__all__ = ["HOURS", "Gone", "Refusal", "Runner", "Send", "pause"]

BEFORE = ("http", "memory", "runner-memory", "mlx", "busy")
DURING = ("mid-stream", "early-end", "no-image", "hang", "slow", "server-dies", "large", "cut", "other-size", "not-png")
STEPS = {"Flux2KleinPipeline": 4}
FIVE_MINUTES = 300.0
HOURS = 36_000.0

Send = Callable[[dict[str, Any]], None]
Gone = Callable[[], bool]


class Refusal(Exception):  # noqa: N818
    """An answer with an error: its status where the stream has not begun."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Runner:
    """One image at a time; a model stays loaded."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.turn = threading.Lock()
        self.until: dict[str, float] = {}

    def loaded(self) -> list[str]:
        return [name for name, until in self.until.items() if until > time.time()]

    def generate(self, model: Model, request: dict[str, Any], send: Send, gone: Gone) -> None:
        """Raises Refusal."""
        prompt, keep_alive = request.get("prompt", ""), request.get("keep_alive")
        if not prompt and keep_alive == 0:
            self._unload(str(model.name))
            send({"done": True, "done_reason": "unload"})
            return
        if "image" not in model.config["capabilities"]:
            send({"response": "I am a language model.", "done": True})
            return
        if not draws(self.program.version):
            raise Refusal(400, NOT_SUPPORTED)
        if max(request["width"], request["height"]) > 4096:
            raise Refusal(400, "width and height must be <= 4096")
        if not self._wait(gone):
            return
        try:
            self._load(model, prompt)
            if prompt:
                self._draw(model, request, send, gone)
            else:
                send({"done": True, "done_reason": "load"})
        finally:
            seconds = FIVE_MINUTES if keep_alive is None else keep_alive if keep_alive >= 0 else 1e9
            if str(model.name) in self.until:
                self.until[str(model.name)] = time.time() + seconds
            if seconds == 0:
                self._unload(str(model.name))
            self.turn.release()

    def _wait(self, gone: Gone) -> bool:
        """For its turn. False: the client did not wait."""
        while not self.turn.acquire(timeout=0.05):
            if gone():
                return False
        return True

    def _load(self, model: Model, prompt: str) -> None:
        fault = self.program.state.take(BEFORE, prompt)
        if fault:
            raise _refusal(fault, self.program.version)
        if not self.program.has_mlx():
            raise _refusal(Fault("mlx", {}), self.program.version)
        version = number(self.program.version)
        if version in ((0, 16, 0), (0, 16, 1)):
            raise Refusal(500, "mlx runner failed:   model.norm.weight (exit: exit status 1)")
        if version == (0, 23, 2):
            raise Refusal(500, 'Post "http://127.0.0.1:55510/completion": EOF')
        if str(model.name) not in self.loaded():
            for other in list(self.until):  # one at a time fits
                self._unload(other)
            self.until[str(model.name)] = time.time() + FIVE_MINUTES
            self.program.state.log("served", event="load", model=str(model.name), time=time.time())

    def _unload(self, name: str) -> None:
        if self.until.pop(name, 0) > 0:
            self.program.state.log("served", event="unload", model=name, time=time.time())

    def _draw(self, model: Model, request: dict[str, Any], send: Send, gone: Gone) -> None:
        prompt, seed = request["prompt"], int(float(request["options"]["seed"]))
        pipeline = model.index["architecture"]
        steps = request["steps"] if request["steps"] > 0 else STEPS.get(pipeline, 9)
        size = (
            request["width"] if request["width"] > 0 else 1024,
            request["height"] if request["height"] > 0 else 1024,
        )
        asked = {"prompt": prompt, "width": size[0], "height": size[1], "steps": steps, "seed": max(seed, 0)}
        said = asked | {"model": str(model.name), "digest": model.digest, "images": len(request["images"])}
        self.program.state.log("served", event="start", time=time.time(), **said)
        fault = self.program.state.take(DURING, prompt)
        kind, details = (fault.kind, fault.details) if fault else ("", {})
        for step in range(steps + 1):
            send({"completed": step, "total": steps, "done": False})
            if step == steps // 2 and not self._goes_on(kind, details, gone):
                return
            if kind == "slow" and not pause(details["seconds"], gone):
                return
        if kind == "no-image" or number(self.program.version) == (0, 23, 1):
            send({"done": True})
            return
        if pipeline == "Flux2KleinPipeline":
            size = _rounded(*size)
        elif size[0] % 16 or size[1] % 16:
            raise Refusal(500, "mlx runner closed response before completion")
        data = _picture(kind, size, model.digest, prompt, seed if seed > 0 else time.time_ns(), steps)
        self.program.state.log("served", event="end", time=time.time(), **said)
        send({"done": True, "image": base64.b64encode(data).decode()})

    def _goes_on(self, kind: str, details: dict[str, Any], gone: Gone) -> bool:
        """Half-way. False: it just ends here."""
        if kind == "mid-stream":
            raise Refusal(500, details.get("text", "mlx runner closed response before completion"))
        if kind == "server-dies":
            os._exit(1)
        if kind == "hang":
            pause(HOURS, gone)
        return kind not in ("early-end", "hang")


def pause(seconds: float, gone: Gone) -> bool:
    """False: the client hung up meanwhile."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if gone():
            return False
        time.sleep(min(left, 0.02))
    return True


def _refusal(fault: Fault, version: str) -> Refusal:
    details = fault.details
    if fault.kind == "memory":
        need, have = details.get("need", "12.0 GiB"), details.get("have", "7.4 GiB")
        return Refusal(500, f"model requires {need} but only {have} are available (after 512.0 MiB overhead)")
    if fault.kind == "runner-memory":
        need, have = details.get("need", 11), details.get("have", 8)
        why = f"insufficient memory for image generation: need {need} GB, have {have} GB"
        said = f"Error: failed to create server: failed to load image model: {why}"
        return Refusal(500, f"mlx runner failed: {said} (exit: exit status 1)")
    if fault.kind == "mlx":
        return Refusal(500, f"mlx runner failed: Error: {_no_mlx(version)} (exit: exit status 1)")
    if fault.kind == "busy":
        return Refusal(503, "server busy, please try again.  maximum pending requests exceeded")
    return Refusal(details.get("status", 500), details.get("text", "something went wrong"))


def _no_mlx(version: str) -> str:
    if number(version) < (0, 18, 0):
        return "MLX runner not available: build with mlx tag"
    if number(version) < (0, 30, 0):
        return "failed to initialize MLX: libmlxc.so not found"
    return "failed to initialize MLX: failed to load MLX dynamic library (searched: [/usr/local/lib/ollama])"


def _picture(kind: str, size: tuple[int, int], *what: object) -> bytes:
    if kind == "not-png":
        return b"GIF89a" + bytes(100)
    if kind == "large":
        return os.urandom(6_100_000)
    data = draw(*(edge // 2 if kind == "other-size" else edge for edge in size), *what)
    return data[: len(data) // 2] if kind == "cut" else data


def _rounded(width: int, height: int) -> tuple[int, int]:
    """What FLUX.2 makes of a size, without a word."""
    limit = 2048 * 2048
    if width * height > limit:
        scale = (limit / (width * height)) ** 0.5
        width, height = round(width * scale / 16) * 16, round(height * scale / 16) * 16
    return (width + 8) // 16 * 16, (height + 8) // 16 * 16
