"""A Dask cluster on this machine: a real scheduler and real workers, each a process with a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.backends.comfyui.fake_program import free_port


class Cluster:
    """A worker's folder is its project: a test puts the script there that its backend plays."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.log = root / "calls.jsonl"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.start_scheduler()

    def start_scheduler(self) -> None:
        port = self.address.rpartition(":")[2]
        self._start("scheduler", "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")

    def start(self, name: str, *options: str, nanny: bool = False, **environment: str) -> Path:
        """Start a worker; its folder."""
        named = ["--name", name, "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"]
        if not nanny:
            named.append("--no-nanny")
        return self._start(name, "worker", self.address, *named, *options, **environment)

    def script(self, name: str, **script: Any) -> None:
        """What the scripted backend does at this worker."""
        written = self.root / name / "script.new"
        written.parent.mkdir(exist_ok=True)
        written.write_text(json.dumps({"log": str(self.root / name / "calls.jsonl")} | script))
        written.replace(written.with_name("script.json"))

    def calls(self, name: str, kind: str = "finished") -> list[str]:
        """The items whose images the worker finished, or started."""
        log = self.root / name / "calls.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []
        return [event["name"] for event in map(json.loads, lines) if event["event"] == kind]

    def forget_calls(self) -> None:
        for log in self.root.glob("*/calls.jsonl"):
            log.unlink()

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """It does nothing meanwhile, and its connections stay."""
        process = self.processes[name]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """The workers first: without a scheduler they take their time."""
        for name in sorted(self.processes, key=lambda name: name == "scheduler"):
            process = self.processes[name]
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            process.wait()

    def wait_for(self, *names: str) -> None:
        """Until these workers say that they are connected."""
        end = time.monotonic() + 60
        while any(b"Starting established connection" not in (self.root / f"{one}.log").read_bytes() for one in names):
            assert time.monotonic() < end, "the workers do not start"
            assert all(process.poll() is None for process in self.processes.values())
            time.sleep(0.05)

    def _start(self, name: str, *command: str, **environment: str) -> Path:
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        ours = ("DASK_", "DOIT_", "IMAGEGEN_", "COMFYUI_", "OLLAMA_", "HF_")
        known = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        with (self.root / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "dask", *command],
                cwd=folder,
                env={**known, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return folder


@contextlib.contextmanager
def cluster_of(root: Path, *workers: str) -> Iterator[Cluster]:
    """One with these workers, which are there; gone at the end."""
    cluster = Cluster(root)
    try:
        for name in workers:
            cluster.script(name)
            cluster.start(name)
        cluster.wait_for(*workers)
        yield cluster
    finally:
        cluster.stop()
