"""What a test has in hand: an `ollama` of its own, its server, its models, and what goes wrong."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.backends.comfyui.fake_program import free_port
from tests.backends.ollama.fake_ollama.state import State
from tests.backends.ollama.fake_ollama.store import DEFAULTS, install, parse

__all__ = [
    "Called",
    "FakeOllama",
    "archive",
    "launcher",
]


OURS = ("OLLAMA_", "TERM_PROGRAM", "KITTY_", "WEZTERM_", "GHOSTTY_")
LIBRARY = "lib/ollama/mlx_cuda_v13/libmlxc.so"


@dataclass(frozen=True)
class Called:
    """One call of the command. `end` and `code` are None while it runs, and where it was killed."""

    argv: list[str]
    cwd: str
    environment: dict[str, str] = field(repr=False)
    version: str
    pid: int
    group: int
    start: float
    end: float | None
    code: int | None

    @property
    def alive(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            ours = process.create_time() <= self.start
            return self.end is None and ours and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


class FakeOllama:
    """`folder/bin/ollama`, which is of `version`; `host` is where its server is to be, once it is started."""

    def __init__(self, folder: Path, version: str = "0.32.5") -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.home = folder / "home"
        self.models = folder / "models"
        self.state = State(folder / "state")
        for path in (self.bin, self.home, self.models, self.state.folder):
            path.mkdir(parents=True)
        self.state.write({"registry": {}, "faults": []})
        self.host = f"127.0.0.1:{free_port()}"
        self.library = folder / LIBRARY
        self.library.parent.mkdir(parents=True)
        self.library.write_text("not really a library")
        self.client(version)
        self._servers: list[subprocess.Popen[str]] = []

    @property
    def environment(self) -> dict[str, str]:
        """All of a process that is to find this ollama first, and none of the tester's own."""
        known = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
        path = f"{self.bin}{os.pathsep}{known.get('PATH', '')}"
        return known | {
            "PATH": path,
            "HOME": str(self.home),
            "OLLAMA_HOST": self.host,
            "OLLAMA_MODELS": str(self.models),
        }

    def client(self, version: str) -> Path:
        """From now on the command line is of this version. A server that runs stays what it is."""
        return self.install(self.bin, version)

    def install(self, folder: Path, version: str) -> Path:
        """Another `ollama` in this folder, with the same state."""
        script = folder / "ollama"
        folder.mkdir(parents=True, exist_ok=True)
        script.unlink(missing_ok=True)
        script.write_text(launcher(self.state.folder, version), "utf-8")
        script.chmod(0o755)
        return script

    def archive(self, path: Path, version: str = "0.32.5") -> str:
        """Write a fake one for `ollama-darwin.tgz`. Returns its sha256."""
        return archive(path, self.state.folder, version)

    def model(self, name: str = "x/z-image-turbo", pulled: bool = True, **spec: Any) -> str:
        """One that can be pulled, and is there already unless `pulled` is False. Returns its digest if it is there.

        `spec` is what differs from `store.DEFAULTS`; another `revision` is the same model, changed upstream.
        """
        known = parse(name)
        assert known is not None
        full = DEFAULTS | spec
        play = self.state.play
        play["registry"][str(known)] = full
        self.state.write(play)
        return install(self.models, known, full) if pulled else ""

    def fault(self, kind: str, word: str = "", times: int | None = None, **details: Any) -> None:
        """From now on this goes wrong where the prompt (for `pull-…` the model) has `word`, `times` times or always."""
        play = self.state.play
        known = {"id": len(play["faults"]), "kind": kind, "word": word, "times": times, "details": details}
        play["faults"].append(known)
        self.state.write(play)

    def hint(self) -> None:
        """Nothing goes wrong any more."""
        play = self.state.play
        for fault in play["faults"]:  # they stay, so that a later one has a number of its own
            fault["times"] = 0
        self.state.write(play)

    def start_server(self, version: str | None = None, **environment: str) -> None:
        """`ollama serve`, until it answers. `version` is its own where it is not the client's."""
        script = self.bin / "ollama" if version is None else self.install(self.folder / "server/bin", version)
        if version is not None and self.library.exists():
            there = self.folder / "server" / LIBRARY
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_text("not really a library")
        with (self.folder / "serve.log").open("a") as log:
            process = subprocess.Popen(
                [script, "serve"],
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
            )
        self._servers.append(process)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            assert process.poll() is None, (self.folder / "serve.log").read_text()
            try:
                self.ask("/api/version")
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("no answer within 10 s")

    def stop(self) -> None:
        """End the servers that were started here, and wait for their end."""
        for process in self._servers:
            process.terminate()
        for process in self._servers:
            process.wait(5)
        self._servers.clear()

    @contextmanager
    def served(self, version: str | None = None) -> Iterator[FakeOllama]:
        """With a server that is ended, whatever happens."""
        try:
            self.start_server(version)
            yield self
        finally:
            self.stop()

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{self.host}{path}", timeout=5) as answer:
            return json.loads(answer.read())

    @property
    def loaded(self) -> list[str]:
        """The models that the server holds in memory."""
        return [model["name"] for model in self.ask("/api/ps")["models"]]

    @property
    def calls(self) -> list[Called]:
        """Every call of the command so far, in the order of their starts."""
        events = self.state.logged("runs")
        calls = []
        for start in [event for event in events if event["event"] == "start"]:
            end = next((e for e in events if e["event"] == "end" and e["pid"] == start["pid"]), {})
            shared = {key: start[key] for key in ("argv", "cwd", "environment", "version", "pid", "group")}
            calls.append(Called(**shared, start=start["time"], end=end.get("time"), code=end.get("code")))
        return calls

    def called(self, command: str) -> list[Called]:
        """The calls of `run`, `pull`, …"""
        return [call for call in self.calls if call.argv[:1] == [command]]

    @property
    def events(self) -> list[dict[str, Any]]:
        """What the servers did: load, unload, pull, and start and end of each image, with all that was asked for."""
        return self.state.logged("served")

    @property
    def images(self) -> list[dict[str, Any]]:
        """The images that were made."""
        return [event for event in self.events if event["event"] == "end"]

    @property
    def children(self) -> list[int]:
        """The processes that the fault `child` started."""
        return [child["pid"] for child in self.state.logged("children")]

    def run(self, *arguments: str, cwd: Path | None = None, stdin: str | None = None, **environment: str) -> Any:
        """Call it by hand. Returns the CompletedProcess, in text."""
        return subprocess.run(
            [str(self.bin / "ollama"), *arguments],
            cwd=cwd or self.home,
            env=self.environment | environment,
            capture_output=True,
            check=False,
            encoding="utf-8",
            timeout=30,
            **({"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}),
        )

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """The same, without waiting for its end, with other `options` of Popen. It says nothing unless they ask it to."""
        silent: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        return subprocess.Popen([str(self.bin / "ollama"), *arguments], env=self.environment, **(silent | options))


ROOT = Path(__file__).parents[4]
LIBRARIES = ("mlx_metal_v3/libmlxc.dylib", "mlx_metal_v3/libmlx.dylib", "mlx_metal_v3/mlx.metallib")


def launcher(state: Path, version: str) -> str:
    """What the script says. It needs no installed package, so that it starts fast."""
    start = f"main(__file__, {str(state)!r}, {version!r})"
    take = f"from {__package__}.cli import main"
    return f"#!{sys.executable} -IS\nimport sys; sys.path.insert(0, {str(ROOT)!r}); {take}; sys.exit({start})\n"


def archive(path: Path, state: Path, version: str) -> str:
    """Write a .tgz that is laid out as `ollama-darwin.tgz` is. Returns its sha256, which depends on the content alone."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("ollama", "llama-server"):
            _add(tar, name, launcher(state, version).encode(), 0o755)
        for name in LIBRARIES:
            _add(tar, name, f"not really {name}".encode(), 0o644)
        _add(tar, "libggml-base.0.dylib", b"not really a library", 0o644)
        link = tarfile.TarInfo("libggml-base.dylib")
        link.type, link.linkname = tarfile.SYMTYPE, "libggml-base.0.dylib"
        tar.addfile(link)
    path.write_bytes(gzip.compress(packed.getvalue(), mtime=0))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    tar.addfile(info, io.BytesIO(data))
