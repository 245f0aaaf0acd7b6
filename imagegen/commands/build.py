"""One invocation of doit on one project: its plans, what is selected, and what became of each image.

Where nothing changed since everything was fresh, a snapshot says so, and nothing is read, checked or planned; so
what only planning needs is imported where it is used.
"""

from __future__ import annotations

import fnmatch
import gc
import multiprocessing
import os
import posixpath
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagegen.commands.command_line import Invocation, current_invocation
from imagegen.commands.up_to_date import (
    RESERVED,
    default_tasks,
    has_named_images,
    is_for_whole_jobs,
    load_snapshot,
    snapshot_key,
    take_snapshot,
)
from imagegen.config.job_files import find_job_files, find_stray_files, name_tasks
from imagegen.config.settings import Settings, read_settings
from imagegen.errors import ImagegenError, Problem, did_you_mean

if TYPE_CHECKING:
    from imagegen.commands.up_to_date import FreshJob, Snapshot
    from imagegen.execute.events import Event, Outcome
    from imagegen.plan.freshness import Verdict
    from imagegen.plan.output import Output
    from imagegen.project import JobPlan, Project

__all__ = [
    "Build",
    "Chosen",
    "Planned",
    "Ticket",
    "choose",
    "chosen",
    "current_build",
]


_DONE = frozenset({"fresh", "generated", "derived", "restored"})


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

    @property
    def doc(self) -> str:
        """Its line in `doit list`."""
        is_noted = self.verdict.state == "fresh" and self.verdict.note
        return f"{self.output.path} ({self.verdict.note})" if is_noted else self.output.path


class Build:
    """What one invocation knows and does.

    rest: what a snapshot says is fresh, which is not planned; else None.
    plans: of every other job file. planned: of every output of theirs that is not in `rest`, by its task's name.
    problems: with the settings or the backends, and so with every job.
    """

    project: Project

    def __init__(self, root: Path, invocation: Invocation) -> None:
        self.started = time.monotonic()
        self.invocation = invocation
        self.root = root
        self.plans: list[JobPlan] = []
        self.planned: dict[str, Planned] = {}
        self._builds_whole_jobs = is_for_whole_jobs(root, invocation)
        self.outcomes: list[Outcome] = []
        self.ending_problems: list[Problem] = []
        self.stopped = False
        self._mutex = threading.Lock()
        self.settings, self.problems = _settings(root, invocation)
        self._key = snapshot_key(root, self.settings)
        self.rest = None if self.problems else load_snapshot(root, self.settings, invocation, self._key)
        if self.rest is None or self.rest.touched:
            with _no_garbage_collection():
                self._plan()

    @property
    def fresh_jobs(self) -> tuple[FreshJob, ...]:
        """All jobs where nothing is planned; of those with a plan, the outputs that are not in it."""
        return self.rest.jobs if self.rest else ()

    def strays(self) -> list[Problem]:
        """Files in jobs/ that are not built, though somebody may think so."""
        return find_stray_files(self.root, self.project.inputs.named if self.plans else ())

    def is_task(self, planned: Planned) -> bool:
        """Whether doit gets a task for it. One of 10,000 that are fresh costs as much as planning it."""
        return not (self._builds_whole_jobs and planned.verdict.state == "fresh" and not planned.verdict.note)

    def know_others(self) -> None:
        """What others wrote until now is known; the caller holds the mutex. Raises ImagegenError."""
        if self.project.reload_from_disk():
            self._plan_all()

    def _plan(self) -> None:
        from imagegen.backends.registry import registry
        from imagegen.project import Project

        self.project = Project(self.root, self.settings, registry(), RESERVED)
        try:
            if not self.problems:
                self.project.backends.check_name(self.settings.backend)
        except ImagegenError as error:
            source = self.settings.set_by.get("backend", "")
            self.problems += [replace(problem, where=source) for problem in error.problems]
        if self.rest is None or self.problems or not self._plan_changed(self.rest):
            self._plan_all()

    def _plan_all(self) -> None:
        self.rest, self.plans, self.planned = None, [], {}
        self._judge_all(_all_broken(self.root, self.problems) if self.problems else self.project.plans())

    def _plan_changed(self, rest: Snapshot) -> bool:
        """Plan what changed in the touched job files; whether that says all."""
        from imagegen.commands.up_to_date import plan_changed

        if (found := plan_changed(self.project, rest)) is None:
            return False
        plans, self.rest = found
        self._judge_all(plans)
        is_sound = not any(plan.problems for plan in self.plans)
        return is_sound and has_named_images(self.rest, self.invocation, self.planned)

    def _judge_all(self, plans: Sequence[JobPlan]) -> None:
        wrong = self._judge([output for plan in plans for output in plan.outputs])
        self.planned = {task: planned for task, planned in self.planned.items() if planned.output.job not in wrong}
        for plan in plans:
            if plan.name in wrong and not plan.problems:
                located = tuple(replace(problem, where=problem.where or plan.file) for problem in wrong[plan.name])
                plan = replace(plan, outputs=(), problems=located)
            self.plans.append(plan)

    def _judge(self, outputs: Sequence[Output]) -> dict[str, tuple[Problem, ...]]:
        """Judge each after those that it is made from; what keeps a job from being judged, by its name."""
        from imagegen.plan.origins import sort_by_origin

        wrong: dict[str, tuple[Problem, ...]] = {}
        unsettled: set[str] = set()
        for output in sort_by_origin(outputs):
            if output.job in wrong:
                continue
            try:
                output = self.project.with_origins(output, unsettled)
                verdict = self.project.verdict(output)
            except OSError as error:
                what = f"{error.filename} cannot be read: {error.strerror}"
                wrong[output.job] = (Problem("", what, "fix its permissions"),)
                continue
            except ImagegenError as error:
                wrong[output.job] = error.problems
                continue
            if verdict.state not in ("fresh", "kept"):
                unsettled.add(output.task)
            self.planned[output.task] = Planned(output, verdict, Ticket(output.task))
        return wrong

    def counts(self, tasks: Collection[str]) -> Counter[str]:
        """How many images of the run ended in each state; tasks: those that doit was to run."""
        fresh = sum(len(job.outputs) if job.task in tasks else _named(job, tasks) for job in self.fresh_jobs)
        return Counter(outcome.state for outcome in self.outcomes) + Counter(fresh=fresh)

    def orphans(self, tasks: Collection[str]) -> list[str]:
        """Files of ours that belong to no item of these jobs any more: it was renamed, or its format changed."""
        wanted = {one.output.path for one in self.planned.values()}.union(self.rest.files if self.rest else ())
        jobs = [plan for plan in self.plans if plan.task in tasks and not plan.problems]
        paths = [path for plan in jobs for path in self.project.lock(plan.name).lines if path not in wanted]
        return [path for path in paths if (self.root / path).exists()]

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

    @property
    def items(self) -> dict[str, list[str]]:
        """The images of each item by its own name, `portraits:mallsing`: its variants."""
        found: dict[str, list[str]] = {}
        for task, one in self.planned.items():
            if one.output.base:
                found.setdefault(f"{one.output.job}:{one.output.base}", []).append(task)
        return found

    def run(self, tasks: Sequence[str], named: Collection[str], tell: Callable[[Event], None]) -> None:
        """Bring these images up to date and fill in their tickets. named: those that `-a` forces."""
        from imagegen.execute.events import Outcome
        from imagegen.execute.run import SelectedOutput, run
        from imagegen.plan.origins import sort_by_origin

        forced = set(named) if self.invocation.always else set()
        wanted: dict[str, SelectedOutput] = {}
        for output in sort_by_origin([self.planned[task].output for task in tasks]):
            task, planned = output.task, self.planned[output.task]
            follows = any(origin.task in wanted for origin in output.origins)
            if planned.verdict.state == "fresh" and task not in forced and not follows:
                self._settle(planned.ticket, Outcome(output, "fresh"))
            else:
                wanted[task] = SelectedOutput(output, task in forced)

        def told(event: Event) -> None:
            if isinstance(event, Outcome):
                self._settle(self.planned[event.output.task].ticket, event)
            tell(event)

        ending = run(self.project, list(wanted.values()), told)
        self.ending_problems += ending.problems
        self.stopped = self.stopped or ending.stopped
        self._remember_failures()
        self._rest()

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
            assert ticket.outcome is not None  # noqa: S101 - run tells an outcome for each
            return ticket.outcome

    def _rest(self) -> None:
        made = {outcome.output.task for outcome in self.outcomes if outcome.state != "fresh"}
        is_done = not any(plan.problems for plan in self.plans)
        for one in self.planned.values():
            state = one.ticket.outcome.state if one.ticket.outcome else one.verdict.state
            # what was not selected was fresh before its origins were made anew
            is_settled = one.ticket.outcome is not None or not any(origin.task in made for origin in one.output.origins)
            is_done = is_done and state in _DONE and is_settled
        if is_done and not self.project.has_pending:
            with suppress(OSError):  # it only saves the next run some work
                docs = {task: one.doc for task, one in self.planned.items()}
                self.project.note_placed(one.output for one in self.planned.values())
                take_snapshot(self.project, self._key, self.plans, docs, self.rest)

    def _remember_failures(self) -> None:
        from imagegen.state.attempts import Failure, update_failures

        failed = {}
        for outcome in self.outcomes:
            if outcome.problem is not None:
                fingerprint = self.project.decided(outcome.output).fingerprint
                failed[outcome.output.task] = Failure(fingerprint, outcome.problem.what, outcome.problem.hint)
        settled = {outcome.output.task for outcome in self.outcomes if outcome.state in (*_DONE, "kept")}
        with suppress(OSError):  # it is only a hint
            update_failures(self.project.failures, self.project.temporary, failed, settled)

    def _settle(self, ticket: Ticket, outcome: Outcome) -> None:
        ticket.outcome = outcome
        self.outcomes.append(outcome)


def _named(job: FreshJob, tasks: Collection[str]) -> int:
    named = (task.partition(":") for task in tasks)
    return sum(name == job.task and slug in job.outputs for name, _, slug in named)


def current_build() -> Build:
    """The build of this process, on the project in the working directory (doit changes to that of dodo.py)."""
    global _build
    with _opening:
        if _build is None:
            _build = Build(Path.cwd(), current_invocation())
        return _build


_build: Build | None = None
_opening = threading.Lock()


def _settings(root: Path, invocation: Invocation) -> tuple[Settings, list[Problem]]:
    try:
        return read_settings(root, invocation.given, os.environ), []
    except ImagegenError as error:
        return Settings(), list(error.problems)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Planning makes many objects and no garbage: collecting in between costs a third of its time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _all_broken(root: Path, problems: Sequence[Problem]) -> list[JobPlan]:
    from imagegen.project import JobPlan

    names = name_tasks(find_job_files(root), RESERVED)
    return [
        JobPlan(path.stem, f"jobs/{path.name}", task=task, problems=tuple(problems)) for path, task in names.items()
    ]


@dataclass(frozen=True)
class Chosen:
    """What words name.

    images: tasks, in the order of the jobs. one_by_one: those of them that have a word of their own.
    plans: the jobs of these images, and the broken ones that words name or would find images in.
    """

    images: tuple[str, ...]
    one_by_one: frozenset[str]
    plans: tuple[JobPlan, ...]


def choose(build: Build, words: Sequence[str]) -> Chosen:
    """What these words name; all there is where there are none. Raises ImagegenError for each that names nothing.

    A word that is the name of an item with variants stands for all of them.
    """
    jobs = {plan.task: plan for plan in build.plans}
    targets = {one.output.path: task for task, one in build.planned.items()}
    items = build.items
    images: set[str] = set()
    one_by_one: set[str] = set()
    asked: set[str] = set(jobs) if not words else set()
    problems = []
    for word in words:
        task = targets.get(posixpath.normpath(word), word)
        found = set(build.named([task]) or items.get(task, []))
        job = task.partition(":")[0]
        of_broken = {name for name, plan in jobs.items() if plan.problems and fnmatch.fnmatch(name, job)}
        if not found and not of_broken and task not in jobs:
            near = did_you_mean(word, [*jobs, *build.planned, *items, *targets])
            what = f"'{word}' is no job, image or file of one{near}"
            what = f"no job or image has a name like '{word}'" if "*" in word else what
            problems.append(Problem("", what, "doit list --all shows them"))
        images |= found
        asked |= of_broken | ({task} & jobs.keys())
        one_by_one |= found & {task}
    if problems:
        raise ImagegenError(*problems)
    chosen = tuple(task for task in build.planned if task in images or not words)
    asked |= {task.partition(":")[0] for task in chosen}
    return Chosen(chosen, frozenset(one_by_one), tuple(plan for plan in build.plans if plan.task in asked))


def chosen(build: Build, words: Sequence[str]) -> list[Planned]:
    """The images that these words name, each once. Raises ImagegenError also for jobs that are broken."""
    found = choose(build, words)
    if problems := [problem for plan in found.plans for problem in plan.problems]:
        raise ImagegenError(*dict.fromkeys(problems))
    return [build.planned[task] for task in found.images]
