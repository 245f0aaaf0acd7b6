"""Small archives of Ollama: its program is a script that serves no more than /api/version."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tarfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from imagegen.backends.managed_server import ProcessIdentity, exit_code
from imagegen.config.settings import Settings
from tests.backends.archives import tgz
from tests.backends.comfyui.fake_program import free_port

__all__ = ["OllamaFolder", "archive", "free_host", "pinned", "runs"]

PROGRAM = f"""#!{sys.executable}
import json, os, pathlib, signal, subprocess, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

VERSION = "0.32.5"
here = pathlib.Path(__file__).parent
play = json.loads((here / "play.json").read_text()) if (here / "play.json").exists() else {{}}
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) if play.get("child") else None
seen = {{"pid": os.getpid(), "argv": sys.argv[1:], "environment": dict(os.environ), "child": child and child.pid}}
with open(play.get("starts", here / "starts.jsonl"), "a") as starts:
    starts.write(json.dumps(seen) + "\\n")
for line in play.get("says", []):
    print(line, file=sys.stderr, flush=True)
time.sleep(play.get("delay", 0))
if "exit" in play:
    sys.exit(play["exit"])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({{"version": VERSION}}).encode()
        self.send_response(200 if self.path == "/api/version" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


host, port = os.environ["OLLAMA_HOST"].rsplit(":", 1)
HTTPServer((host, int(port)), Handler).serve_forever()
"""


def archive(version: str = "0.32.5") -> bytes:
    """One that is laid out as the real one: the program, libraries and links between them, a folder."""
    return tgz(
        ("ollama", PROGRAM.replace("0.32.5", version).encode(), {"mode": 0o755}),
        ("libx.1.dylib", os.urandom(100_000), {"mode": 0o644}),
        ("libx.dylib", b"", {"type": tarfile.SYMTYPE, "linkname": "libx.1.dylib"}),
        ("mlx_metal_v3/", b"", {"type": tarfile.DIRTYPE, "mode": 0o755}),
        ("mlx_metal_v3/mlx.metallib", b"metal", {"mode": 0o644}),
    )


def pinned(data: bytes, source: str, version: str = "0.32.5") -> Settings:
    """The settings of a project that pins this archive."""
    sha256 = hashlib.sha256(data).hexdigest()
    return replace(Settings(), ollama_version=version, ollama_archive_sha256=sha256, ollama_archive=source)


def free_host() -> str:
    """An address of this machine at which nothing listens."""
    return f"127.0.0.1:{free_port()}"


class OllamaFolder:
    """A folder with the program, outside what set-ups touch. What it does is told with `play`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "program"
        self.folder.mkdir()
        self.program = self.folder / "ollama"
        self.program.write_text(PROGRAM)
        self.program.chmod(0o755)
        self.record = root / ".imagegen/ollama/server.json"
        self.log = root / ".imagegen/ollama/server.log"

    def play(self, **script: Any) -> None:
        """delay: seconds until it serves. exit: ends with this code in place of it. says: lines. child: has a process
        of its own."""
        (self.folder / "play.json").write_text(json.dumps(script))

    @property
    def starts(self) -> list[dict[str, Any]]:
        """Each process that was ever started: its pid, argv, environment, child."""
        path = self.folder / "starts.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def end(self) -> None:
        """Leave nothing running. Only what this folder's program started is touched."""
        for start in self.starts:
            for pid in filter(None, (start["pid"], start["child"])):
                if runs(pid) and psutil.Process(pid).cwd() == os.path.realpath(self.root):
                    process = psutil.Process(pid)
                    process.kill()
                    with suppress(psutil.TimeoutExpired):  # a zombie that is not ours to bury
                        process.wait(0.5)
            exit_code(ProcessIdentity(start["pid"], 0.0))


def runs(pid: int) -> bool:
    """Whether such a process is alive."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
