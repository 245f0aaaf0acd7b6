"""The actions of the page: each is a `doit` of its own, one after another, so it does just what the command does.

A child is in a session of its own, so that Ctrl-C in the terminal reaches it through here alone. It outlives a killed
server: what it writes goes nowhere then, and it finishes what it was asked to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from imagegen.report.progress import EVENTS
from imagegen.report.run_events import SEPARATOR

__all__ = ["Action", "Actions"]

_LINES = 200
"""Lines of an action's output that are kept: the last ones."""
_RECENT = 20
"""Actions that have ended and are shown to a page that is opened."""
_WAIT_S = 86400
"""Seconds that an action waits for a build in a terminal."""
_LONGEST = 1 << 24
"""Bytes of one line of output."""
_BESIDE = frozenset({"mark"})
"""Commands that write nothing that a build reads: they run beside the others, which may take hours."""


@dataclass
class Action:
    """A command, and what became of it.

    words: after `doit`. lines: what it said. run: the event with which its run began, and of each image in flight the
    last ones, so that a page that is opened meanwhile shows it as any other. interrupts: how often it was cancelled.
    """

    number: int
    words: Sequence[str]
    state: Literal["waiting", "running", "done", "failed", "cancelled"] = "waiting"
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES))
    run: dict[str, Any] = field(default_factory=dict)
    flights: dict[str, dict[str, Any]] = field(default_factory=dict)
    interrupts: int = 0

    @property
    def command(self) -> str:
        """As one types it."""
        return shlex.join(["doit", *self.words])

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state not in ("waiting", "running")

    @property
    def data(self) -> dict[str, Any]:
        """As JSON values. events: those by which a page that has missed them catches up."""
        events = [self.run, *(event for flight in self.flights.values() for event in flight.values())]
        return {
            "number": self.number,
            "command": self.command,
            "state": self.state,
            "lines": list(self.lines),
            "events": [event for event in events if event],
        }

    def note(self, event: Mapping[str, Any]) -> None:
        """Remember an event of its run, as long as it is of use."""
        name, task = event.get("event"), event.get("task")
        if name == "run":
            self.run = {**event, "ended": 0}
        elif name == "started":
            self.flights[str(task)] = {"started": dict(event)}
        elif name == "steps" and task in self.flights:
            self.flights[task]["steps"] = dict(event)
        elif name in ("arrived", "outcome"):
            self.flights.pop(str(task), None)
            if name == "outcome" and self.run:
                self.run["ended"] += 1
        elif name == "end":
            self.flights.clear()


class Actions:
    """Runs one action at a time, in a process of its own; and beside it, one of those that need not wait for it.

    Args:
        folder: to run `doit` in.
        leading: words before each command: options of `doit` that `doit review` itself was given.
        tell: takes each event, as JSON values.

    Attributes:
        all: every action, by its number.

    """

    def __init__(self, folder: Path, leading: Sequence[str], tell: Callable[[dict[str, Any]], None]) -> None:
        self._folder = folder
        self._leading = leading
        self._tell = tell
        self._queue: asyncio.Queue[Action] = asyncio.Queue()
        self._beside: asyncio.Queue[Action] = asyncio.Queue()
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self.all: dict[int, Action] = {}

    @property
    def recent(self) -> list[Action]:
        """The actions that have not ended, and the last of those that have."""
        return [one for one in self.all.values() if not one.is_over or one.number > len(self.all) - _RECENT]

    @property
    def running(self) -> list[Action]:
        """Those that are running: one, and maybe one beside it."""
        return [one for one in self.all.values() if one.state == "running"]

    @property
    def pids(self) -> set[int]:
        """The processes of those that are running."""
        return {process.pid for process in self._processes.values()}

    def add(self, words: Sequence[str]) -> Action:
        """Have a command run once all before it have ended.

        If the last one is the same and has not ended, it stays at that: somebody clicked twice.
        """
        last = self.all.get(len(self.all))
        if last and not last.is_over and list(last.words) == list(words):
            return last
        action = Action(len(self.all) + 1, words)
        self.all[action.number] = action
        (self._beside if words[0] in _BESIDE else self._queue).put_nowait(action)
        self._say(action)
        return action

    def cancel(self, number: int) -> bool:
        """Cancel an action: one that runs as Ctrl-C does, once or twice. Return whether it had not ended."""
        action = self.all.get(number)
        if action is None or action.is_over:
            return False
        if action.state == "running":
            self.interrupt(action)
        else:
            self._end(action, "cancelled")
        return True

    def close(self) -> list[Action]:
        """Cancel and return those that have not begun."""
        waiting = [one for one in self.all.values() if one.state == "waiting"]
        for action in waiting:
            self._end(action, "cancelled")
        return waiting

    def interrupt(self, action: Action) -> str:
        """Do to a running action what Ctrl-C does; the third time it is killed. Return what that means for it."""
        action.interrupts += 1
        process = self._processes.get(action.number)
        if process and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                if action.interrupts > 2:
                    process.kill()
                else:
                    process.send_signal(_INTERRUPT)
        meanings = ["stopping when the images that it has begun are done; Ctrl-C again cancels them:", "cancelling"]
        return meanings[action.interrupts - 1] if action.interrupts <= len(meanings) else "killed"

    async def wait_until_idle(self) -> None:
        """Wait until nothing is running or waiting."""
        await self._queue.join()
        await self._beside.join()

    async def run(self) -> None:
        """Run what is added, for ever."""
        await asyncio.gather(self._work(self._queue), self._work(self._beside))

    async def _work(self, queue: asyncio.Queue[Action]) -> None:
        while True:
            action = await queue.get()
            try:
                if action.state == "waiting":
                    await self._run(action)
            except Exception as error:  # whatever is wrong with one, the next is run
                self._take(action, f"doit cannot be run: {error}")
                self._end(action, "failed")
            finally:
                queue.task_done()

    async def _run(self, action: Action) -> None:
        action.state = "running"
        self._say(action)
        waits = [] if any(word.startswith("wait=") for word in self._leading) else [f"wait={_WAIT_S}"]
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "doit", *self._leading, *waits, *action.words],
            cwd=self._folder,
            env=os.environ | {EVENTS: "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=_LONGEST,
            **_APART,
        )
        self._processes[action.number] = process
        try:
            if action.interrupts:  # while it was being started
                process.send_signal(_INTERRUPT)
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            async for raw in process.stdout:
                self._take(action, raw.decode("utf-8", "replace").rstrip("\r\n"))
            code = await process.wait()
        finally:
            del self._processes[action.number]
        if code < 0 and -code != signal.SIGINT:
            self._take(action, f"its process was ended by {signal.Signals(-code).name}")
        is_cancelled = action.interrupts or code in (130, -signal.SIGINT)
        self._end(action, "done" if code == 0 else "cancelled" if is_cancelled else "failed")

    def _take(self, action: Action, line: str) -> None:
        """Take a line of its output: an event, or words."""
        if line.startswith(SEPARATOR):
            with contextlib.suppress(ValueError, TypeError):  # half a line, if it was killed
                event = json.loads(line[1:])
                action.note(event)
                self._tell({"action": action.number, **event})
            return
        action.lines.append(line)
        self._tell({"event": "line", "action": action.number, "line": line})

    def _end(self, action: Action, state: Literal["done", "failed", "cancelled"]) -> None:
        action.state = state
        action.flights.clear()
        self._say(action)

    def _say(self, action: Action) -> None:
        self._tell({"event": "action", **action.data})


_APART: dict[str, Any]
if sys.platform == "win32":  # only a group of its own can be sent an interrupt, and only this one
    _INTERRUPT = signal.CTRL_BREAK_EVENT
    _APART = {"creationflags": 0x200}  # CREATE_NEW_PROCESS_GROUP of CreateProcess
else:
    _INTERRUPT = signal.SIGINT
    _APART = {"start_new_session": True}
