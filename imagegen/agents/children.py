"""The processes that do what is called for: each a `doit` of its own, so it does just what the command does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagegen.doit_child import AsyncChild
from imagegen.errors import FAILED, Problem
from imagegen.report.json_output import result_data

__all__ = ["Call", "Children"]

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
        child: None until its turn has come.
        interrupts: how often it was interrupted.
        problem: why there is no child.

    """

    words: Sequence[str]
    command: str
    acts: bool
    events: asyncio.Queue[Mapping[str, Any] | None] = field(default_factory=asyncio.Queue)
    child: AsyncChild | None = None
    interrupts: int = 0
    problem: str = "stopped before it began"

    def interrupt(self) -> None:
        """Do what Ctrl-C does: the images that are begun are finished. The second time, these are cancelled too."""
        self.interrupts += 1
        if self.child:
            self.child.interrupt()

    async def follow(self) -> AsyncIterator[Mapping[str, Any]]:
        """Yield its events, until it has ended."""
        while (event := await self.events.get()) is not None:
            yield event

    @property
    def answer(self) -> Mapping[str, Any]:
        """Its result as doit writes it, once it has ended."""
        if self.child:
            return self.child.answer(self.command)
        return result_data(self.command, FAILED, [Problem("", self.problem)])


class Children:
    """Runs doit in a project. Calls that act run one after another, others beside them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._one_at_a_time = asyncio.Lock()
        self._tasks: dict[asyncio.Task[None], Call] = {}

    def start(self, words: Sequence[str], command: str, *, acts: bool) -> Call:
        """Start doit, or have it wait for its turn. The caller follows it, and interrupts it to be rid of it."""
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
            if call.child:
                call.child.kill()
        await self._wait(None)

    async def _wait(self, seconds: float | None) -> None:
        if self._tasks:
            await asyncio.wait([*self._tasks], timeout=seconds)

    async def _run(self, call: Call) -> None:
        try:
            async with self._one_at_a_time if call.acts else contextlib.AsyncExitStack():
                if not call.interrupts:
                    call.child = AsyncChild(call.words, self._folder)
                    async for event in call.child.events():
                        call.events.put_nowait(event)
        except Exception as error:  # whatever is wrong with one, the server goes on
            call.problem = f"doit cannot be run: {error}"
        finally:
            call.events.put_nowait(None)
