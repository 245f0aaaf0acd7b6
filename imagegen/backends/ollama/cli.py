"""Ollama's command line: a question to it, a call that takes long, and what it knows of itself and its models.

It writes control sequences even if nobody looks at a terminal; none of them leaves this module. Source of the facts:
command lines of 0.32.5 and 0.32.15, run.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from imagegen.backends.managed_server import (
    ProcessIdentity,
    environment_without_secrets,
    exit_code,
    start_process,
    stop_process,
)
from imagegen.backends.ollama.models import tagged_name
from imagegen.backends.text import one_line, size_text
from imagegen.errors import ImagegenError, Problem

__all__ = [
    "Call",
    "CallResult",
    "Command",
    "ListedModel",
    "ModelDetails",
    "Versions",
    "has_image_flags",
    "list_models",
    "plain_text",
    "read_versions",
    "show_model",
]

_ASK_S = 20.0
"""Seconds for a question: the first one may wait for a disk that sleeps."""
_GRACE_S = 3.0
"""Seconds that a call has to end by itself."""
_SHOWS_IMAGES = ("TERM_PROGRAM", "WEZTERM_PANE", "KITTY_WINDOW_ID", "GHOSTTY_RESOURCES_DIR")
"""If one of these is set, Ollama writes the whole image to stdout too."""
_ANSWER = 4 * 1024**2
"""Bytes of an answer that are read. A list of a thousand models has 100 KB; a licence may be long."""
_LOG = 64 * 1024**2
"""Bytes that a call may write; an image's progress has some thousand, a pull's of an hour a few million."""
_TAIL = 65536
"""Bytes at the end of a log that are looked at."""


@dataclass(frozen=True)
class CallResult:
    """What a call wrote, without control sequences. code: its exit code, below zero for a signal; None if unknown."""

    code: int | None
    out: str
    err: str

    @property
    def error(self) -> str:
        """What follows the first `Error:`, as one line; empty if there is none. It need not begin a line."""
        return one_line(self.err.partition("Error: ")[2], 600)


@dataclass(frozen=True)
class Command:
    """An `ollama`. executable: its path. host: the server that it talks to, as OLLAMA_HOST has it."""

    executable: str
    host: str

    def run(self, *words: str, timeout_s: float = _ASK_S) -> CallResult:
        """Run it to its end. Raises ImagegenError if it cannot be started, or does not end in time."""
        try:
            process = subprocess.Popen(
                [self.executable, *words],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise ImagegenError(_explain_no_start(self.executable, error)) from None
        kill = partial(_kill, process.pid)
        atexit.register(kill)  # whoever asked may have left this thread behind
        with process:
            try:
                out, err = _read_answer(process, timeout_s)
            except BaseException as error:
                kill()
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                what = f"'ollama {words[0]}' is not done after {timeout_s:g} s: does the server at {self.host} hang?"
                raise ImagegenError(Problem("", what, "restart Ollama, then run doit again")) from None
            finally:
                atexit.unregister(kill)
        return CallResult(process.returncode, plain_text(out), plain_text(err))

    def start(self, *words: str, folder: Path, log: Path) -> Call:
        """Start it in `folder`, all its output going to the file `log`. Raises ImagegenError.

        It has a session of its own: Ctrl-C does not reach it, and it outlives this process. It gets no input, which
        Ollama would put before the prompt.
        """
        try:
            return Call(start_process([self.executable, *words], folder, self.environment, log), log)
        except OSError as error:
            raise ImagegenError(_explain_no_start(self.executable, error)) from None

    @property
    def environment(self) -> dict[str, str]:
        """The variables for it: no secrets, and nothing that puts images into its output."""
        ours = {name: value for name, value in environment_without_secrets().items() if name not in _SHOWS_IMAGES}
        return {**ours, "OLLAMA_HOST": self.host}


@dataclass(frozen=True)
class Call:
    """A call that was started, by this process or by one that has ended since.

    After a `with` block, it has ended, and so has all that it started.
    """

    identity: ProcessIdentity
    log: Path

    def __enter__(self) -> Call:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait(self, check: Callable[[], None], on_output: Callable[[str], None]) -> CallResult:
        """Wait for its end.

        Args:
            check: called every 0.05 s; may raise.
            on_output: gets the end of its output so far, whenever there is more.
        """
        size = -1
        while self.identity.is_alive:
            check()
            if size > _LOG:
                what = f"'ollama' writes more and more, {size_text(size)} so far, and is stopped"
                raise ImagegenError(Problem("", what, "look at its log: does the server answer as Ollama does?"))
            if size != (size := _size(self.log)):
                on_output(plain_text(_read_tail(self.log)))
            time.sleep(0.05)
        self.stop()
        text = plain_text(_read_tail(self.log))
        return CallResult(exit_code(self.identity), text, text)

    def stop(self) -> None:
        """End it and whatever it started. It may have ended already."""
        stop_process(self.identity, "ollama", _GRACE_S)


@dataclass(frozen=True)
class Versions:
    """The versions of the client, and of the server that it talks to; that is empty if none answers."""

    client: str
    server: str


@dataclass(frozen=True)
class ListedModel:
    """A model that the server has. id: the first 12 hex digits of its digest. size: as Ollama writes it."""

    id: str
    size: str


@dataclass(frozen=True)
class ModelDetails:
    """What a model can do, and the first lines of its licence; both empty if Ollama does not say."""

    capabilities: tuple[str, ...] = ()
    licence: str = ""


def read_versions(command: Command) -> Versions:
    """Ask for the versions: the version line is the server's, though the client prints it. Raises ImagegenError."""
    result = command.run("--version")
    server, client = _SERVER.search(result.out), _CLIENT.search(result.out)
    if not server and not client:
        what = f"{command.executable} is not an Ollama: --version prints '{one_line(result.out or result.err, 80)}'"
        raise ImagegenError(Problem("", what, "take it off PATH, or put Ollama before it"))
    known = server[1] if server else ""
    return Versions(client[1] if client else known, known)


_SERVER = re.compile(r"ollama version is (\S+)")
_CLIENT = re.compile(r"client version is (\S+)")


def has_image_flags(command: Command) -> bool:
    """Return whether `run` knows images. Needs no server."""
    return "--width" in command.run("run", "--help").out


def list_models(command: Command) -> Mapping[str, ListedModel]:
    """Return the models that the server has, by name and tag. Raises ImagegenError."""
    result = command.run("list")
    if result.code != 0:
        raise ImagegenError(Problem("", f"ollama list: {result.error or 'failed'}", "restart Ollama"))
    rows = [re.split(r"\s{2,}", line.strip()) for line in result.out.splitlines()]
    return {row[0]: ListedModel(row[1], row[2]) for row in rows if len(row) >= 3 and row[0] != "NAME"}


def show_model(command: Command, model: str) -> ModelDetails:
    """Return what `ollama show` says of a model; nothing if it fails, since newer ones refuse it for image models."""
    result = command.run("show", tagged_name(model))
    if result.code != 0:
        return ModelDetails()
    licence = one_line(" ".join(_section(result, "License")[:2]), 120)
    return ModelDetails(tuple(_section(result, "Capabilities")), licence)


def _section(result: CallResult, title: str) -> list[str]:
    """Return the lines below a title, up to the blank one."""
    lines = [line.strip() for line in result.out.splitlines()]
    if title not in lines:
        return []
    below = lines[lines.index(title) + 1 :]
    return below[: below.index("")] if "" in below else below


def _kill(pid: int) -> None:
    """Kill a process and all that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                one.kill()


def _read_answer(process: subprocess.Popen[bytes], timeout_s: float) -> list[bytes]:
    """Return its stdout and stderr until its end, `_ANSWER` bytes of each. Raises subprocess.TimeoutExpired.

    `communicate` would read to the end, however far that is.
    """
    until_s = time.monotonic() + timeout_s
    read: list[bytearray] = []
    readers = []
    for stream in filter(None, (process.stdout, process.stderr)):
        read.append(bytearray())
        readers.append(threading.Thread(target=_read, args=(os.dup(stream.fileno()), read[-1]), daemon=True))
        readers[-1].start()
    for reader in readers:
        reader.join(max(0.0, until_s - time.monotonic()))
        if reader.is_alive():
            raise subprocess.TimeoutExpired(process.args, timeout_s)
    process.wait(max(0.0, until_s - time.monotonic()))  # one that has more to write waits for somebody to read it
    return [bytes(data) for data in read]


def _read(descriptor: int, data: bytearray) -> None:
    """Read its own descriptor, and close it: what the call started may keep the pipe open, and this waiting."""
    with open(descriptor, "rb", buffering=0) as pipe:
        while len(data) < _ANSWER and (part := pipe.read(65536)):
            data += part


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def _read_tail(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            return file.read(_TAIL)  # it may have grown since
    except OSError:
        return b""


def plain_text(data: bytes) -> str:
    """Return the text without control sequences; what was written over stays, a line for each time."""
    text = _SEQUENCE.sub("", data.decode("utf-8", "replace")).replace("\r", "\n")
    return _CONTROL.sub("", text)


_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]?")
"""Escape sequences of a terminal (ECMA-48): CSI, strings such as OSC, and those of two characters."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def _explain_no_start(executable: str, error: OSError) -> Problem:
    if error.filename not in (None, executable):  # the log, or the folder that it is to run in
        return Problem("", f"{error.filename}: {error.strerror}", "fix that, then run doit again")
    return Problem("", f"{executable} cannot be started: {error.strerror}", "fix its permissions, or install it again")
