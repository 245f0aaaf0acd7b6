"""What a test has in hand: a fake `sd-server`, what it is to do, and what it did."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from imagegen.backends.managed_server import hold_free_port
from tests.backends.comfyui.fake_program import runs
from tests.backends.sd.fake_sd_server.state import State
from tests.backends.sd.model_files import write_model

__all__ = ["OOM", "VULKAN", "FakeSd", "until"]

ROOT = Path(__file__).parents[4]
VULKAN = "ggml_vulkan: Found 1 Vulkan devices:\nggml_vulkan: 0 = NVIDIA GeForce RTX 4070 (NVIDIA) | uma: 0 | fp16: 1"
OOM = (
    "[ERROR] ggml_extend.hpp:69   - ggml_aligned_malloc: insufficient memory (attempted to allocate 8360.93 MB)",
    "[ERROR] ggml_extend.hpp:69   - ggml_gallocr_reserve_n_impl: failed to allocate CPU buffer of size 8767072864",
    "[ERROR] ggml_extend.hpp:1914 - unet: failed to allocate the compute buffer",
    "[ERROR] stable-diffusion.cpp:1696 - diffusion model compute failed",
    "[ERROR] stable-diffusion.cpp:3437 - sampling for image 1/1 failed after 0.01s",
)
_ABORTED = (
    "[ERROR] ggml_extend.hpp:69   - ggml_aligned_malloc: insufficient memory (attempted to allocate 135.08 MB)",
    "/build/stable-diffusion.cpp/ggml/src/ggml.c:1581: GGML_ASSERT(ctx->mem_buffer != NULL) failed",
)
_LOST = (
    "terminate called after throwing an instance of 'vk::DeviceLostError'",
    "  what():  vk::Queue::submit: ErrorDeviceLost",
)


class FakeSd:
    """`program` is the executable; every process of it does what this object says, and writes to one journal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = State(folder / "state")
        self.state.folder.mkdir(parents=True)
        self.state.write(
            {
                "build": "0752cc9",
                "version": "master-525-0752cc9",
                "device": "",
                "load_s": 0,
                "step_s": 0,
                "queue": 64,
                "ttl_s": 600,
                "faults": [],
            }
        )
        self.program = folder / "sd-server"
        self.program.write_text(_launcher(self.state.folder), "utf-8")
        self.program.chmod(0o755)
        self._servers: list[subprocess.Popen[bytes]] = []

    # what it is to do

    def play(self, **changes: Any) -> None:
        """Set how every process behaves from now on.

        build, version: what it says of itself. device: lines of its log about the GPU. load_s, step_s: seconds that it
        takes. queue: how many jobs it takes at once. ttl_s: how long it remembers a job that has ended.
        """
        self.state.write({**self.state.play, **changes})

    def fault(self, kind: str, word: str = "", times: int | None = 1, **details: Any) -> int:
        """Let something go wrong where `PROMPT (seed SEED)` has `word`, `times` times or always.

        Args:
            kind: `start` (word: in its command line), `load` (in the middle of loading), `step` (in an image, before
                step `step` is done), `vanish` (after an image), `answer` (word: in `METHOD /path`).
            details: `lines`: written to stderr. `code`, `signal`: how it ends. `wait`: it stops there until `open` is
                called. `fails`: the job fails, and it goes on. For answers: `seconds`, `wait`, `cut` (no answer),
                `status`, `json`.

        Returns:
            The number of the fault, for `open` and `wait_held`.
        """
        play = self.state.play
        play["faults"].append({"kind": kind, "word": word, "times": times, "details": details})
        self.state.write(play)
        return len(play["faults"]) - 1

    # what the scenarios ask of the real one too: see tests/backends/sd/real_server.py

    steps = 2
    patience_s = 120.0

    def write_model(self, path: Path, content: str) -> None:
        write_model(path, content=content)

    def pause_at(self, seed: int) -> int:
        """Stop in the middle of the next image with this seed."""
        return self.hold(f"(seed {seed})")

    def wait_paused(self, gate: int) -> int:
        """Wait until it is there; return the PID of its server."""
        return self.wait_held(gate)

    def resume(self, gate: int) -> None:
        """Let it go on."""
        self.open(gate)

    @property
    def uses(self) -> int:
        """How often it was called or asked for anything."""
        return len(self.events())

    def hold(self, word: str = "", step: int = 1) -> int:
        """Stop in the middle of the next such image, until the gate with the number that is returned is opened."""
        return self.fault("step", word, wait=True, step=step)

    def crash(self, word: str = "", times: int | None = 1, step: int = 1, **how: Any) -> int:
        """End in the middle of such an image: by SIGSEGV, or as `code` and `signal` say."""
        return self.fault("step", word, times, step=step, **(how or {"signal": int(signal.SIGSEGV)}))

    def run_out_of_memory(self, word: str = "", times: int | None = 1, aborts: bool = False) -> int:
        """Fail such an image for want of memory; or end, as the real one does for a small piece of memory."""
        if aborts:
            return self.fault("step", word, times, lines=_ABORTED, signal=int(signal.SIGABRT))
        return self.fault("step", word, times, lines=OOM, fails=True)

    def lose_device(self, word: str = "", times: int | None = 1) -> int:
        """Lose the GPU in the middle of such an image."""
        return self.fault("step", word, times, lines=_LOST, signal=int(signal.SIGABRT))

    def open(self, gate: int) -> None:
        """Let go on what waits there."""
        self.state.gate(gate).touch()

    def wait_held(self, gate: int) -> int:
        """Wait until something waits there; return its PID."""
        until(lambda: any(one["fault"] == gate for one in self.events("held")))
        return int(next(one["pid"] for one in self.events("held") if one["fault"] == gate))

    # what it did

    def events(self, *names: str) -> list[dict[str, Any]]:
        """Return the lines of the journal with these events, or all.

        call (argv), loaded (files), http (method, path, status), img_gen (body), queued, generate (prompt, seed),
        completed, failed, cancel, held, ends.
        """
        return [one for one in self.state.logged() if not names or one["event"] in names]

    @property
    def loads(self) -> list[list[str]]:
        """The names of the model files of each server that was ever ready."""
        return [[Path(file).name for file in one["files"]] for one in self.events("loaded")]

    @property
    def generated(self) -> list[str]:
        """The prompt of each image that was completed."""
        return [one["prompt"] for one in self.events("completed")]

    @property
    def begun(self) -> list[str]:
        """The prompt of each image that was begun."""
        return [one["prompt"] for one in self.events("generate")]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What each image was asked for with."""
        return [one["body"] for one in self.events("img_gen")]

    @property
    def seeds_begun(self) -> list[int]:
        """The seed of each image that was begun."""
        return [one["seed"] for one in self.events("generate")]

    @property
    def seeds_completed(self) -> list[int]:
        """The seed of each image that was completed."""
        return [one["seed"] for one in self.events("completed")]

    @property
    def running(self) -> list[int]:
        """The PIDs of its processes that are alive. None of another program counts that has the PID by now."""
        return [pid for pid in dict.fromkeys(one["pid"] for one in self.events("call")) if self._is_own(pid)]

    def _is_own(self, pid: int) -> bool:
        with suppress(psutil.Error):
            return runs(pid) and str(self.program) in psutil.Process(pid).cmdline()
        return False

    # by hand

    def start(self, *arguments: str, port: int = 0) -> str:
        """Start one as a user does, and wait until it serves. Returns its address."""
        with hold_free_port() as free:
            return self._start_at(port or free, arguments)

    def _start_at(self, port: int, arguments: tuple[str, ...]) -> str:
        command = [str(self.program), *arguments, "--listen-port", str(port)]
        with (self.folder / "by-hand.log").open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._servers.append(process)
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            assert process.poll() is None, (self.folder / "by-hand.log").read_text()
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 5).close()
                return True
            return False

        until(answers)
        return url

    def run(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        command = [str(self.program), *arguments]
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, text=True, timeout=timeout
        )

    def stop(self) -> None:
        """Leave nothing running."""
        for pid in self.running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self._servers:
            process.wait(10)
        until(lambda: not self.running)
        self._servers.clear()


def until(holds: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until it holds: long enough for a busy machine."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def _launcher(state: Path) -> str:
    """Return the script. It needs no installed package, so that it starts fast."""
    take = f"from {__package__}.server import main"
    start = f"sys.exit(main(__file__, {str(state)!r}))"
    return f"#!{sys.executable} -IS\nimport sys; sys.path.insert(0, {str(ROOT)!r}); {take}; {start}\n"
