"""The real `sd-server` with what the fake server offers to the tests that hold for both.

`SD_SERVER` names the program, and `SD_MODEL` a checkpoint of SD 1.x for it.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from imagegen.backends.managed_server import hold_free_port
from tests.backends.comfyui.fake_program import runs
from tests.backends.sd.fake_sd_server.fixture import until

__all__ = ["MODEL", "PROGRAM", "RealSd"]

PROGRAM = os.environ.get("SD_SERVER", "")
MODEL = os.environ.get("SD_MODEL", "")


class RealSd:
    """`program` notes each call, keeps a copy of what the server writes to stdout, and becomes the real one."""

    steps = 2
    """An image cannot be held in the middle, and takes a second or more: time enough to see that it is generated."""
    patience_s = 900.0
    """For a run, on a machine that does something else too."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._calls, self._said = folder / "calls", folder / "said"
        self.program = folder / "sd-server"
        self.program.write_text(
            f"""#!/bin/bash
if [ "$1" != -h ]; then
    echo "$$ $*" >> {shlex.quote(str(self._calls))}
    exec > >(exec tee -a {shlex.quote(str(self._said))})
fi
exec {shlex.quote(PROGRAM)} "$@"
"""
        )
        self.program.chmod(0o755)
        self._servers: list[subprocess.Popen[bytes]] = []

    def write_model(self, path: Path, _content: str) -> None:
        """Put the model there, under a name of its own."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(MODEL)

    def pause_at(self, seed: int) -> int:
        """Return the seed, for `wait_paused`: it cannot be held, but is slow enough to be seen."""
        return seed

    def wait_paused(self, seed: int) -> int:
        """Wait until the image is being generated; return the PID of its server."""
        until(lambda: seed in self.seeds_begun, self.patience_s)
        return self._started[-1]

    def resume(self, _seed: int) -> None:
        """It goes on anyway."""

    @property
    def loads(self) -> list[list[str]]:
        """The names of the model files of each server that was ever started."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        return [[Path(word).name for word in re.findall(r"--model (\S+)", line)] for line in lines]

    @property
    def seeds_begun(self) -> list[int]:
        """The seed of each image that was begun."""
        return [int(seed) for seed in re.findall(r"generating image: 1/1 - seed (\d+)", self._log)]

    @property
    def seeds_completed(self) -> list[int]:
        """The seed of each image that was completed."""
        images = re.split("generating image: 1/1 - seed ", self._log)[1:]
        return [int(image.split()[0]) for image in images if "generate_image completed" in image]

    @property
    def running(self) -> list[int]:
        """The PIDs of its processes that are alive."""
        return [pid for pid in self._started if runs(pid) and Path(f"/proc/{pid}/exe").samefile(PROGRAM)]

    @property
    def uses(self) -> int:
        """How often it was called or asked for an image."""
        return len(self._started) + len(self.seeds_begun)

    @property
    def _started(self) -> list[int]:
        return [int(line.split()[0]) for line in self._calls.read_text().splitlines()] if self._calls.exists() else []

    @property
    def _log(self) -> str:
        return self._said.read_text("utf-8", "replace") if self._said.exists() else ""

    def start(self, *arguments: str) -> str:
        """Start one as a user does, and wait until it serves. Returns its address."""
        with hold_free_port() as port:
            return self._start_at(port, arguments)

    def _start_at(self, port: int, arguments: tuple[str, ...]) -> str:
        none = subprocess.DEVNULL
        command = [str(self.program), *arguments, "--listen-port", str(port)]
        process = subprocess.Popen(command, stdin=none, stdout=none, stderr=none)
        self._servers.append(process)

        def answers() -> bool:
            assert process.poll() is None
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 5).close()
                return True
            return False

        until(answers, self.patience_s)
        return f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        """Leave nothing running."""
        for pid in self.running:
            os.kill(pid, signal.SIGKILL)
        for process in self._servers:
            process.wait(10)
        until(lambda: not self.running)
