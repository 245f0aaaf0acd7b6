"""Processes that this project starts: which one it is, what became of it, its environment and its end.

A PID alone says little, for it gets reused: the time at which the process started goes with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import psutil

from imagegen.backends.locked import locked
from imagegen.backends.text import plain_lines
from imagegen.config.settings import SETTINGS
from imagegen.errors import ImagegenError, Problem

__all__ = [
    "GRACE_S",
    "ManagedServer",
    "ProcessIdentity",
    "Record",
    "StartedBy",
    "describe_exit",
    "end",
    "environment_without_secrets",
    "exit_code",
    "spawn",
    "this_process",
]


GRACE_S = 10.0
"""Seconds that a server may take to stop. ComfyUI takes 2.4 s."""
_CLOCK_S = 5.0
"""The system reckons a start time from the clock, which may have been put right since."""


@dataclass(frozen=True)
class ProcessIdentity:
    """One process of this machine. started: in seconds since 1970."""

    pid: int
    started: float

    def is_same(self, other: ProcessIdentity) -> bool:
        """Whether both are one process."""
        return self.pid == other.pid and abs(self.started - other.started) < _CLOCK_S

    def look(self) -> Literal["alive", "gone", "reused"]:
        """What became of it; reused: another process has its PID."""
        try:
            process = psutil.Process(self.pid)
            if not self.is_same(ProcessIdentity(self.pid, process.create_time())):
                return "reused"
            return "alive" if _runs(process) else "gone"
        except psutil.NoSuchProcess:
            return "gone"
        except psutil.AccessDenied:  # somebody else's
            return "reused"


def this_process() -> ProcessIdentity:
    """The process that asks."""
    return ProcessIdentity(os.getpid(), psutil.Process().create_time())


def environment_without_secrets() -> dict[str, str]:
    """The variables of this process, for one that is started: without secrets, and without what is for this Python."""
    left_out = {setting.environment for setting in SETTINGS if setting.secret} | {"PYTHONPATH"}
    return {name: value for name, value in os.environ.items() if name not in left_out}


def spawn(command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> ProcessIdentity:
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
    return ProcessIdentity(child.pid, psutil.Process(child.pid).create_time())


_children: dict[int, subprocess.Popen[bytes]] = {}
"""What this very process started, so that it can be asked for its exit code."""


def exit_code(identity: ProcessIdentity) -> int | None:
    """How a process ended that this very one started; below zero: by that signal. None where unknown."""
    child = _children.get(identity.pid)
    return child.poll() if child else None


def describe_exit(code: int | None) -> str:
    """` with exit code 1`, ` by signal 9`; empty where it is unknown."""
    return "" if code is None else f" with exit code {code}" if code >= 0 else f" by signal {-code}"


def end(identity: ProcessIdentity, name: str, grace_s: float = GRACE_S) -> bool:
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


StartedBy = Literal["run", "server:start"]
"""Who started a server: a run, which stops it at its end, or a person, who does that."""
_LOCK_S = 60.0
"""Longer than any other holds the lock: a start only until its process is there, a stop at most twice its grace."""
_END_OF_LOG = 15
"""Lines of it that are told."""


@dataclass(frozen=True)
class Record:
    """A server that this project started. owner: the process of doit that did, or that took it over since."""

    process: ProcessIdentity
    url: str
    by: StartedBy
    owner: ProcessIdentity

    @property
    def is_of_this_run(self) -> bool:
        """Whether the run of this process stops it at its end."""
        return self.by == "run" and self.owner.is_same(this_process())


@dataclass(frozen=True)
class ManagedServer:
    """One such server, whether it runs or not.

    name: what it is, for a person. root: the project. log: what the process says, a file there; record and lock are
    beside it.
    cannot_start, too_slow: what to do then. signs: what it writes before it ends → what to do.
    """

    name: str
    root: Path
    log: Path
    cannot_start: str
    too_slow: str
    signs: Mapping[str, str] = field(default_factory=dict)

    def lock(self) -> AbstractContextManager[None]:
        """One start or stop at a time in this project, in whichever process. Raises ImagegenError."""
        busy = Problem("", f"{self.name} is being started or stopped by another doit", "wait for it")
        return locked((self.root / self.log).with_suffix(".lock"), busy, _LOCK_S)

    def record(self) -> Record | None:
        """The record; None where there is none that can be read."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(self._record.read_bytes())
            by: StartedBy = "run" if found["by"] == "run" else "server:start"
            return Record(_identity(found["process"]), str(found["url"]), by, _identity(found["owner"]))
        return None

    def forget(self) -> None:
        """Remove the record, if there is one."""
        self._record.unlink(missing_ok=True)

    def spawn(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], url: str, by: StartedBy
    ) -> Record:
        """Start the process in `folder` and record it, with the lock held. Raises ImagegenError."""
        log, process = self.root / self.log, None
        try:
            with suppress(FileNotFoundError):
                log.replace(log.with_suffix(".log.1"))  # it may hold why the last one ended
            process = spawn(command, folder, environment, log)
            record = Record(process, url, by, this_process())
            self._write(record)
        except OSError as error:
            if process:  # nobody would know of it
                end(process, self.name, 0)
            what = f"{self.name} cannot be started: {error.filename or log}: {error.strerror}"
            raise ImagegenError(Problem("", what, self.cannot_start)) from None
        return record

    def take_over(self, record: Record, by: StartedBy) -> Record:
        """The record of one that runs, with its new owner, if it gets one; with the lock held."""
        left_behind = record.by == "run" and record.owner.look() != "alive"
        if record.by == "server:start" or (by == "run" and not left_behind):
            return record
        record = replace(record, by=by, owner=this_process())
        self._write(record)
        return record

    def wait(
        self,
        record: Record,
        serves: Callable[[], bool],
        timeout_s: float,
        say: Callable[[str], None],
        check: Callable[[], None],
    ) -> None:
        """Wait until it serves, which is asked often. say: gets a few words about once a second. check: may raise.

        Raises ImagegenError where it ends before, or takes longer, with the end of its log.
        """
        began, said = time.monotonic(), -1
        while True:
            check()
            ended = exit_code(record.process) is not None or record.process.look() != "alive"
            if not ended and serves():
                return
            if ended:
                raise ImagegenError(self._died(record))
            seconds = time.monotonic() - began
            if seconds > timeout_s:
                what = f"{self.name} did not serve within {timeout_s:g} s{self._end_of_log()}"
                raise ImagegenError(Problem("", what, self.too_slow))
            if int(seconds) > said:
                said = int(seconds)
                say(f"starting {self.name} … {said} s")
            time.sleep(0.1)

    def end(self, record: Record, grace_s: float = GRACE_S) -> bool:
        """Stop the server of the record, which goes too unless it is of another one by now; with the lock held.

        Whether it ran until now. Raises ImagegenError where it cannot be stopped.
        """
        stopped = end(record.process, self.name, grace_s)
        now = self.record()
        if now is None or now.process == record.process:
            self.forget()
        return stopped

    def release(self, grace_s: float = GRACE_S) -> bool:
        """A run's end: stop the server if this run started it or took it over, and nobody took it over since.

        Whether it was stopped. Raises ImagegenError where it cannot be.
        """
        with self.lock():
            record = self.record()
            return record is not None and record.is_of_this_run and self.end(record, grace_s)

    def describe_end(self) -> str:
        """How it ended, with the end of its log; empty while it is alive."""
        record = self.record()
        if record is None or record.process.look() == "alive":
            return ""
        return f"{self.name} ended{describe_exit(exit_code(record.process))}{self._end_of_log()}"

    def read_log_tail(self) -> list[str]:
        """The last lines of its log, as plain text."""
        try:
            with (self.root / self.log).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 65536))
                return plain_lines(log.read().decode("utf-8", "replace"))[-_END_OF_LOG:]
        except OSError:
            return []

    def _died(self, record: Record) -> Problem:
        how, log = describe_exit(exit_code(record.process)), "\n".join(self.read_log_tail())
        hint = next((hint for sign, hint in self.signs.items() if sign in log), "fix what its log says")
        return Problem("", f"{self.name} ended{how} while it started{self._end_of_log()}", hint)

    def _end_of_log(self) -> str:
        lines = self.read_log_tail()
        if not lines:
            return f"; {self.log.as_posix()} is empty"
        return "".join([f"; the end of {self.log.as_posix()}:", *(f"\n    | {line}" for line in lines)])

    @property
    def _record(self) -> Path:
        return (self.root / self.log).with_suffix(".json")

    def _write(self, record: Record) -> None:
        """Put it on disk in one step. Raises OSError."""
        written = self._record.with_suffix(".tmp")
        written.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")
        written.replace(self._record)


def _identity(found: dict[str, float]) -> ProcessIdentity:
    return ProcessIdentity(int(found["pid"]), float(found["started"]))
