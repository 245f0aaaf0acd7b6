"""A backend that plays a script: for tests of the build, with no generator and nothing patched.

It generates one plain colour, which follows from the request, and can be slow, fail, return something else than an
image of the size asked for, or wait to be cancelled. For processes that tests start it is a plug-in like any other.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from imagegen.backends.base import (
    Backend,
    Diagnosis,
    GeneratedImage,
    GenerationError,
    MayBePaidError,
    ModelIdentity,
    Progress,
    Resolved,
)
from imagegen.errors import ImagegenError, Problem
from imagegen.plan.naming import is_output_name
from imagegen.plan.request import Request, canonical_fields, fingerprint

__all__ = ["Script", "ScriptedBackend", "provide"]

_PATHS = [str(Path(__file__).parent / "plugins"), str(Path(__file__).parents[1])]
"""Where the plug-in's metadata are, and what they name."""


def provide() -> None:
    """Have this process, and all that it starts, find the backend as if its package was installed."""
    sys.path += [path for path in _PATHS if path not in sys.path]
    known = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([*known, *_PATHS]))


@dataclass
class Script:
    """What the backend does.

    acts: by an item's name, one mapping for each call in turn (the last one repeats), with any of
    `delay_s` (seconds), `waiting` (text: what it waits for, reported first), `steps` (a number, reported over the delay),
    `error` (text), `crash` (text: an exception that no backend should raise),
    `data` (text: returned in place of an image), `size` ([width, height] in place of the one asked for),
    `cut` (bytes to cut off the end), `format` (png, webp or jpeg), `hang` (true: until it is cancelled),
    `until` (text: the file that it takes until), `lost` (text: it may have been paid for, and the answer is lost), `kill` (true: its process is killed meanwhile).
    prices: by an item's name, or `*` for all others, what an image costs; null if that is not known.
    problems: by an item's name, what preflight finds. digest: of the model. in_flight: requests at a time.
    log: a file that gets one JSON line for each event (preflight, started, finished, failed, cancelled), with the time of
    day and the processor time that the process has used so far.
    """

    acts: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    prices: Mapping[str, str | None] = field(default_factory=dict)
    digest: str | None = None
    in_flight: int = 2
    log: str | None = None


class ScriptedBackend(Backend):
    """Plays `script`, or the JSON file that a job's `scripted.script` names, read again at each call."""

    name = "scripted"
    parameters = frozenset(
        {"prompt", "negative", "width", "height", "steps", "cfg", "sampler", "scheduler", "seed", "images"}
    )
    options: Mapping[str, Any] = {
        "script": {"type": "text", "minlength": 1, "meta": {"description": "The JSON file with the script."}},
        "model": {"type": "text", "minlength": 1, "meta": {"description": "A model ID, as a real backend has one."}},
        "images": {
            "type": "mapping",
            "valuesrules": {"type": "text", "minlength": 1},
            "meta": {"description": "Reference images by any name: files, or other outputs. The colour follows."},
        },
    }
    model_option = "model"
    default_model = "colours"
    is_generator = True

    def __init__(self, script: Script | None = None) -> None:
        self._script = script
        self._calls: dict[str, int] = {}
        self._mutex = threading.Lock()
        self.events: list[tuple[str, str]] = []

    @property
    def in_flight(self) -> int:
        """Requests at a time."""
        return self._script.in_flight if self._script else 1

    def resolve(self, section: Mapping[str, Any]) -> Resolved:
        """Read the reference images that are files."""
        extra = {key: value for key, value in section.items() if key not in ("model", "images")}
        origins, images, files = {}, {}, {}
        for place, named in section.get("images", {}).items():
            if is_output_name(named):
                origins[place] = named
                continue
            try:
                images[place] = hashlib.sha256(self.context.read(named)).hexdigest()
            except ImagegenError as error:
                raise ImagegenError(*(replace(p, where=f"images.{place}") for p in error.problems)) from None
            files[images[place]] = named
        extra |= {"images": images} if images else {}
        return Resolved(extra, section.get("model", self.default_model), origins=origins, files=files)

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        """The problems that the script names for these items."""
        script = self._read(requests[0]) if requests else Script()
        self._log(script, "preflight", ",".join(request.name for request in requests))
        return [Problem(name, what) for name, what in _wrong(script, requests).items()]

    def diagnose(self, requests: Sequence[Request]) -> Sequence[Diagnosis]:
        """What preflight would find, or that the script is there."""
        wrong = _wrong(self._read(requests[0]), requests)
        rows = [Diagnosis(False, name, what, "this is only a script") for name, what in wrong.items()]
        return rows or [Diagnosis(True, "", "plays its script")]

    def model_identity(self, request: Request) -> ModelIdentity:
        """With the script's digest."""
        digest = self._read(request).digest
        script = request.extra.get("script")
        if not (digest and script):
            return ModelIdentity(request.model, digest)
        return ModelIdentity(request.model, digest, (str(Path(script).absolute()),))

    def price(self, request: Request) -> Decimal | None:
        """What the script says; 0 if it says nothing."""
        prices = self._read(request).prices
        price = prices.get(request.name, prices.get("*", "0"))
        return None if price is None else Decimal(price)

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """One plain colour, or what the script says."""
        script = self._read(request)
        act = self._act(script, request.name)
        self._log(script, "started", request.name)
        try:
            progress.event("started")
            for place, sha256 in request.extra.get("images", {}).items():
                if hashlib.sha256(progress.file(sha256).read_bytes()).hexdigest() != sha256:
                    raise GenerationError(f"images.{place} is not what it was", "this is only a script")
            if act.get("hang"):
                while True:
                    progress.wait(1.0)
            while "until" in act and not os.path.exists(act["until"]):  # noqa: PTH110
                progress.wait(0.02)
            self._wait(act, progress)
            progress.check()
            if "crash" in act:
                raise RuntimeError(act["crash"])
            if act.get("kill"):
                os.kill(os.getpid(), signal.SIGKILL)
            if "lost" in act:
                raise MayBePaidError(act["lost"], "this is only a script")
            if "error" in act:
                raise GenerationError(act["error"], "this is only a script")
            data = act["data"].encode() if "data" in act else self._draw(request, act)
        except BaseException as error:
            self._log(script, "cancelled" if type(error).__name__ == "Cancelled" else "failed", request.name)
            raise
        self._log(script, "finished", request.name)
        return GeneratedImage(data[: -act["cut"]] if act.get("cut") else data, {"device": "none"})

    @staticmethod
    def _wait(act: Mapping[str, Any], progress: Progress) -> None:
        steps = int(act.get("steps", 0))
        if "waiting" in act:
            progress.event("waiting", text=act["waiting"])
        for step in range(1, steps + 2):
            progress.wait(float(act.get("delay_s", 0)) / (steps + 1))
            if step <= steps:
                progress.event("steps", done=step, total=steps)

    def _draw(self, request: Request, act: Mapping[str, Any]) -> bytes:
        from PIL import Image

        colour = hashlib.sha256(fingerprint(canonical_fields(request, self.parameters)).encode()).digest()[:3]
        size = tuple(act.get("size", (request.width, request.height)))
        buffer = io.BytesIO()
        Image.new("RGB", size, tuple(colour)).save(buffer, act.get("format", "png"))
        return buffer.getvalue()

    def _act(self, script: Script, name: str) -> Mapping[str, Any]:
        with self._mutex:
            call = self._calls[name] = self._calls.get(name, 0) + 1
        acts = script.acts.get(name) or script.acts.get("*") or [{}]
        return acts[min(call, len(acts)) - 1]

    def _read(self, request: Request) -> Script:
        if self._script is not None:
            return self._script
        path = request.extra.get("script")
        try:
            return Script(**json.loads(Path(path).read_text("utf-8"))) if path else Script()
        except (OSError, ValueError, TypeError) as error:
            raise ImagegenError(Problem("", f"the script {path} cannot be read: {error}", "correct the file")) from None

    def _log(self, script: Script, event: str, name: str) -> None:
        with self._mutex:
            if self._script is not None:  # else a test reads the log
                self.events.append((event, name))
            if script.log:
                descriptor = os.open(script.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
                line = {"event": event, "name": name, "at_s": time.time(), "cpu_s": time.process_time()}
                os.write(descriptor, json.dumps(line).encode() + b"\n")
                os.close(descriptor)


def _wrong(script: Script, requests: Sequence[Request]) -> dict[str, str]:
    return {request.name: script.problems[request.name] for request in requests if request.name in script.problems}
