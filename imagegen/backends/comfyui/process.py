"""The process of the server that this project started: its record, its log, its beginning and its end.

A PID alone says little, for it gets reused: the time at which the process started goes with it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import psutil

from imagegen.backends.comfyui.launch import STATE, TREE, Launch, command
from imagegen.config.setting import SETTINGS
from imagegen.errors import ImagegenError, Problem

__all__ = [
    "GRACE_S",
    "LOG",
    "By",
    "Identity",
    "Record",
    "end",
    "exit_code",
    "forget",
    "log_tail",
    "read_record",
    "spawn",
    "this_process",
    "write_record",
]

LOG = STATE / "server.log"
GRACE_S = 10.0
"""Seconds that a server may take to stop. The real one takes 2.4 s."""
_RECORD = STATE / "server.json"
_CLOCK_S = 5.0
"""The system reckons a start time from the clock, which may have been put right since."""

By = Literal["run", "server:start"]
"""Who started a server: a run, which stops it at its end, or a person, who does that."""


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


@dataclass(frozen=True)
class Record:
    """A server that this project started. owner: the process of doit that did, or that took it over since."""

    process: Identity
    url: str
    by: By
    owner: Identity


def this_process() -> Identity:
    """The process that asks."""
    return Identity(os.getpid(), psutil.Process().create_time())


def read_record(root: Path) -> Record | None:
    """The record of the project at `root`; None where there is none that can be read."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads((root / _RECORD).read_bytes())
        by: By = "run" if found["by"] == "run" else "server:start"
        return Record(_identity(found["process"]), str(found["url"]), by, _identity(found["owner"]))
    return None


def write_record(root: Path, record: Record) -> None:
    """Put it on disk in one step. Raises OSError."""
    path = root / _RECORD
    written = path.with_suffix(".tmp")
    written.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")
    written.replace(path)


def forget(root: Path) -> None:
    """Remove the record, if there is one."""
    (root / _RECORD).unlink(missing_ok=True)


def spawn(launch: Launch, by: By) -> Record:
    """Start the process and record it. Raises ImagegenError.

    It is in a session of its own, so that neither Ctrl-C nor the end of a terminal reaches it.
    """
    log = launch.root / LOG
    secret = {setting.environment for setting in SETTINGS if setting.secret}
    environment = {name: value for name, value in os.environ.items() if name not in secret | {"PYTHONPATH"}}
    child = None
    try:
        with suppress(FileNotFoundError):
            log.replace(log.with_suffix(".log.1"))  # it may hold why the last one ended
        with log.open("wb") as output:
            child = subprocess.Popen(
                command(launch),
                cwd=launch.root / TREE,
                env={**environment, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _children[child.pid] = child
        process = Identity(child.pid, psutil.Process(child.pid).create_time())
        record = Record(process, launch.url, by, this_process())
        write_record(launch.root, record)
    except OSError as error:
        if child:  # nobody would know of it
            child.kill()
            child.wait()
        what = f"ComfyUI cannot be started: {error.filename or log}: {error.strerror}"
        raise ImagegenError(Problem("", what, "mend its permissions, or doit comfyui:setup")) from None
    return record


_children: dict[int, subprocess.Popen[bytes]] = {}
"""What this very process started, so that it can be asked for its exit code."""


def exit_code(identity: Identity) -> int | None:
    """How a server ended that this very process started; below zero: by that signal. None where unknown."""
    child = _children.get(identity.pid)
    return child.poll() if child else None


def end(identity: Identity, grace_s: float = GRACE_S) -> bool:
    """Stop this process and those that it started: asked to (SIGTERM), then killed after `grace_s` seconds.

    False where it had ended already. Raises ImagegenError where it cannot be stopped.
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
        what = f"ComfyUI's process {family[0].pid} cannot be stopped"
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


def log_tail(root: Path, lines: int = 15) -> list[str]:
    """The last lines of the server's log, as a terminal would show them but without colours."""
    try:
        with (root / LOG).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 65536))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return []
    shown = (_CONTROL.sub("", line.rstrip("\r").rpartition("\r")[2]).rstrip() for line in text.split("\n"))
    return [line[:400] for line in shown if line][-lines:]


_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\^_]|(?!\t)[\x00-\x1f\x7f-\x9f]"
)
"""Escape sequences of a terminal (ECMA-48: CSI, OSC, two-character ones), and other control characters."""


def _identity(found: dict[str, float]) -> Identity:
    return Identity(int(found["pid"]), float(found["started"]))
