"""A fake of tools/ComfyUI: a real process on a real port that serves no more than /system_stats."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from imagegen.backends.managed_server import ProcessIdentity, exit_code, hold_free_port

__all__ = ["ComfyFolder", "free_port", "runs"]

MAIN = """
import json, os, pathlib, signal, subprocess, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

play = json.loads(pathlib.Path("play.json").read_text())
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) if play.get("child") else None
seen = {"pid": os.getpid(), "argv": sys.argv[1:], "environment": dict(os.environ), "child": child and child.pid}
with open("starts.jsonl", "a") as starts:
    starts.write(json.dumps(seen) + "\\n")
if play.get("stubborn"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
for line in play.get("says", []):
    print(line)
time.sleep(play.get("delay", 0))
if "exit" in play:
    sys.exit(play["exit"])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        device = {"name": "cpu", "vram_total": 8 * 1024**3, "vram_free": 6 * 1024**3}
        system = {"comfyui_version": "0.33.0", "pytorch_version": "2.13.0+cpu", "python_version": "3.12.1 (main)"}
        body = json.dumps({"system": system, "devices": [device]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


HTTPServer((sys.argv[sys.argv.index("--listen") + 1], int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""


_held = contextlib.ExitStack()
atexit.register(_held.close)


def free_port() -> int:
    """A port that nothing listens on, and that nobody else is given while the tests run."""
    return _held.enter_context(hold_free_port())


class ComfyFolder:
    """tools/ComfyUI of the project at `root`. What its main.py does is told with `play`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree = root / "tools/ComfyUI"
        (self.tree / ".venv/bin").mkdir(parents=True)
        (self.tree / ".venv/bin/python").symlink_to(sys.executable)
        (self.tree / "main.py").write_text(MAIN)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.record = root / ".imagegen/comfyui/server.json"
        self.log = root / ".imagegen/comfyui/server.log"
        self.others: list[subprocess.Popen[bytes]] = []
        self.play()

    def play(self, **script: Any) -> None:
        """delay: seconds until it serves. exit: ends with this code in place of it. says: lines. stubborn: ignores
        SIGTERM. child: has a process of its own."""
        (self.tree / "play.json").write_text(json.dumps(script))

    def by_hand(self) -> subprocess.Popen[bytes]:
        """Start it as a person would, at the same address."""
        words = ["main.py", "--listen", "127.0.0.1", "--port", str(self.port)]
        self.others.append(subprocess.Popen([sys.executable, *words], cwd=self.tree))
        return self.others[-1]

    @property
    def starts(self) -> list[dict[str, Any]]:
        """Each process that was ever started: its pid, argv, environment, child."""
        path = self.tree / "starts.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def end(self) -> None:
        """Leave nothing running. Only processes in this folder are touched."""
        for other in self.others:
            other.kill()
            other.wait()
        for pid in [pid for start in self.starts for pid in (start["pid"], start["child"]) if pid]:
            if runs(pid) and psutil.Process(pid).cwd() == os.path.realpath(self.tree):
                process = psutil.Process(pid)
                process.kill()
                with suppress(psutil.TimeoutExpired):  # a zombie that is not ours to bury
                    process.wait(2)
            exit_code(ProcessIdentity(pid, 0.0))


def runs(pid: int) -> bool:
    """Whether such a process is alive."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
