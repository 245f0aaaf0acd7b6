"""Ollama's command line: what is asked of it, what it says, and a call of it that takes long.

It writes control sequences even where nobody looks at a terminal; none of them leaves this module.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from imagegen.config.setting import SETTINGS
from imagegen.errors import ImagegenError, Problem

__all__ = ["Call", "Command", "Said", "plain_text"]

_ASK_S = 60.0
"""Seconds for a question: the first one can wait for a disk that sleeps."""
_GRACE_S = 3.0
"""Seconds that a call has to end by itself."""
_SHOWS_IMAGES = ("TERM_PROGRAM", "WEZTERM_PANE", "KITTY_WINDOW_ID", "GHOSTTY_RESOURCES_DIR")
"""Where one of these is set, Ollama writes the whole image to stdout too."""
_KEPT = 65536
"""Bytes at the end of a log that are looked at."""


@dataclass(frozen=True)
class Said:
    """What a call said, without control sequences. code: its exit code, below zero for a signal; None where unknown."""

    code: int | None
    out: str
    err: str

    @property
    def error(self) -> str:
        """What follows the first `Error:`, as one line; empty where there is none. It need not begin a line."""
        return " ".join(self.err.partition("Error: ")[2].split())[:600]


@dataclass(frozen=True)
class Command:
    """An `ollama`. executable: its path. host: the server that it talks to, as OLLAMA_HOST has it."""

    executable: str
    host: str

    def ask(self, *words: str, timeout_s: float = _ASK_S) -> Said:
        """Run it to its end. Raises ImagegenError where it cannot be started, or does not end."""
        try:
            done = subprocess.run(
                [self.executable, *words],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            what = f"'ollama {words[0]}' said nothing for {timeout_s:g} s"
            raise ImagegenError(Problem("", what, "restart Ollama, then run doit again")) from None
        except OSError as error:
            raise ImagegenError(_cannot_start(self.executable, error)) from None
        return Said(done.returncode, plain_text(done.stdout), plain_text(done.stderr))

    def call(self, *words: str, folder: Path, log: Path) -> Call:
        """Start it in `folder`, what it says going to the file `log`. Raises ImagegenError.

        It is in a session of its own: Ctrl-C does not reach it, and it outlives this process.
        """
        try:
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [self.executable, *words],
                    cwd=folder,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,  # it reads to the end, and puts what it read before the prompt
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
        except OSError as error:
            raise ImagegenError(_cannot_start(self.executable, error)) from None
        return Call(process.pid, log, process)

    @property
    def environment(self) -> dict[str, str]:
        """Our own, for this server, without our secrets and what would have images in the output."""
        left_out = {setting.environment for setting in SETTINGS if setting.secret} | set(_SHOWS_IMAGES)
        return {**{name: value for name, value in os.environ.items() if name not in left_out}, "OLLAMA_HOST": self.host}


@dataclass
class Call:
    """A call that was started. process: None where another process started it."""

    pid: int
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def wait(self, check: Callable[[], None], say: Callable[[str], None]) -> Said:
        """Wait for its end. check: may raise, and is called every 0.1 s. say: gets the end of what it said so far.

        However this returns, the call and all that it started have ended.
        """
        try:
            size = -1
            while self._runs():
                check()
                if size != (size := _size(self.log)):
                    say(plain_text(_tail(self.log)))
                self._pause()
        except BaseException:
            self.end()
            raise
        code = self.process.wait() if self.process else None
        text = plain_text(_tail(self.log))
        return Said(code, text, text)

    def end(self) -> None:
        """End it and whatever it started: asked to first, then killed."""
        _signal(self.pid, signal.SIGTERM)
        until = time.monotonic() + _GRACE_S
        while _is_alive(self.pid) and time.monotonic() < until:
            time.sleep(0.05)
        # before it is asked for its exit code: until then nobody else can have its number
        _signal(self.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        if self.process:
            self.process.wait()

    def _runs(self) -> bool:
        return self.process.poll() is None if self.process else _is_alive(self.pid)

    def _pause(self) -> None:
        if self.process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.1)
        else:
            time.sleep(0.1)


def _signal(pid: int, number: int) -> None:
    """To the call and all that it started: its process group where there are such, else its family."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(pid, number)
            return
        for process in _family(pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def _family(pid: int) -> Iterator[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        yield from process.children(recursive=True)
        yield process


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _KEPT))
            return file.read()
    except OSError:
        return b""


def plain_text(data: bytes) -> str:
    """The text without control sequences; what was written over stays, a line for each time."""
    text = _SEQUENCE.sub("", data.decode("utf-8", "replace")).replace("\r", "\n")
    return _CONTROL.sub("", text)


_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.?", re.DOTALL)
"""Escape sequences of a terminal (ECMA-48): CSI, strings such as OSC, and those of two characters."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def _cannot_start(executable: str, error: OSError) -> Problem:
    return Problem("", f"{executable} cannot be started: {error.strerror}", "mend its permissions, or install it anew")
