"""The process: it loads the model, then listens, and generates one image after another."""

from __future__ import annotations

import base64
import errno
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.backends.sd.fake_sd_server.command_line import SAMPLERS, SCHEDULERS, Arguments, parse, say
from tests.backends.sd.fake_sd_server.picture import InvalidError, Picture, read_body
from tests.backends.sd.fake_sd_server.state import Fault, State
from tests.backends.sd.fake_sd_server.weights import Model, UnreadableError, bar, load, read_tensors

__all__ = ["main"]

_FORM_BYTES = 8192
"""The longest body that is taken for a form's."""
_SUFFIXES = (".gguf", ".pt", ".pth", ".safetensors")


@dataclass
class _Job:
    """A request in the queue, or what became of it."""

    id: str
    picture: Picture
    created: int
    status: str = "queued"
    started: int | None = None
    completed: int | None = None
    ended_at: float = 0.0
    image: bytes = b""
    error: dict[str, str] | None = None


class _Engine:
    """The queue, and the thread that works on it."""

    def __init__(self, arguments: Arguments, model: Model, state: State) -> None:
        self.arguments, self.model, self.state = arguments, model, state
        self.jobs: dict[str, _Job] = {}
        self._queue: deque[_Job] = deque()
        self._expired: set[str] = set()
        self._changed = threading.Condition()
        self._spoiled = 0
        threading.Thread(target=self._work, daemon=True).start()

    def capabilities(self) -> dict[str, Any]:
        path = Path(self.arguments.get("--model") or self.arguments["--diffusion-model"])
        loras = [{"name": Path(one).stem, "path": one} for one in self._list_loras()]
        return {
            "current_mode": "img_gen",
            "limits": {"max_height": 4096, "max_width": 4096, "max_queue_size": self.state.play["queue"]},
            "features": {"cancel_generating": False, "cancel_queued": True, "lora": True, "ref_images": True},
            "loras": loras,
            "model": {"name": path.name, "path": str(path), "stem": path.stem},
            "output_formats": ["png", "jpeg", "webp"],
            "samplers": SAMPLERS,
            "schedulers": SCHEDULERS,
            "supported_modes": ["img_gen"],
        }

    def submit(self, body: Any) -> tuple[int, dict[str, Any]]:
        self.state.log("img_gen", body=body)
        if not isinstance(body, dict):
            kind = "array" if isinstance(body, list) else "string"
            message = f"[json.exception.type_error.306] cannot use value() with {kind}"
            return 500, {"error": "server_error", "message": message}
        try:
            picture = read_body(body, "euler" if self.model.is_dit else "euler_a", self._list_loras())
        except InvalidError as error:
            return 400, {"error": str(error)}
        with self._changed:
            pending = [job for job in self.jobs.values() if job.status in ("queued", "generating")]
            if len(pending) >= self.state.play["queue"]:
                return 429, {"error": "job queue is full"}
            now = int(time.time())
            job = _Job(f"job_{now:x}_{os.getpid():x}{len(self.jobs) + len(self._expired):08x}", picture, now)
            self.jobs[job.id] = job
            self._queue.append(job)
            self._changed.notify()
        answer = self._describe(job)
        self.state.log("queued", job=job.id, prompt=picture.prompt)
        return 202, {key: answer[key] for key in ("created", "id", "kind", "status")} | {
            "poll_url": f"/sdcpp/v1/jobs/{job.id}"
        }

    def look(self, name: str) -> tuple[int, dict[str, Any]]:
        with self._changed:
            return self._find(name) or (200, self._describe(self.jobs[name]))

    def cancel(self, name: str) -> tuple[int, dict[str, Any]]:
        with self._changed:
            if missing := self._find(name):
                return missing
            job = self.jobs[name]
            if job.status == "generating":
                return 409, {"error": "job is currently generating and cannot be interrupted yet"}
            if job.status == "queued":
                self._queue.remove(job)
                self._end(job, "cancelled", {"code": "cancelled", "message": "job cancelled by client"})
            self.state.log("cancel", job=name)
            return 200, self._describe(job)

    def _find(self, name: str) -> tuple[int, dict[str, Any]] | None:
        """Return the answer if there is no such job any more, or never was."""
        now = time.monotonic()
        for job in [job for job in self.jobs.values() if job.ended_at]:
            if now - job.ended_at >= self.state.play["ttl_s"]:
                self._expired.add(job.id)
                del self.jobs[job.id]
        if name in self._expired:
            return 410, {"error": "job expired"}
        return None if name in self.jobs else (404, {"error": "job not found"})

    def _describe(self, job: _Job) -> dict[str, Any]:
        image = {"index": 0, "b64_json": base64.b64encode(job.image).decode()}
        return {
            "completed": job.completed,
            "created": job.created,
            "error": job.error,
            "id": job.id,
            "kind": "img_gen",
            "queue_position": self._queue.index(job) + 1 if job in self._queue else 0,
            "result": {"output_format": "png", "images": [image]} if job.image else None,
            "started": job.started,
            "status": job.status,
        }

    def _end(self, job: _Job, status: str, error: dict[str, str] | None = None) -> None:
        job.status, job.error, job.completed, job.ended_at = status, error, int(time.time()), time.monotonic()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue)
                job = self._queue.popleft()
                job.status, job.started = "generating", int(time.time())
            picture = job.picture.rounded(self.model.multiple)
            if not self.model.is_dit:
                picture = replace(picture, refs=(), guidance=3.5)  # it has no use for them, and doesn't say so
            self.state.log("generate", job=job.id, prompt=picture.prompt, seed=picture.seed)
            failed = self._sample(picture)
            image = b"" if failed else picture.encode(self._decisive(picture))
            with self._changed:
                job.image = image
                message = "generate_image returned no results"
                error = {"code": "generation_failed", "message": message} if failed else None
                self._end(job, "failed" if failed else "completed", error)
            self.state.log(job.status, job=job.id, prompt=picture.prompt, seed=picture.seed)
            if fault := self.state.take("vanish", picture.name):
                self.state.end(fault)

    def _sample(self, picture: Picture) -> bool:
        """Do the steps; return whether that failed."""
        say("INFO", "stable-diffusion.cpp:3367", f"generate_image {picture.width}x{picture.height}")
        say("INFO", "denoiser.hpp:499", f"get_sigmas with {picture.scheduler} scheduler")
        if not self.model.has_encoder:
            os.kill(os.getpid(), signal.SIGSEGV)
        self._apply_loras(picture)
        say("INFO", "stable-diffusion.cpp:3401", f"generating image: 1/1 - seed {picture.seed}")
        pause = self.state.play["step_s"]
        fault = self.state.take("step", picture.name)
        for step in range(1, picture.sampled_steps + 1):
            if fault and fault.details.get("step", 1) == step and self._play(fault):
                return True
            self.state.pause(pause)
            print(end=bar(step, picture.sampled_steps, f"{1 / pause if pause else 3.29:.2f}it/s"), flush=True)
        print(flush=True)
        say("INFO", "stable-diffusion.cpp:3432", "sampling completed, taking 0.59s")
        say("INFO", "stable-diffusion.cpp:3591", "generate_image completed in 1.29s")
        return False

    def _play(self, fault: Fault) -> bool:
        """Let it go wrong in the middle of an image; return whether the image fails."""
        if fault.details.get("wait"):
            self.state.wait_at_gate(fault)
        self.state.end(fault)
        return bool(fault.details.get("fails"))

    def _apply_loras(self, picture: Picture) -> None:
        """Applied at once, which is the default for F16, they leave the weights changed for good."""
        for file in picture.loras:
            try:
                known = [name for name in read_tensors(Path(file))[0] if ".lora_" in name or name.endswith(".alpha")]
            except UnreadableError:
                say("ERROR", "lora.hpp:43", f"init lora model loader from file failed: '{file}'")
                continue
            text = f"({len(known)} / {len(known)}) LoRA tensors have been applied, lora_file_path = {file}"
            if known:
                say("INFO", "lora.hpp:830", text)
            else:
                say("WARN", "lora.hpp:827", f"Only {text}")
        if picture.loras and self.arguments.get("--lora-apply-mode") != "at_runtime":
            self._spoiled += 1

    def _decisive(self, picture: Picture) -> dict[str, str]:
        """Return what else decides the pixels. What only names the model is not in it, as its path isn't."""
        loras = {Path(file).read_bytes().hex(): by for file, by in picture.loras.items() if _is_lora(file) and by}
        name = Path(self.arguments.get("--model", "")).name
        play = self.state.play
        return {
            "name": name,
            "model": self.model.digest,
            "rng": self.arguments.get("--rng", "cuda"),
            "loras": json.dumps(loras, sort_keys=True),
            "build": play["build"],
            "device": play["device"],
            "spoiled": str(self._spoiled),
        }

    def _list_loras(self) -> dict[str, str]:
        """Return the file of each LoRA by its path in the folder."""
        folder = self.arguments.get("--lora-model-dir", ".")
        files = [path for path in sorted(Path(folder).rglob("*")) if path.suffix in _SUFFIXES and path.is_file()]
        return {path.relative_to(folder).as_posix(): str(path) for path in files}


def _is_lora(file: str) -> bool:
    try:
        return any(".lora_" in name for name in read_tensors(Path(file))[0])
    except UnreadableError:
        return False


class _Handler(BaseHTTPRequestHandler):
    engine: _Engine
    state: State

    def do_GET(self) -> None:
        if self.path == "/":
            self._send(200, b"Stable Diffusion Server is running", "text/plain")
        elif self.path == "/sdcpp/v1/capabilities":
            self._answer(200, self.engine.capabilities())
        elif match := re.fullmatch(r"/sdcpp/v1/jobs/([\w-]+)", self.path):
            self._answer(*self.engine.look(match[1]))
        else:
            self._send(404, b"", "text/plain")

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if len(data) > _FORM_BYTES and self.headers["Content-Type"] == "application/x-www-form-urlencoded":
            return self._send(413, b"", "text/plain")
        if self.path == "/sdcpp/v1/img_gen":
            if not data:
                return self._answer(400, {"error": "empty body"})
            try:
                body = json.loads(data)
            except ValueError as error:
                message = f"[json.exception.parse_error.101] parse error: {error}"
                return self._answer(400, {"error": "invalid json", "message": message})
            return self._answer(*self.engine.submit(body))
        if match := re.fullmatch(r"/sdcpp/v1/jobs/([\w-]+)/cancel", self.path):
            return self._answer(*self.engine.cancel(match[1]))
        return self._send(404, b"", "text/plain")

    def _answer(self, status: int, answer: dict[str, Any]) -> None:
        self.state.log("http", method=self.command, path=self.path, status=status)
        if fault := self.state.take("answer", f"{self.command} {self.path}"):
            self.state.pause(fault.details.get("seconds", 0))
            if fault.details.get("wait"):
                self.state.wait_at_gate(fault)
            if fault.details.get("cut"):
                self.close_connection = True
                return
            status = fault.details.get("status", status)
            answer = fault.details.get("json", answer)
        self._send(status, json.dumps(answer, separators=(",", ":")).encode(), "application/json")

    def _send(self, status: int, data: bytes, kind: str) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data)
        except OSError:  # whoever asked has gone
            pass

    def log_message(self, *_: object) -> None:
        """Say nothing, as the real one."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def server_bind(self) -> None:
        """Bind as the real one: two of them may share a port."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "localhost", self.server_address[1]


def main(program: str, folder: str) -> int:
    """Do what the command line says. It ends on any signal, at once."""
    state = State(Path(folder))
    words, play = sys.argv[1:], state.play
    version = f"stable-diffusion.cpp version {play['version']}, commit {play['build']}"
    state.log("call", argv=words)
    if words[:1] == ["--version"]:
        print(version)
        return 0
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if fault := state.take("start", " ".join(words)):
        state.end(fault)
    arguments = parse(program, words, version)
    for line in play["device"].splitlines():
        say("INFO", "ggml_extend.hpp:63", line)
    if not play["device"] and "--verbose" in arguments:
        say("DEBUG", "util.cpp:757", "Using CPU backend")
    model = load(arguments, state)
    state.log("loaded", files=[value for name, value in arguments.items() if name[2:] in _FILES])
    address = arguments.get("--listen-ip", "127.0.0.1"), int(arguments.get("--listen-port", "1234"))
    say("INFO", "main.cpp:148", f"listening on: {address[0]}:{address[1]}")
    _Handler.engine, _Handler.state = _Engine(arguments, model, state), state
    try:
        server = _Server(address, _Handler)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return 0  # with no word
    server.serve_forever(poll_interval=600)
    return 0


_FILES = ("model", "diffusion-model", "vae", "clip_l", "clip_g", "t5xxl", "llm")
