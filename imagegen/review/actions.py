"""The actions of the page: each is a `doit` of its own, one after another, so it does just what the command does.

Once a child holds the project, it asks whether it may begin: now nobody else changes what an undo goes back to. It
outlives a killed server, see `doit_child`; but nothing begins that nobody waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import shlex
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from imagegen.doit_child import AsyncChild, interrupt_meaning, wait_words
from imagegen.errors import STOPPED, ImagegenError
from imagegen.project import JobPlan, Project
from imagegen.report.run_progress import RunProgress
from imagegen.review.consent import Consent
from imagegen.review.undo import (
    ProjectState,
    Undo,
    explain_change,
    find_remarks_undo,
    find_undo,
    read_remarks_state,
    read_state,
)

__all__ = ["Action", "Actions"]

_LINES = 200
"""Lines of an action's output that are kept: the last ones."""
_RECENT = 20
"""Actions that have ended and are shown to a page that is opened."""
_SHOWN = 2000
"""Characters of an undo that a page is sent: those of thousands of images would be sent with each change."""
_CLICK_S = 0.6
"""Seconds within which a second click on Cancel is the same one: a double click is not Ctrl-C twice."""
_NAMED_ONLY = frozenset({"accept", "pick", "reroll", "restore", "mark"})
"""Commands that say nothing of what they write but by the names that they are given."""


@dataclass
class Action:
    """Commands that belong together, mostly one, and what became of them.

    Attributes:
        commands: the words of each command line after `doit` and what it is given each time.
        leading: that: options of `doit`, and variables.
        undoes: the number of the action that it takes back.
        file: that was edited on the page, instead of commands.
        edit: the number by which the edit is taken back; None if it is none, or cannot be any more.
        lines: what it said.
        interrupts: how often it was cancelled.
        before: how the project was before it; None if that cannot be read.
        refusal: why it is not to begin.
        has_begun: a child of it has been let begin.
        undo: how it is taken back, once it has ended.

    """

    number: int
    commands: Sequence[Sequence[str]]
    leading: Sequence[str] = ()
    undoes: int | None = None
    file: str = ""
    edit: int | None = None
    state: Literal["waiting", "running", "done", "failed", "cancelled"] = "waiting"
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES))
    progress: RunProgress = field(default_factory=RunProgress)
    interrupts: int = 0
    before: ProjectState | None = None
    refusal: str = ""
    has_begun: bool = False
    undo: Undo = field(default_factory=Undo)
    built: set[str] = field(default_factory=set)
    """Tasks of the images that it wrote."""
    cancelled_s: float = -math.inf
    """When a page last asked for its end, by a clock that never goes back."""

    def line(self, words: Sequence[str], *variables: str) -> list[str]:
        """Return the command line of one command, with these variables besides: what runs is what is shown."""
        return ["doit", *self.leading, *variables, *words]

    @property
    def command(self) -> str:
        """As one types it: a line for each command; of an edit, what was edited."""
        if self.file:
            return f"edit of {self.file}"
        return "\n".join(shlex.join(self.line(words)) for words in self.commands)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state not in ("waiting", "running")

    @property
    def can_be_undone(self) -> bool:
        """Whether there is a way back, as far as is known."""
        return self.edit is not None or bool(self.undo.commands)

    @property
    def is_of_remarks(self) -> bool:
        """Whether it writes nothing that a build reads: it runs beside the others, which may take hours."""
        return all(words[:1] == ["mark"] for words in self.commands)

    @property
    def touched(self) -> set[str]:
        """The images and jobs that it may have changed."""
        return self.built.union(*(words[1:] for words in self.commands if words and words[0] in _NAMED_ONLY))

    @property
    def result(self) -> str:
        """What became of it, in one line."""
        if self.state == "failed" and not self.progress.has_failures and (problem := _find_problem(self.lines)):
            return problem
        said = [" ".join(line.split()) for line in self.lines if line.strip()]
        picked = next((line for line in said if line.startswith(("picked ", "unpicked "))), "")
        return picked or self.progress.summary or (said[-1] if said else "")

    @property
    def _undo_lines(self) -> list[str]:
        """The command lines of its undo, as far as they are shown."""
        lines: list[str] = []
        left = _SHOWN
        for words in self.undo.commands:
            line = shlex.join(self.line(words))
            if left > 0:
                lines.append(line if len(line) <= left else f"{line[:left]}…")
            left -= len(line)
        return lines

    @property
    def data(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "number": self.number,
            "command": self.command,
            "state": self.state,
            "lines": list(self.lines),
            "progress": self.progress.data,
            "interrupts": self.interrupts,
            "result": self.result if self.is_over else "",
            "count": self.progress.rounds,
            "images": sorted(self.built),
            "undoes": self.undoes,
            "file": self.file,
            "can_be_undone": self.can_be_undone,
            "verb": self.commands[0][0] if self.commands else "",
            "undo": self._undo_lines,
            "undo_count": len(self.undo.commands),
            "undo_problem": self.undo.problem,
        }

    def note(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Take notice of an event of its run, and return what that changes for a page."""
        if event.get("event") == "outcome" and event.get("state") in ("generated", "derived", "restored"):
            self.built.add(str(event.get("task")))
        return self.progress.take(event)


class Actions:
    """Runs one action at a time, in a process of its own; and beside it, one of those that need not wait for it.

    Args:
        folder: to run `doit` in.
        leading: words before each command: options of `doit` that `doit review` itself was given, and variables.
        send: takes each event, as JSON values.
        open_project: returns the project and its plans as they are now.

    Attributes:
        all: every action, by its number.
        leading: as given.

    """

    def __init__(
        self,
        folder: Path,
        leading: Sequence[str],
        send: Callable[[dict[str, Any]], None],
        open_project: Callable[[], tuple[Project, Sequence[JobPlan]]],
    ) -> None:
        self._folder = folder
        self._open_project = open_project
        self.leading = leading
        self._send = send
        self._queue: asyncio.Queue[Action] = asyncio.Queue()
        self._beside: asyncio.Queue[Action] = asyncio.Queue()
        self._children: dict[int, AsyncChild] = {}
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
        return {child.pid for child in self._children.values()}

    def add(self, commands: Sequence[Sequence[str]], rounds: int = 1, undoes: int | None = None) -> Action:
        """Have commands run once all before them have ended.

        If the last action is the same and has not ended, it stays at that: somebody clicked twice.

        Args:
            commands: the words of each after `doit`.
            rounds: runs over the same images that there will be.
            undoes: the action that they take back.

        """
        last = self.all.get(len(self.all))
        if last and not last.is_over and list(map(list, last.commands)) == list(map(list, commands)):
            return last
        action = Action(len(self.all) + 1, commands, self.leading, undoes, progress=RunProgress(rounds))
        self.all[action.number] = action
        (self._beside if action.is_of_remarks else self._queue).put_nowait(action)
        self._say(action)
        return action

    def record_edit(self, file: str, edit: int, undoes: int | None = None) -> Action:
        """Have an edit, which was done at once, among the actions: `u` takes back whatever was done last.

        Args:
            file: that was edited.
            edit: its number, by which it is taken back.
            undoes: the action that it took back.

        """
        action = Action(len(self.all) + 1, (), undoes=undoes, file=file, edit=edit, state="done")
        self.all[action.number] = action
        self._say(action)
        return action

    def forget_edit(self, action: Action) -> None:
        """Take notice that an edit cannot be taken back any more."""
        action.edit = None
        self._say(action)

    def find_last(self) -> Action | None:
        """Return what was done last and not taken back, whether it has ended or not; None if there is nothing."""
        undone = {one.undoes for one in self.all.values() if one.state not in ("failed", "cancelled")}
        for action in reversed(self.all.values()):
            if self._is_undo(action) or action.number in undone:
                continue
            if not action.is_over or action.can_be_undone:
                return action
        return None

    def _is_undo(self, action: Action) -> bool:
        """Whether it is an undo, and not one of an undo, which does again what was done first."""
        return action.undoes is not None and not self._is_undo(self.all[action.undoes])

    def cancel(self, number: int) -> bool:
        """Cancel an action: one that runs as Ctrl-C does, once or twice. Return whether it had not ended."""
        action = self.all.get(number)
        if action is None or action.is_over:
            return False
        if action.state == "running":
            if time.monotonic() - action.cancelled_s > _CLICK_S:
                action.cancelled_s = time.monotonic()
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
        self._say(action)
        if child := self._children.get(action.number):
            child.interrupt()
        return interrupt_meaning(action.interrupts)

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
                self._hear(action, f"doit cannot be run: {error}")
                self._end(action, "failed")
            finally:
                queue.task_done()

    async def _run(self, action: Action) -> None:
        action.state = "running"
        self._say(action)
        await self._prepare(action)
        code = 0
        for words in action.commands:
            is_over = action.refusal or action.interrupts
            code = STOPPED if is_over else await self._run_command(action, words)
            if code:
                break
        if action.refusal:
            self._hear(action, f"nothing is undone: {action.refusal}")
            self._end(action, "failed")
            late = self.all[action.undoes] if action.undoes else action
            late.undo = replace(late.undo, commands=())  # what was done before it comes next
            self._say(late)
            return
        if action.before is not None:
            action.undo = await asyncio.to_thread(self._find_undo, action, action.before)
        is_cancelled = action.interrupts or code in (STOPPED, -signal.SIGINT)
        self._end(action, "done" if code == 0 else "cancelled" if is_cancelled else "failed")

    async def _prepare(self, action: Action) -> None:
        """Find out whether it may begin, and what its undo goes back to."""
        if action.undoes:
            action.refusal = await asyncio.to_thread(self._explain_change, self.all[action.undoes])
        action.before = await asyncio.to_thread(self._read_state, action)

    async def _may_begin(self, action: Action) -> bool:
        """Return whether a child of it that holds the project now may go on."""
        if not action.has_begun:
            await self._prepare(action)
            action.has_begun = not action.refusal
        return action.has_begun

    async def _run_command(self, action: Action, words: Sequence[str]) -> int:
        """Run one command of an action, and return its exit code."""
        consent = Consent(lambda: self._may_begin(action))
        with consent as asking:
            child = AsyncChild(action.line(words, *wait_words(self.leading))[1:], self._folder, asking)
        self._children[action.number] = child
        try:
            async for event in child.events():
                if event["event"] == "line":
                    self._hear(action, event["line"])
                else:
                    self._send({"action": action.number, **event, "progress": action.note(event)})
        finally:
            del self._children[action.number]
            await consent.end()
        if child.exit_code < 0 and -child.exit_code != signal.SIGINT:
            self._hear(action, f"its process was ended by {signal.Signals(-child.exit_code).name}")
        return child.exit_code

    def _read_state(self, action: Action) -> ProjectState | None:
        """Return how the project is before an action; None if it cannot be read."""
        with contextlib.suppress(ImagegenError, OSError):
            return (read_remarks_state if action.is_of_remarks else read_state)(*self._open_project())
        return None

    def _find_undo(self, action: Action, before: ProjectState) -> Undo:
        try:
            find = find_remarks_undo if action.is_of_remarks else find_undo
            return find(before, *self._open_project(), action.touched)
        except (ImagegenError, OSError) as error:
            return Undo(problem=f"it cannot be undone: {error}")

    def _explain_change(self, action: Action) -> str:
        try:
            return explain_change(action.undo, *self._open_project())
        except (ImagegenError, OSError) as error:
            return str(error)

    def _hear(self, action: Action, line: str) -> None:
        action.lines.append(line)
        self._send({"event": "line", "action": action.number, "line": line})

    def _end(self, action: Action, state: Literal["done", "failed", "cancelled"]) -> None:
        action.state = state
        action.progress.take({"event": "end"})
        self._say(action)

    def _say(self, action: Action) -> None:
        self._send({"event": "action", **action.data})


def _find_problem(lines: Sequence[str]) -> str:
    """Return what is wrong, of the lines of a command that failed: the last one with a hint below, or else the last."""
    heads = [(line, below) for line, below in pairwise([*lines, ""]) if line.strip() and not line.startswith(" ")]
    hinted = [line for line, below in heads if below.startswith("    ")]
    return hinted[-1] if hinted else heads[-1][0] if heads else ""
