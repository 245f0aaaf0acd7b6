"""One invocation of doit on one project: its plans, what is selected, and what became of each image."""

from __future__ import annotations

import fnmatch
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from doit import get_var

from imagegen.backends.registry import registry
from imagegen.config.settings import Settings, read_settings
from imagegen.errors import ImagegenError, Problem
from imagegen.execute.outcome import Outcome
from imagegen.execute.run import Wanted, run
from imagegen.plan.freshness import Verdict
from imagegen.plan.output import Output
from imagegen.project import JobPlan, Project, job_files, task_names
from imagegen.tasks.invocation import DOIT_COMMANDS, Invocation, read_invocation

__all__ = ["Build", "Ticket", "current_build", "default_tasks"]

OUR_TASKS = ("doctor", "image")
RESERVED = DOIT_COMMANDS | set(OUR_TASKS)


class Ticket:
    """What a doit task holds of its image: its name, and the outcome once there is one. Pickled by `doit -n`."""

    def __init__(self, task: str) -> None:
        self.task = task
        self.outcome: Outcome | None = None


@dataclass(frozen=True)
class Planned:
    """An output, how it stood when the tasks were made, and its doit task's ticket."""

    output: Output
    verdict: Verdict
    ticket: Ticket


class Build:
    """plans: of every job file. planned: of every output, by its task's name."""

    def __init__(self, root: Path, invocation: Invocation) -> None:
        self.started = time.monotonic()
        self.invocation = invocation
        self.root = root
        self.project, problems = _open(root)
        self.plans = self.project.plans() if not problems else _all_broken(root, problems)
        self.planned: dict[str, Planned] = {}
        self.outcomes: list[Outcome] = []
        self.ending_problems: list[Problem] = []
        self.stopped = False
        self._mutex = threading.Lock()
        self.plans = [self._add(plan) for plan in self.plans]

    def _add(self, plan: JobPlan) -> JobPlan:
        try:
            verdicts = [(output, self.project.verdict(output)) for output in plan.outputs]
        except OSError as error:
            problem = Problem(plan.file, f"{error.filename} cannot be read: {error.strerror}", "mend its permissions")
            return replace(plan, outputs=(), problems=(problem,))
        for output, verdict in verdicts:
            self.planned[output.task] = Planned(output, verdict, Ticket(output.task))
        return plan

    def named(self, words: Iterable[str]) -> list[str]:
        """The images that the words of a command line name: a task, a job, a target or a pattern with `*`."""
        jobs = {plan.task: [output.task for output in plan.outputs] for plan in self.plans}
        targets = {planned.output.path: task for task, planned in self.planned.items()}
        found: dict[str, None] = {}
        for word in words:
            if "*" in word:
                hits = [task for task in [*jobs, *self.planned] if fnmatch.fnmatch(task, word)]
            else:
                hits = [targets.get(word, word)]
            for hit in hits:
                found |= dict.fromkeys(jobs.get(hit, [hit] if hit in self.planned else []))
        return list(found)

    def run(self, tasks: Sequence[str], named: Collection[str], tell: Callable[[Outcome], None]) -> None:
        """Bring these images up to date and fill in their tickets. named: those that `-a` forces."""
        forced = set(named) if self.invocation.always else set()
        wanted = []
        for task in tasks:
            planned = self.planned[task]
            if planned.verdict.state == "fresh" and task not in forced:
                self._settle(planned.ticket, Outcome(planned.output, "fresh"))
            else:
                wanted.append(Wanted(planned.output, task in forced))

        def told(outcome: Outcome) -> None:
            self._settle(self.planned[outcome.output.task].ticket, outcome)
            tell(outcome)

        ending = run(self.project, wanted, told)
        self.ending_problems += ending.problems
        self.stopped = self.stopped or ending.stopped

    def outcome(self, task: str) -> Outcome:
        """Of an image whose task runs though nobody told this build the selection (a reporter of doit's own)."""
        with self._mutex:
            ticket = self.planned[task].ticket
            if ticket.outcome is None:
                named = self.named(self.invocation.words or default_tasks(self.root))
                tasks = list(dict.fromkeys([*named, task]))
                if multiprocessing.parent_process() is not None:
                    # one of the workers of `doit -n`: they cannot share a run, so each makes its own image in turn
                    self.project.settings = replace(self.project.settings, wait_s=1e6)
                    tasks = [task]
                self.run(tasks, named, lambda _: None)
                if self.stopped:
                    raise SystemExit(130)
            assert ticket.outcome is not None  # noqa: S101 - run tells an outcome for each
            return ticket.outcome

    def _settle(self, ticket: Ticket, outcome: Outcome) -> None:
        ticket.outcome = outcome
        self.outcomes.append(outcome)


def default_tasks(root: Path) -> list[str]:
    """What `doit` alone selects: every job, and nothing else."""
    return list(task_names(job_files(root), RESERVED).values())


def current_build() -> Build:
    """The build of this process, on the project in the working directory (doit changes to that of dodo.py)."""
    global _build
    with _opening:
        if _build is None:
            _build = Build(Path.cwd(), read_invocation())
        return _build


_build: Build | None = None
_opening = threading.Lock()


def _open(root: Path) -> tuple[Project, list[Problem]]:
    problems: list[Problem] = []
    settings, backends = Settings(), {}
    command_line: Mapping[str, str | None] = {name: get_var(name) for name in ("backend", "wait")}
    try:
        settings = read_settings(root, command_line, os.environ)
    except ImagegenError as error:
        problems += error.problems
    try:
        backends = registry()
    except ImagegenError as error:
        problems += error.problems
    project = Project(root, settings, backends, RESERVED)
    for name in filter(None, (settings.forced_backend, settings.backend)):
        if backends and name not in backends:
            try:
                project.backend(name)
            except ImagegenError as error:
                problems += error.problems
    return project, problems


def _all_broken(root: Path, problems: Sequence[Problem]) -> list[JobPlan]:
    names = task_names(job_files(root), RESERVED)
    return [
        JobPlan(path.stem, f"jobs/{path.name}", task=task, problems=tuple(problems)) for path, task in names.items()
    ]
