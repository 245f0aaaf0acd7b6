"""The processes that do what is called for: each a `doit` of its own, so it does just what the command does.

A child is in a session of its own: a client that kills this server with all its children leaves it its clean end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagegen.errors import FAILED, Problem
from imagegen.report.json_output import VERSION, problem_data

__all__ = ["Call", "Children", "answer", "failure"]

_LONGEST = 1 << 26
"""Bytes of one line of output: a result has all images of a project."""
_LINES = 30
"""Lines of what it says besides that are kept, for the case that it breaks off."""
_APART_S = 0.2
"""Seconds between two interrupts."""
_CANCEL_S = 30.0
"""Seconds after the second interrupt until it is killed."""


@dataclass
class Call:
    """One run of doit.

    Attributes:
        words: what follows `doit`.
        command: that they are of.
        acts: whether it changes the project.
        events: what happens in it; None once it has ended.
        result: its last line.
        process: None until its turn has come.
        interrupts: how often it was interrupted.
        said: the last lines of what it says besides.

    """

    words: Sequence[str]
    command: str
    acts: bool
    events: asyncio.Queue[dict[str, Any] | None] = field(default_factory=asyncio.Queue)
    result: dict[str, Any] | None = None
    said: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES))
    process: asyncio.subprocess.Process | None = None
    interrupts: int = 0

    def interrupt(self) -> None:
        """Do what Ctrl-C does: the images that are begun are finished. The second time, these are cancelled too."""
        self.interrupts += 1
        self._signal(_INTERRUPT)

    def kill(self) -> None:
        """End it whatever it is at."""
        if self.process and self.process.returncode is None:
            self.process.kill()

    def _signal(self, number: signal.Signals) -> None:
        if self.process and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    async def follow(self) -> AsyncIterator[dict[str, Any]]:
        """Yield its events, until it has ended."""
        while (event := await self.events.get()) is not None:
            yield event


class Children:
    """Runs doit in a project. Calls that act run one after another, others beside them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._one_at_a_time = asyncio.Lock()
        self._tasks: dict[asyncio.Task[None], Call] = {}

    def start(self, words: Sequence[str], command: str, *, acts: bool) -> Call:
        """Start doit, or have it wait for its turn. Whoever calls follows it, and interrupts it to be rid of it."""
        call = Call(words, command, acts)
        task = asyncio.create_task(self._run(call))
        self._tasks[task] = call
        task.add_done_callback(self._tasks.pop)
        return call

    async def close(self, urgent: asyncio.Future[Any]) -> None:
        """Interrupt all that run, and wait for their ends. Once this is urgent, interrupt them again."""
        for call in self._tasks.values():
            if not call.interrupts:
                call.interrupt()
        while self._tasks and not urgent.done():
            await asyncio.wait([*self._tasks, urgent], return_when=asyncio.FIRST_COMPLETED)
        await self._wait(_APART_S)  # two at once would count as one
        for call in self._tasks.values():
            call.interrupt()
        await self._wait(_CANCEL_S)
        for call in self._tasks.values():
            call.kill()
        await self._wait(None)

    async def _wait(self, seconds: float | None) -> None:
        if self._tasks:
            await asyncio.wait([*self._tasks], timeout=seconds)

    async def _run(self, call: Call) -> None:
        try:
            async with self._one_at_a_time if call.acts else contextlib.AsyncExitStack():
                if not call.interrupts:
                    await self._run_process(call)
        except Exception as error:  # whatever is wrong with one, the server goes on
            call.said.append(f"doit cannot be run: {error}")
        finally:
            call.events.put_nowait(None)

    async def _run_process(self, call: Call) -> None:
        call.process = process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "doit", *call.words],
            cwd=self._folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LONGEST,
            **_APART,
        )
        if call.interrupts:  # while it was being started
            call.interrupt()
        assert process.stdout is not None  # noqa: S101 - they are pipes
        assert process.stderr is not None  # noqa: S101
        await asyncio.gather(_read_lines(process.stdout, call), _keep_last(process.stderr, call))
        await process.wait()


async def _read_lines(stream: asyncio.StreamReader, call: Call) -> None:
    async for raw in stream:
        try:
            event = json.loads(raw)
        except ValueError:  # half a line, if it was killed
            continue
        if isinstance(event, dict) and event.get("event") == "result":
            call.result = event
        else:
            call.events.put_nowait(event)


async def _keep_last(stream: asyncio.StreamReader, call: Call) -> None:
    async for raw in stream:
        if line := raw.decode("utf-8", "replace").rstrip():
            call.said.append(line)


def answer(call: Call) -> dict[str, Any]:
    """Return the result of a call that has ended, as doit writes it; if it wrote none, what it said instead."""
    if call.result is not None:
        return call.result
    code = call.process.returncode if call.process else None
    what = f"doit ended without a result (exit code {code})"
    return failure(call.command, FAILED, [Problem("", "\n".join([what, *call.said]))])


def failure(command: str, code: int, problems: Sequence[Problem]) -> dict[str, Any]:
    """Return the result of a command that did not get so far as to have one."""
    said: list[Mapping[str, Any]] = [problem_data(problem) for problem in problems]
    return {
        "event": "result",
        "version": VERSION,
        "command": command,
        "exit_code": code,
        "problems": said,
        "result": None,
    }


if sys.platform == "win32":  # only a group of its own can be sent an interrupt, and only this one
    _INTERRUPT = signal.CTRL_BREAK_EVENT
    _APART: dict[str, Any] = {"creationflags": 0x200}  # CREATE_NEW_PROCESS_GROUP of CreateProcess
else:
    _INTERRUPT = signal.SIGINT
    _APART: dict[str, Any] = {"start_new_session": True}
