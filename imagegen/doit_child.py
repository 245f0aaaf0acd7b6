"""A `doit` in a process of its own, for what acts on behalf of a page, an agent or an editor: one code path for all.

A child is in a session of its own: Ctrl-C in the terminal reaches it through its parent alone, and one whose parent is
killed, with all its children, finishes what it has begun, while what it writes goes nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from imagegen.errors import FAILED, Problem
from imagegen.report.json_output import result_data
from imagegen.report.run_events import SEPARATOR
from imagegen.state.mutex import ASKS

__all__ = ["LONGEST_LINE", "UNWRITABLE", "AsyncChild", "Child", "handling_signals", "interrupt_meaning", "wait_words"]

LONGEST_LINE = 24_000
"""Characters of a command line: Windows takes 32,767, with the path of Python and the options of doit."""
UNWRITABLE = r"\x00-\x08\x0b-\x1f\x7f\ud800-\udfff"
"""Characters that no text on a command line has, as in a set of a regular expression."""
_WAIT_S = 86400
"""Seconds that a child waits for another doit that is at work in the project."""
_SHOWN = 2000
"""Bytes that are shown of what a child said that broke off: the last ones."""
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")

Event = Mapping[str, Any]


class Child:
    """Runs from its creation on.

    Attributes:
        pid: of its process.
        result: its last line, as `--json` has it; None if it has written none.
        exit_code: once it has ended.

    """

    def __init__(
        self, words: Sequence[str], folder: Path, take: Callable[[Event | None], None], asking: int | None = None
    ) -> None:
        """Start it. Raises OSError.

        Args:
            words: after `doit`, with `--json` unless it asks.
            folder: to start it in.
            take: gets each event, in a thread; None once it has ended.
            asking: the socket by which it asks whether it may begin. Its lines for a person are events of it too then.

        """
        self.result: Event | None = None
        self.exit_code = 0
        self._take = take
        self._interrupts = 0
        self._said = ""
        self._has_lines = asking is not None
        errors: Any = subprocess.STDOUT if self._has_lines else tempfile.TemporaryFile()  # noqa: SIM115 - till it ends
        self._process = subprocess.Popen(
            [sys.executable, "-m", "doit", *words],
            cwd=folder,
            env=None if asking is None else os.environ | {ASKS: str(asking)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            **_apart(asking),
        )
        self.pid = self._process.pid
        threading.Thread(target=self._follow, args=[errors], name="doit", daemon=True).start()

    def interrupt(self, number: int = signal.SIGINT) -> str:
        """Do what Ctrl-C does, or SIGTERM; the third time, kill it. Return what that means for its images."""
        self._interrupts += 1
        if self._interrupts > 2:
            self.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number if number == signal.SIGTERM else _INTERRUPT)
        return "stopping" if number == signal.SIGTERM else interrupt_meaning(self._interrupts)

    def kill(self) -> None:
        """End it whatever it is at."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def answer(self, command: str) -> Event:
        """Return its result; if it has ended without, one of this command that has what it said instead."""
        what = f"doit ended without a result (exit code {self.exit_code})"
        return self.result or result_data(command, FAILED, [Problem("", what, self._said)])

    def _follow(self, errors: IO[bytes] | int) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        with self._process.stdout as lines:
            for line in lines:
                self._read(line.decode("utf-8", "replace").rstrip("\r\n"))
        self.exit_code = self._process.wait()
        if not isinstance(errors, int):
            with errors:
                errors.seek(max(0, errors.seek(0, os.SEEK_END) - _SHOWN))
                self._said = errors.read().decode("utf-8", "replace").strip()
        self._take(None)

    def _read(self, line: str) -> None:
        if self._has_lines and not line.startswith(SEPARATOR):
            self._take({"event": "line", "line": line})
            return
        try:
            event = json.loads(line.lstrip(SEPARATOR))
        except ValueError:  # half a line, if it was killed
            return
        if event["event"] == "result":
            self.result = event
        else:
            self._take(event)


class AsyncChild(Child):
    """One that is followed in the event loop that runs."""

    def __init__(self, words: Sequence[str], folder: Path, asking: int | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()

        def take(event: Event | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._events.put_nowait, event)

        super().__init__(words, folder, take, asking)

    async def events(self) -> AsyncIterator[Event]:
        """Yield what happens, until it has ended. Once is enough."""
        while (event := await self._events.get()) is not None:
            yield event


def wait_words(leading: Sequence[str]) -> list[str]:
    """Return what has a child wait for another doit, unless these words, which it is given too, say how long."""
    return [] if any(word.startswith("wait=") for word in leading) else [f"wait={_WAIT_S}"]


def interrupt_meaning(times: int) -> str:
    """Return what it means for a child's images that it was interrupted so often."""
    first = "stopping when the images in progress are done; Ctrl-C again cancels them"
    return [first, "cancelling", "killed"][min(times, 3) - 1]


@contextlib.contextmanager
def handling_signals(handle: Callable[[int], object]) -> Iterator[None]:
    """Have each signal that would end the process handled instead. One that it was started to ignore stays ignored.

    But not by children, which must hear that they are cancelled: a child ignores what its parent does, and would not
    ignore what its parent handles.
    """
    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        is_ignored = before[number] in (signal.SIG_IGN, None)
        signal.signal(number, (lambda *_: None) if is_ignored else (lambda number, _: handle(number)))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if sys.platform == "win32":  # only a group of its own can be sent an interrupt, and only this one
    _INTERRUPT = signal.CTRL_BREAK_EVENT

    def _apart(_asking: int | None) -> dict[str, Any]:  # it can be handed down no socket: so it does not ask
        return {"creationflags": 0x200}  # CREATE_NEW_PROCESS_GROUP of CreateProcess
else:
    _INTERRUPT = signal.SIGINT

    def _apart(asking: int | None) -> dict[str, Any]:
        """Return how a child is started: apart from the terminal, and with the socket that it asks by."""
        return {"start_new_session": True, "pass_fds": [] if asking is None else [asking]}
