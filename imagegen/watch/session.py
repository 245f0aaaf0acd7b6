"""A watch: wait for an edit, find out what it makes stale, have that built, and say so in a line; until Ctrl-C."""

from __future__ import annotations

import queue
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from imagegen.backends.text import list_first
from imagegen.config.money import dollars
from imagegen.doit_child import Child, wait_words
from imagegen.errors import Problem
from imagegen.execute.forecast import ForecastImage
from imagegen.plan.output import Output
from imagegen.report.console import closing_line, plural, price_text
from imagegen.report.json_output import problem_data
from imagegen.state.hashes import NEVER
from imagegen.state.mutex import read_holder
from imagegen.watch.choice import Outlook, choose
from imagegen.watch.contents import JOBS, Contents
from imagegen.watch.notices import Notices

__all__ = ["Show", "WatchSession", "Watched"]

_ALWAYS = {JOBS: NEVER, "pyproject.toml": NEVER, "dodo.py": NEVER}
"""What is followed whatever the jobs say."""
_QUIET_S = 0.3
"""Seconds without a further change after which a save is taken to be whole."""
_HALF_S = 1.0
"""The same if a file is empty or missing: it is most likely being written again."""
_LOOK_S = 1.0
"""Seconds that it waits for news; without a limit, Windows would not hear Ctrl-C."""
_NAMED = 3
"""Images that a hint names one by one."""
_UNTOUCHED = {"fresh": "fresh", "keep": "kept", "ignore": "ignored"}
"""States of images that a run does nothing for."""
_NEW = ("generated", "restored", "derived")
"""States of images whose file was written."""


@dataclass(frozen=True)
class Watched:
    """What is watched, and how it is built.

    Attributes:
        root: the project's folder.
        folder: to start each `doit` in.
        leading: options and variables for each, except the budget.
        words: jobs and images that it is for; all if there are none.
        budget: what all builds together may cost, in US dollars; None if there is no limit, 0 if none was given.
        look: returns what the next run would do.

    """

    root: Path
    folder: Path
    leading: Sequence[str]
    words: Sequence[str]
    budget: Decimal | None
    look: Callable[[], Outlook]


class Show(Protocol):
    """Shows a person, or a program, what goes on."""

    def say(self, line: str) -> None:
        """Print a line."""

    def emit(self, event: Mapping[str, Any]) -> None:
        """Write an event, for a program."""

    def follow(self, event: Mapping[str, Any] | None) -> None:
        """Show how far a build is, in place; None at its end."""


class WatchSession:
    """Waits in `run`; `interrupt` may be called meanwhile, also by a signal's handler.

    Attributes:
        edits: that it noticed.
        builds: that it started.
        counts: of the images that these built, by state.
        spent: by these, in US dollars, as far as prices are known.

    """

    def __init__(self, watched: Watched, show: Show) -> None:
        self._watched = watched
        self._show = show
        self._mail: queue.SimpleQueue[_Mail] = queue.SimpleQueue()
        self._notices = Notices(lambda: self._mail.put(("wake", None)))
        self._contents = Contents(watched.root)
        self._contents.follow(_ALWAYS)
        self._before: dict[str, Output] = {}
        """What was stale before any edit and is so still."""
        self._said: set[Problem] = set()
        self._said_by_build: Sequence[Problem] = ()
        """What the last build found: it holds until another one has ended without it."""
        self._ended_by: int | None = None
        self.edits = self.builds = 0
        self.counts: Counter[str] = Counter()
        self.spent = Decimal(0)
        self._is_unsure = False
        """Whether a build has ended without a word of what it cost."""

    @property
    def _left(self) -> Decimal | None:
        """What is left of the budget; None if there is no limit."""
        if self._is_unsure:
            return Decimal(0)
        return None if self._watched.budget is None else max(Decimal(0), self._watched.budget - self.spent)

    def interrupt(self, number: int) -> None:
        """End it, by a signal; the second one cancels what is being built."""
        self._mail.put(("signal", number))

    def run(self) -> int:
        """Watch until it is interrupted. Returns the signal that did so."""
        try:
            outlook = self._watched.look()
            self._before = outlook.stale
            self._follow(outlook)
            self._begin(outlook)
            while (files := self._wait_for_edit()) is not None:
                self._take(files)
        finally:
            self._notices.stop()
        assert self._ended_by is not None  # noqa: S101 - nothing else ends it
        return self._ended_by

    def _begin(self, outlook: Outlook) -> None:
        of = list_first(list(self._watched.words)) or plural(len(outlook.jobs), "job")
        self._show.say(f"watching {of}; Ctrl-C ends it")
        if self._before:
            count = plural(len(self._before), "image")
            self._show.say(f"{count} not up to date: left alone until an edit changes them; to build them: doit")
        if self._watched.budget:
            self._show.say(f"it may spend {dollars(self._watched.budget)} in all")
        self._show.emit({"event": "watching", "jobs": len(outlook.jobs), "stale": sorted(self._before)})
        self._say_problems(outlook.problems)

    def _follow(self, outlook: Outlook) -> None:
        if outlook.inputs:  # else nothing is known of them, because the settings are not valid
            self._contents.follow({**_ALWAYS, **outlook.inputs})
        self._notices.follow(self._contents.folders())

    def _wait_for_edit(self) -> list[str] | None:
        """Return the files that were edited, once they have been left alone for a moment; None to end."""
        changed: dict[str, bytes] = {}
        until_s = 0.0
        while self._ended_by is None:
            now = self._contents.find_changed()
            if now != changed:
                changed = now
                until_s = time.monotonic() + (_QUIET_S if all(changed.values()) else _HALF_S)
            if changed and time.monotonic() >= until_s:
                return self._contents.note(changed)
            self._notices.follow(self._contents.folders())
            self._read_mail(_QUIET_S / 3 if changed else _LOOK_S)
        return None

    def _read_mail(self, timeout_s: float) -> None:
        """Wait for mail, and take note of a signal; all else is a reason to look again."""
        try:
            kind, what = self._mail.get(timeout=timeout_s)
            while True:
                if kind == "signal":
                    self._ended_by = what
                kind, what = self._mail.get_nowait()
        except queue.Empty:
            pass

    def _take(self, files: Sequence[str]) -> None:
        """Have built what an edit of these files makes stale."""
        started_s = time.monotonic()
        outlook = self._watched.look()
        self._follow(outlook)
        self.edits += 1
        choice = choose(outlook, self._before, self._left)
        if outlook.is_readable:
            left = {*choice.left}
            known = outlook.jobs.keys() - set(outlook.broken)  # a job that is gone for a moment is as it was
            self._before = {task: one for task, one in self._before.items() if task in left or one.job not in known}
        problems = [*outlook.problems, *self._explain_cost(choice.unpaid)]
        said = [problem_data(problem) for problem in problems]
        self._show.emit({"event": "edit", "files": list(files), "build": list(choice.images), "problems": said})
        self._read_mail(0)
        built = _NOTHING
        if choice.images and self._ended_by is None:
            built = self._build(choice.images, outlook)
            self._said_by_build = built.problems
        counts = Counter(_UNTOUCHED[one.act] for one in outlook.images if one.act in _UNTOUCHED) + built.counts
        cost, seconds = price_text(built.spent, built.unpriced), time.monotonic() - started_s
        line = closing_line(counts, len(outlook.broken), seconds, cost) if outlook.is_readable else "nothing was built"
        left_stale = f"; {len(choice.left)} left stale" if choice.left else ""
        look_at = f"  {list_first(built.files)}" if built.files else ""
        self._show.say(f"{time.strftime('%H:%M:%S')}  {list_first(files)}: {line}{left_stale}{look_at}")
        self._say_problems([*problems, *self._said_by_build])

    def _say_problems(self, problems: Sequence[Problem]) -> None:
        """Say those that were not said after the edit before."""
        for problem in dict.fromkeys(problems):
            if problem not in self._said:
                self._show.say(str(problem))
        self._said = set(problems)

    def _explain_cost(self, unpaid: Sequence[ForecastImage]) -> list[Problem]:
        """Return why images are not built that cost something."""
        if not unpaid:
            return []
        known = sum((one.price for one in unpaid if one.price), Decimal(0))
        cost = price_text(known, sum(one.price is None for one in unpaid))
        tasks = [one.output.task for one in unpaid]
        jobs = list(dict.fromkeys(one.output.job for one in unpaid))
        builds = f"doit {' '.join(tasks if len(tasks) <= _NAMED else jobs)}"
        has = "this watch has no budget"
        if budget := self._watched.budget:
            has = f"of this watch's budget of {dollars(budget)}, {dollars(self.spent)} is spent"
        if self._is_unsure:
            has = "a build broke off without saying what it had spent"
        hint = f"{builds}; to have a watch spend up to a dollar in all: doit watch budget=1.00"
        return [Problem(list_first(tasks), f"not built: {cost}, and {has}", hint)]

    def _build(self, images: Sequence[str], outlook: Outlook) -> _Built:
        """Have these images built, and return what became of them."""
        self.builds += 1
        if holder := read_holder(self._watched.root / ".imagegen"):
            waits = f"waiting for another doit: {holder}"
            self._show.say(waits)
            self._show.emit({"event": "progress", "text": waits})
        words = self._words(images, outlook)
        child = Child(words, self._watched.folder, lambda event: self._mail.put(("child", event)))
        while (event := self._next_event(child)) is not None:
            self._show.follow(event)
            self._show.emit(event)
        self._show.follow(None)
        answer = child.answer("run")
        self._show.emit({**answer, "event": "built"})
        if child.result is None:  # it may have paid for something
            self._is_unsure = True
        return self._sum_up(images, answer)

    def _next_event(self, child: Child) -> Mapping[str, Any] | None:
        """Return the next event of a build; None at its end. Hand it each signal meanwhile."""
        while True:
            try:
                kind, what = self._mail.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            if kind == "signal":
                self._ended_by = self._ended_by or what
                self._show.say(child.interrupt(what))
            elif kind == "child":
                event: Mapping[str, Any] | None = what
                return event

    def _words(self, images: Sequence[str], outlook: Outlook) -> list[str]:
        """Return the words of the command line that builds these images and no others."""
        words = ["--json", *self._watched.leading, *wait_words(self._watched.leading)]
        words.append("budget=none" if self._left is None else f"budget={self._left:f}")
        others = outlook.stale.keys() - set(images)
        if self._watched.words:
            return [*words, *(images if others else self._watched.words)]
        partial = {task.partition(":")[0] for task in others}
        names = (task if (job := task.partition(":")[0]) in partial else outlook.jobs[job] for task in images)
        return [*words, *dict.fromkeys(names)]

    def _sum_up(self, images: Sequence[str], answer: Mapping[str, Any]) -> _Built:
        run = answer["result"]
        of_images = [problem for one in run["images"] for problem in one["problems"]] if run else []
        others = [one for one in answer["problems"] if one not in of_images]
        problems = [Problem(one["where"], one["what"], one["hint"]) for one in others]
        if not run:
            return _Built(Counter(), problems)
        hit: dict[tuple[str, str], list[str]] = {}
        for one in run["images"]:
            for problem in one["problems"]:
                hit.setdefault((problem["what"], problem["hint"]), []).append(one["task"])
        problems += [Problem(list_first(tasks), what, hint) for (what, hint), tasks in hit.items()]
        problems += [Problem("", note) for note in run["notes"]]
        counts = Counter(one["state"] for one in run["images"] if one["state"] != "kept" or one["task"] in images)
        self.counts += counts
        spent = Decimal(str(run["cost"]["spent"]))
        self.spent += spent
        done = [one for one in run["images"] if one["state"] in _NEW]
        of_images = [one["path"] for one in done if one["task"].count(":") == 1]
        return _Built(counts, problems, spent, run["cost"]["unpriced"], of_images or [one["path"] for one in done])


_Mail = tuple[str, Any]


@dataclass(frozen=True)
class _Built:
    counts: Counter[str]
    problems: Sequence[Problem]
    spent: Decimal = Decimal(0)
    unpriced: int = 0
    files: Sequence[str] = ()
    """To look at: those of images, or else those that are derived from them."""


_NOTHING = _Built(Counter(), ())
