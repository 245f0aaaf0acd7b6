"""The actions of the page: each is a `doit` of its own, one after another, so it does just what the command does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from imagegen.report.progress import EVENTS
from imagegen.report.run_events import SEPARATOR

__all__ = ["Action", "Actions"]

_LINES = 200
"""Lines of an action's output that are kept: the last ones."""
_WAIT_S = 86400
"""Seconds that an action waits for a build in a terminal."""
_BESIDE = frozenset({"mark"})
"""Commands that write nothing that a build reads: they run beside the others, which may take hours."""


@dataclass
class Action:
    """A command, and what became of it.

    words: after `doit`. lines: what it said.
    """

    number: int
    words: Sequence[str]
    state: Literal["waiting", "running", "done", "failed", "cancelled"] = "waiting"
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES))

    @property
    def data(self) -> dict[str, Any]:
        """As JSON values."""
        command = shlex.join(["doit", *self.words])
        return {"number": self.number, "command": command, "state": self.state, "lines": list(self.lines)}


class Actions:
    """Runs one action at a time, in a process of its own; and beside it, one of those that need not wait for it.

    Args:
        folder: to run `doit` in.
        leading: words before each command: options of `doit` that `doit review` itself was given.
        tell: takes each event, as JSON values.

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
    def is_idle(self) -> bool:
        """Whether nothing is running or waiting."""
        return all(one.state not in ("waiting", "running") for one in self.all.values())

    def add(self, words: Sequence[str]) -> Action:
        """Have a command run once all before it have ended."""
        action = Action(len(self.all) + 1, words)
        self.all[action.number] = action
        (self._beside if words[0] in _BESIDE else self._queue).put_nowait(action)
        self._say(action)
        return action

    def cancel(self, number: int) -> None:
        """Cancel an action: one that runs as Ctrl-C does, once or twice."""
        action = self.all.get(number)
        if action and action.state == "waiting":
            action.state = "cancelled"
            self._say(action)
        elif action and action.state == "running":
            self._interrupt(self._processes.get(number))

    def interrupt(self) -> None:
        """Do to what is running what Ctrl-C does."""
        for process in self._processes.values():
            self._interrupt(process)

    def _interrupt(self, process: asyncio.subprocess.Process | None) -> None:
        if process and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)

    async def run(self) -> None:
        """Run what is added, for ever."""
        await asyncio.gather(self._work(self._queue), self._work(self._beside))

    async def _work(self, queue: asyncio.Queue[Action]) -> None:
        while True:
            action = await queue.get()
            if action.state == "waiting":
                await self._run(action)

    async def _run(self, action: Action) -> None:
        action.state = "running"
        self._say(action)
        waits = [] if any(word.startswith("wait=") for word in self._leading) else [f"wait={_WAIT_S}"]
        self._processes[action.number] = process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "doit", *self._leading, *waits, *action.words],
            cwd=self._folder,
            env=os.environ | {EVENTS: "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal reaches it through `interrupt` alone
            limit=1 << 24,
        )
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        async for raw in process.stdout:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if line.startswith(SEPARATOR):
                self._tell({"action": action.number, **json.loads(line[1:])})
            else:
                action.lines.append(line)
                self._tell({"event": "line", "action": action.number, "line": line})
        code = await process.wait()
        del self._processes[action.number]
        action.state = "done" if code == 0 else "cancelled" if code in (130, -signal.SIGINT) else "failed"
        self._say(action)

    def _say(self, action: Action) -> None:
        self._tell({"event": "action", **action.data})
