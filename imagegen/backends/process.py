"""Processes that this project starts: which one it is, what became of it, its environment and its end.

A PID alone says little, for it gets reused: the time at which the process started goes with it.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from imagegen.config.settings import SETTINGS
from imagegen.errors import ImagegenError, Problem

__all__ = ["GRACE_S", "Identity", "by_code", "end", "exit_code", "spawn", "this_process", "without_secrets"]

GRACE_S = 10.0
"""Seconds that a server may take to stop. ComfyUI takes 2.4 s."""
_CLOCK_S = 5.0
"""The system reckons a start time from the clock, which may have been put right since."""


@dataclass(frozen=True)
class Identity:
    """One process of this machine. started: in seconds since 1970."""

    pid: int
    started: float

    def is_same(self, other: Identity) -> bool:
        """Whether both are one process."""
        return self.pid == other.pid and abs(self.started - other.started) < _CLOCK_S

    def look(self) -> Literal["alive", "gone", "reused"]:
        """What became of it; reused: another process has its PID."""
        try:
            process = psutil.Process(self.pid)
            if not self.is_same(Identity(self.pid, process.create_time())):
                return "reused"
            return "alive" if _runs(process) else "gone"
        except psutil.NoSuchProcess:
            return "gone"
        except psutil.AccessDenied:  # somebody else's
            return "reused"


def this_process() -> Identity:
    """The process that asks."""
    return Identity(os.getpid(), psutil.Process().create_time())


def without_secrets() -> dict[str, str]:
    """The variables of this process, for one that is started: without secrets, and without what is for this Python."""
    left_out = {setting.environment for setting in SETTINGS if setting.secret} | {"PYTHONPATH"}
    return {name: value for name, value in os.environ.items() if name not in left_out}


def spawn(command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> Identity:
    """Start a process in `folder`, in a session of its own: neither Ctrl-C nor the end of a terminal reaches it.

    log: gets all that it says. Raises OSError.
    """
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _children[child.pid] = child
    return Identity(child.pid, psutil.Process(child.pid).create_time())


_children: dict[int, subprocess.Popen[bytes]] = {}
"""What this very process started, so that it can be asked for its exit code."""


def exit_code(identity: Identity) -> int | None:
    """How a process ended that this very one started; below zero: by that signal. None where unknown."""
    child = _children.get(identity.pid)
    return child.poll() if child else None


def by_code(code: int | None) -> str:
    """` with exit code 1`, ` by signal 9`; empty where it is unknown."""
    return "" if code is None else f" with exit code {code}" if code >= 0 else f" by signal {-code}"


def end(identity: Identity, name: str, grace_s: float = GRACE_S) -> bool:
    """Stop this process and those that it started: asked to (SIGTERM), then killed after `grace_s` seconds.

    False where it had ended already. Raises ImagegenError, with its name, where it cannot be stopped.
    """
    if identity.look() != "alive":
        exit_code(identity)
        return False
    try:
        process = psutil.Process(identity.pid)
        family = [process, *process.children(recursive=True)]
        for signal in (psutil.Process.terminate, psutil.Process.kill):
            for one in family:
                with suppress(psutil.NoSuchProcess):
                    signal(one)
            family = _left_after(family, grace_s)
    except psutil.NoSuchProcess:
        family = []
    except psutil.AccessDenied:
        family = [psutil.Process(identity.pid)]
    if family:
        what = f"{name}'s process {family[0].pid} cannot be stopped"
        raise ImagegenError(Problem("", what, f"as the user who started it: kill -9 {family[0].pid}"))
    exit_code(identity)
    return True


def _left_after(family: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that have not ended by then. One that nobody asks for its exit code (a zombie) has ended."""
    until = time.monotonic() + seconds
    while (family := [one for one in family if _runs(one)]) and time.monotonic() < until:
        time.sleep(0.05)
    return family


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
