"""Processes and servers that this project starts: their identity, record, log and lock, their start and their stop.

A PID gets reused, so the time at which the process started goes with it. What the server is, and when it is ready, the
caller knows.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import psutil

from imagegen.backends.file_lock import hold_file_lock
from imagegen.backends.text import plain_lines
from imagegen.config.settings import SETTINGS
from imagegen.errors import ImagegenError, NotBegunError, Problem

__all__ = [
    "GRACE_S",
    "ManagedServer",
    "ProcessIdentity",
    "ServerRecord",
    "StartedBy",
    "describe_exit",
    "environment_without_secrets",
    "exit_code",
    "find_free_port",
    "hold_free_port",
    "start_process",
    "stop_process",
    "this_process",
    "wait_for_end",
]

GRACE_S = 10.0
"""Seconds that a server may take to stop. ComfyUI takes 2.4 s."""
_REAP_S = 5.0
_CLOCK_S = 5.0
"""The system calculates a start time from the clock, which may have been corrected since."""
_LOCK_S = 60.0
"""Longer than anybody holds the lock: a start until its process is there, a stop at most twice its grace."""
_END_OF_LOG = 15
"""Lines of it that are shown."""

StartedBy = Literal["run", "server:start"]
"""Who started a server: a run, which stops it at its end, or a person, who does that."""


@dataclass(frozen=True)
class ProcessIdentity:
    """One process of this machine. started: in seconds since 1970."""

    pid: int
    started: float

    def is_same(self, other: ProcessIdentity) -> bool:
        """Return whether both are one process."""
        return self.pid == other.pid and abs(self.started - other.started) < _CLOCK_S

    def get_state(self) -> Literal["alive", "gone", "reused"]:
        """Return what became of it; `reused` if another process has its PID."""
        try:
            process = psutil.Process(self.pid)
            if not self.is_same(ProcessIdentity(self.pid, process.create_time())):
                return "reused"
            return "alive" if _is_running(process) else "gone"
        except psutil.NoSuchProcess:
            return "gone"
        except psutil.AccessDenied:  # another user's
            return "reused"

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self.get_state() == "alive"


def this_process() -> ProcessIdentity:
    """Return the process that asks."""
    return ProcessIdentity(os.getpid(), psutil.Process().create_time())


def environment_without_secrets() -> dict[str, str]:
    """Return this process's variables for one that is started: no secrets, and nothing meant for this Python."""
    left_out = {setting.environment for setting in SETTINGS if setting.secret} | {"PYTHONPATH"}
    return {name: value for name, value in os.environ.items() if name not in left_out}


_children: dict[int, subprocess.Popen[bytes]] = {}
"""What this very process started, so that it can be asked for its exit code."""


def start_process(command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> ProcessIdentity:
    """Start a process in `folder`, all its output going to `log`. Raises OSError.

    It has a session of its own: neither Ctrl-C nor the end of a terminal reaches it.
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
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # what that is on Windows
        )
    _children[child.pid] = child
    return ProcessIdentity(child.pid, psutil.Process(child.pid).create_time())


def wait_for_end(identity: ProcessIdentity, seconds: float) -> bool:
    """Wait so long for a process to end by itself. Returns whether it has."""
    until = time.monotonic() + seconds
    while identity.is_alive:
        if time.monotonic() >= until:
            return False
        time.sleep(0.05)
    return True


def find_free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on now."""
    with hold_free_port() as port:
        return port


@contextmanager
def hold_free_port() -> Iterator[int]:
    """Give a port of 127.0.0.1 that nothing listens on, and keep others from it while a server is started for it.

    sd-server binds with SO_REUSEPORT: two may get one port, and each answers some of what is asked of the other. On
    Linux, a socket that is bound and does not listen lets a server have its port, and nobody is given it as a free one.
    On other systems that would be in the server's way, and the port is only found.
    """
    with socket.socket() as held:
        if sys.platform == "linux":
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        port = int(held.getsockname()[1])
        if sys.platform != "linux":
            held.close()
        yield port


def exit_code(identity: ProcessIdentity) -> int | None:
    """Return the exit code of a process that this very one started, below zero for a signal; None if unknown."""
    child = _children.get(identity.pid)
    if child and child.poll() is None and not identity.is_alive:
        with suppress(subprocess.TimeoutExpired):  # it is a zombie, some of whose threads have not ended yet
            child.wait(_REAP_S)
    return child.returncode if child else None


def describe_exit(code: int | None) -> str:
    """Return ` with exit code 1` or ` by signal 9`; empty if it is unknown."""
    return "" if code is None else f" with exit code {code}" if code >= 0 else f" by signal {-code}"


def stop_process(identity: ProcessIdentity, name: str, grace_s: float = GRACE_S) -> bool:
    """Stop a process and all that it started: by SIGTERM, and after `grace_s` seconds by SIGKILL.

    Of one that this very process started, what it left running in its session is killed too.

    Returns:
        Whether it ran until now.

    Raises:
        ImagegenError: it cannot be stopped; `name` says what it is.
    """
    was_alive = identity.is_alive
    if was_alive and (left := _end_family(identity.pid, grace_s)):
        what = f"{name}'s process {left[0].pid} cannot be stopped"
        raise ImagegenError(Problem("", what, f"as the user who started it: kill -9 {left[0].pid}"))
    child = _children.get(identity.pid)
    if child and child.returncode is None:
        # its exit code is asked for last: until then no other process, and no group, can have its number
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):  # macOS gives the latter for one that has ended
                os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    return was_alive


def _end_family(pid: int, grace_s: float) -> list[psutil.Process]:
    """End a process and its children; return those that could not be stopped."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        for end in (psutil.Process.terminate, psutil.Process.kill):
            for one in family:
                with suppress(psutil.NoSuchProcess):
                    end(one)
            family = _wait_for_end(family, grace_s)
        return family
    except psutil.NoSuchProcess:
        return []
    except psutil.AccessDenied:
        return [psutil.Process(pid)]


def _wait_for_end(family: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Return those that have not ended in time. A zombie, whose exit code nobody asks for, has ended."""
    until = time.monotonic() + seconds
    while (family := [one for one in family if _is_running(one)]) and time.monotonic() < until:
        time.sleep(0.05)
    return family


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass(frozen=True)
class ServerRecord:
    """A server that this project started.

    Attributes:
        owner: the doit process that started it, or that has taken it over since.
        launch: identifies what was started; empty if that is always the same.
    """

    process: ProcessIdentity
    url: str
    by: StartedBy
    owner: ProcessIdentity
    launch: str = ""

    @property
    def is_of_this_run(self) -> bool:
        """Whether this process's run stops it at its end."""
        return self.by == "run" and self.owner.is_same(this_process())

    @property
    def is_left_over(self) -> bool:
        """Whether it runs, and the run that was to stop it does not."""
        return self.by == "run" and not self.owner.is_alive and self.process.is_alive

    @property
    def is_of_another_run(self) -> bool:
        """Whether it runs, and so does the other process whose run stops it at its end."""
        return self.by == "run" and not self.is_of_this_run and self.owner.is_alive and self.process.is_alive


@dataclass(frozen=True)
class ManagedServer:
    """A server of the project at `root`, whether it runs or not."""

    name: str
    """What it is, for a person."""
    root: Path
    log: Path
    """The file with its output, from the root; the record and the lock are beside it."""
    cannot_start: str
    too_slow: str
    """What to do if it cannot be started, or is not ready in time."""
    signs: Mapping[str, str] = field(default_factory=dict)
    """What it writes before it ends → what to do."""

    def lock(self) -> AbstractContextManager[None]:
        """Let one process at a time start or stop it. Raises ImagegenError."""
        busy = Problem("", f"{self.name} is being started or stopped by another doit", "wait for it")
        return hold_file_lock((self.root / self.log).with_suffix(".lock"), busy, _LOCK_S)

    def read_record(self) -> ServerRecord | None:
        """Read the record; None if there is none that can be read."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(self._record_file.read_bytes())
            by: StartedBy = "run" if found["by"] == "run" else "server:start"
            launch = str(found.get("launch", ""))
            return ServerRecord(_identity(found["process"]), str(found["url"]), by, _identity(found["owner"]), launch)
        return None

    def is_running(self) -> bool:
        """Return whether it is alive, whoever started it in this project: this run, another, or a killed one."""
        record = self.read_record()
        return record is not None and record.process.is_alive

    def delete_record(self) -> None:
        """Remove the record, if there is one."""
        self._record_file.unlink(missing_ok=True)

    def start(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        url: str,
        by: StartedBy,
        launch: str = "",
    ) -> ServerRecord:
        """Start the process in `folder` and record it, with the lock held. Raises ImagegenError."""
        log, process = self.root / self.log, None
        try:
            with suppress(FileNotFoundError):
                log.replace(log.with_suffix(".log.1"))  # it may show why the last one ended
            process = start_process(command, folder, environment, log)
            record = ServerRecord(process, url, by, this_process(), launch)
            self._write(record)
        except OSError as error:
            if process:  # nobody would know of it
                stop_process(process, self.name, 0)
            what = f"{self.name} cannot be started: {error.filename or log}: {error.strerror}"
            raise ImagegenError(Problem("", what, self.cannot_start)) from None
        return record

    def take_over(self, record: ServerRecord, by: StartedBy) -> ServerRecord:
        """Become the owner of a running server, if a killed run left it or a person asks for it; with the lock held."""
        if record.by == "server:start" or (by == "run" and not record.is_left_over):
            return record
        record = replace(record, by=by, owner=this_process())
        self._write(record)
        return record

    def wait_until_ready(
        self,
        record: ServerRecord,
        is_ready: Callable[[], bool],
        timeout_s: float,
        on_wait: Callable[[str], None],
        check: Callable[[], None],
    ) -> None:
        """Wait until the server is ready.

        Args:
            is_ready: called often.
            on_wait: gets a few words about once a second.
            check: called often; may raise.

        Raises:
            ImagegenError: it ended, or took too long. The end of its log is in the text.
        """
        began, shown = time.monotonic(), -1
        while True:
            check()
            has_ended = exit_code(record.process) is not None or not record.process.is_alive
            if not has_ended and is_ready():
                return
            if has_ended:
                raise ImagegenError(self._explain_failed_start(record))
            seconds = time.monotonic() - began
            if seconds > timeout_s:
                what = f"{self.name} did not answer within {timeout_s:g} s{self._end_of_log()}"
                raise ImagegenError(Problem("", what, self.too_slow))
            if int(seconds) > shown:
                shown = int(seconds)
                on_wait(f"starting {self.name} … {shown} s")
            time.sleep(0.1)

    def stop(self, record: ServerRecord, grace_s: float = GRACE_S) -> bool:
        """Stop the server of the record, and remove that unless it is another server's already; with the lock held.

        Returns whether it ran until now. Raises ImagegenError if it cannot be stopped.
        """
        ran = stop_process(record.process, self.name, grace_s)
        now = self.read_record()
        if now is None or now.process == record.process:
            self.delete_record()
        return ran

    def stop_recorded(self, grace_s: float = GRACE_S) -> str:
        """Stop the server that this project started, whoever did, and no other; return words for what was done.

        Raises ImagegenError if it cannot be stopped.
        """
        with self.lock():
            record = self.read_record()
            if record is None:
                self.delete_record()  # it may exist, but be unreadable
                return "no server that this project started is running"
            state = record.process.get_state()
            stopped = self.stop(record, grace_s)
        pid = record.process.pid
        if stopped:
            return f"{self.name} at {record.url} is stopped (process {pid})"
        if state == "reused":
            return f"{self.name} is gone already; process {pid} is another program now and was left alone"
        return f"{self.name} (process {pid}) is gone already"

    def stop_left_over(self, folder: str) -> None:
        """Stop the server that a killed run left, if there is one. folder: where its program is, for a person.

        Raises ImagegenError if it is a running run's, or cannot be stopped.
        """
        with self.lock():
            record = self.read_record()
            if record is None:
                return
            if record.process.is_alive and record.owner.is_alive:
                what = f"a run generates with {self.name} from {folder} (process {record.owner.pid})"
                raise NotBegunError(Problem("", what, "wait for its end"))
            self.stop(record)

    def release(self, grace_s: float = GRACE_S) -> bool:
        """End a run: stop the server if this run started it or took it over, and nobody took it over since.

        Returns whether it was stopped. Raises ImagegenError if it cannot be.
        """
        with self.lock():
            record = self.read_record()
            return record is not None and record.is_of_this_run and self.stop(record, grace_s)

    def describe_end(self) -> str:
        """Say how the server ended, with the end of its log; empty while it runs, or if there is no record of it."""
        record = self.read_record()
        if record is None or record.process.is_alive:
            return ""
        return f"{self.name} ended{describe_exit(exit_code(record.process))}{self._end_of_log()}"

    def read_log_tail(self) -> list[str]:
        """Return the last lines of the log, as plain text."""
        try:
            with (self.root / self.log).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 65536))
                return plain_lines(log.read().decode("utf-8", "replace"))[-_END_OF_LOG:]
        except OSError:
            return []

    def _explain_failed_start(self, record: ServerRecord) -> Problem:
        how, log = describe_exit(exit_code(record.process)), "\n".join(self.read_log_tail())
        hint = next((hint for sign, hint in self.signs.items() if sign in log), "fix what its log says")
        return Problem("", f"{self.name} ended{how} while it started{self._end_of_log()}", hint)

    def _end_of_log(self) -> str:
        lines = self.read_log_tail()
        if not lines:
            return f"; {self.log.as_posix()} is empty"
        return "".join([f"; the end of {self.log.as_posix()}:", *(f"\n    | {line}" for line in lines)])

    @property
    def _record_file(self) -> Path:
        return (self.root / self.log).with_suffix(".json")

    def _write(self, record: ServerRecord) -> None:
        """Put it on disk in one step. Raises OSError."""
        written = self._record_file.with_suffix(".tmp")
        written.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")
        written.replace(self._record_file)


def _identity(found: dict[str, float]) -> ProcessIdentity:
    return ProcessIdentity(int(found["pid"]), float(found["started"]))
