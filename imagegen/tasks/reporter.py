"""doit's reporter: it learns the selection, has the images made, and says what became of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from doit.exceptions import BaseFail
from doit.globals import Globals
from doit.reporter import ConsoleReporter
from doit.task import Task

from imagegen.commands.build import Build, current_build
from imagegen.commands.command import OURS
from imagegen.commands.up_to_date import default_tasks
from imagegen.errors import printable
from imagegen.report.console import closing_line, failures, orphan_lines, same_seed_lines

if TYPE_CHECKING:
    from imagegen.errors import Problem
    from imagegen.report.live import LiveReport
    from imagegen.report.progress import PlainReport

__all__ = ["ImagegenReporter"]


class ImagegenReporter(ConsoleReporter):  # type: ignore[misc]  # doit ships no types
    """One line an image that is not fresh, failures by their cause, one closing line."""

    desc = "what became of each image"

    def __init__(self, outstream: TextIO, options: Mapping[str, Any]) -> None:
        super().__init__(outstream, options)
        self._build: Build | None = None
        self._reached: Mapping[str, None] = {}
        self._broken = 0

    def initialize(self, tasks: Mapping[str, Task], selected_tasks: Sequence[str]) -> None:
        """doit is about to begin: have the images of the selection made, before the first task runs."""
        self._reached = reached = _reached(tasks, selected_tasks)
        build = current_build()
        ignored = Globals.dep_manager.status_is_ignore  # `doit ignore`: doit itself would ask only later
        for name in reached:
            before = _before(tasks[name])
            if before and (obstacles := before(build, tasks[name].options)):
                self._say(*map(str, obstacles))
                raise SystemExit(1)
        images = [
            name
            for name, one in build.planned.items()
            if (not ignored(tasks[name]) if name in reached else one.output.job in reached and not build.is_task(one))
        ]
        broken = [plan for plan in build.plans if plan.problems and _is_reached(plan.task, reached)]
        self._broken = len(broken)
        if not selected_tasks and build.invocation.words:
            self.write(f"no task has a name like {' or '.join(build.invocation.words)}; doit list --all shows them\n")
            raise SystemExit(1)
        if not selected_tasks:
            missing = "no job files in jobs/: nothing to do (imagegen init adds a first one)"
            self.write(f"{'nothing to do: default_tasks is empty' if default_tasks(build.root) else missing}\n")
            self._say(*map(str, build.strays()))
        if not images and not broken and not any(_is_reached(job.task, reached) for job in build.fresh_jobs):
            return
        self._build = build
        if not build.plans:
            return
        # what is wrong with the settings is wrong with every job: once is enough
        problems = dict.fromkeys(problem for plan in broken for problem in plan.problems)
        self._say(*map(str, problems))
        if not build.invocation.quiet:
            self._say(*map(str, build.strays()))
            for plan in build.plans:
                if _is_reached(plan.task, reached):
                    self._say(*(f"{plan.name}: {note}" for note in plan.notes))
        # a task with something before its jobs has nothing besides: whoever names it names them
        named = build.named([job for word in selected_tasks for job in _jobs_of(tasks[word])])
        report = self._report(build, images, named)
        try:
            build.run(images, named, report.tell)
        finally:
            report.stop()
        if build.stopped:
            raise SystemExit(130)

    def execute_task(self, task: Task) -> None:
        """A task that is not ours begins."""
        if not _is_ours(task):
            super().execute_task(task)

    def add_failure(self, task: Task, fail: BaseFail) -> None:
        """A task failed; of ours, only a fault in the task itself is news."""
        if not _is_ours(task) or (fail.report and fail.get_name() != "UnmetDependency"):
            super().add_failure(task, fail)

    def skip_uptodate(self, task: Task) -> None:
        """A task that is not ours is up to date."""
        if not _is_ours(task):
            super().skip_uptodate(task)

    def complete_run(self) -> None:
        """The end: failures by cause, then the closing line."""
        build = self._build
        if build is not None:
            failed = failures(build.outcomes)
            if failed:
                self._say("", *failed)
            self._say(*map(str, build.ending_problems))
            counts = build.counts(self._reached)
            if not build.invocation.quiet and (counts["generated"] or counts["derived"] or counts["restored"]):
                self._say(*orphan_lines(build.orphans(self._reached)))
                self._say(*same_seed_lines(build.outcomes))
            if not build.invocation.quiet or failed:
                seconds = time.monotonic() - build.started
                self._say(closing_line(counts, self._broken, seconds))
        super().complete_run()

    def _report(self, build: Build, images: Sequence[str], named: Sequence[str]) -> LiveReport | PlainReport:
        """What shows the run. A bar has to do with those that are not fresh, where any of them is to be made."""
        from imagegen.execute.forecast import estimate
        from imagegen.report.progress import following

        forced = set(named) if build.invocation.always else set()
        waiting = [task for task in images if task in forced or build.planned[task].verdict.state != "fresh"]
        making = [task for task in waiting if task in forced or build.planned[task].verdict.state == "stale"]
        taking = estimate(build.project, [build.planned[task].output for task in making]) if making else {}
        total = len(waiting) if making else 0
        return following(self.outstream, os.environ, total, taking, quiet=build.invocation.quiet)

    def _say(self, *lines: str) -> None:
        for line in lines:
            self.write(f"{printable(line)}\n")
        self.outstream.flush()


_Before = Callable[[Build, Mapping[str, Any]], "Sequence[Problem]"]


def _before(task: Task) -> _Before | None:
    found: _Before | None = (task.meta or {}).get(OURS, {}).get("before")
    return found


def _jobs_of(task: Task) -> list[str]:
    return list(task.task_dep) if _before(task) else [task.name]


def _is_ours(task: Task) -> bool:
    return bool(task.meta) and OURS in task.meta


def _is_reached(job: str, reached: Mapping[str, None]) -> bool:
    return job in reached or any(name.startswith(f"{job}:") for name in reached)


def _reached(tasks: Mapping[str, Task], selected: Sequence[str]) -> dict[str, None]:
    """The selected tasks and all that they depend on, in order."""
    reached: dict[str, None] = {}
    waiting = list(reversed(selected))
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached[name] = None
            waiting += reversed(tasks[name].task_dep)
    return reached
