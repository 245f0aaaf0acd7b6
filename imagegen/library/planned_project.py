"""One project in memory: its settings and plans, how each image stands, and what became of each in a run.

A run with nothing to do loads this too: what only planning needs is imported where it is used.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagegen.config.job_files import find_job_files, find_stray_files, name_tasks
from imagegen.config.settings import Settings, read_settings
from imagegen.errors import ImagegenError, Problem
from imagegen.library.needed import find_limited, find_needed
from imagegen.library.reserved_names import RESERVED_NAMES
from imagegen.library.snapshots import project_key, take_snapshot

if TYPE_CHECKING:
    from imagegen.execute.budget import Budget
    from imagegen.execute.events import Event, Outcome
    from imagegen.execute.run import RunResult
    from imagegen.execute.worker import Stopping
    from imagegen.plan.freshness import Verdict
    from imagegen.plan.limit import Limited
    from imagegen.plan.output import Output
    from imagegen.project import JobPlan, Project
    from imagegen.project.item_places import ItemPlaces
    from imagegen.state.snapshot import Snapshot

__all__ = ["DONE_STATES", "PlannedImage", "PlannedProject", "TaskResult"]

DONE_STATES = frozenset({"fresh", "generated", "derived", "restored"})
"""Of an image that is as it should be."""


class TaskResult:
    """What a doit task holds of its image: its name, and the outcome once there is one. Pickled by `doit -n`."""

    __slots__ = ("is_left", "outcome", "task")

    def __init__(self, task: str) -> None:
        self.task = task
        self.outcome: Outcome | None = None
        self.is_left = False
        """Whether this run does not build it, because of its limit."""


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """An output, its verdict when the tasks were created, and the result of its doit task."""

    output: Output
    verdict: Verdict
    result: TaskResult

    @property
    def note(self) -> str:
        """What `doit list` adds to its path: why it is fresh, if that is not obvious."""
        return self.verdict.note if self.verdict.state == "fresh" else ""

    @property
    def doc(self) -> str:
        """Its line in `doit list`."""
        return f"{self.output.path} ({self.note})" if self.note else self.output.path


class PlannedProject:
    """One project, as it was planned. It is for one run, and for one thread at a time.

    Attributes:
        root: its folder.
        given: settings that are stronger than what the project says, by what the command line calls them.
        problems: with the settings or the backends, and so with every job.
        plans: of the job files; the broken ones too.
        planned: every output of these plans, by the name of its task.
        outcomes: what became of images in this run, in order of completion.
        snapshot: what is known to be fresh and therefore not planned; None if everything is planned.
        limited: what this run builds and leaves; None without a limit.

    """

    project: Project

    def __init__(self, root: Path, given: Mapping[str, str], reserved: Collection[str] = RESERVED_NAMES) -> None:
        """Read the settings; `plan_all` plans.

        Args:
            root: the project's folder, absolute.
            given: as above.
            reserved: names that no job may have.
        """
        self.root = root
        self.given = given
        self.plans: list[JobPlan] = []
        self.planned: dict[str, PlannedImage] = {}
        self.outcomes: list[Outcome] = []
        self.snapshot: Snapshot | None = None
        self.limited: Limited | None = None
        self._reserved = reserved
        self._budget: Budget | None = None
        self._places: ItemPlaces | None = None
        self._key = project_key(root, given)
        self.settings, self.problems = _read_settings(root, given)

    def open(self) -> None:
        """Get the project ready for planning: look up its backend."""
        from imagegen.backends.registry import registry
        from imagegen.project import Project

        self.project = Project(self.root, self.settings, registry(), self._reserved)
        try:
            if not self.problems:
                self.project.backends.check_name(self.settings.backend)
        except ImagegenError as error:
            where = self.settings.set_by.get("backend", "")
            self.problems += [replace(problem, where=where) for problem in error.problems]

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the project's mutex, knowing what other builds wrote before: if they decided something, plan again.

        So look up what words name within. Raises ImagegenError if another build is running.
        """
        from imagegen.state.mutex import hold

        with hold(self.project.state, self.settings.wait_s):
            self.reload_from_disk()
            yield

    def reload_from_disk(self) -> None:
        """Take notice of what other builds wrote; the caller holds the mutex. Raises ImagegenError."""
        if self.project.reload_from_disk():
            self.plan_all()

    def plan_all(self) -> None:
        """Plan every job, and check how each of its outputs stands."""
        self.snapshot, self.plans, self.planned = None, [], {}
        self.check_freshness(self._all_broken() if self.problems else self.project.plans())

    def _all_broken(self) -> list[JobPlan]:
        from imagegen.project import JobPlan

        names, problems = name_tasks(find_job_files(self.root), self._reserved), tuple(self.problems)
        return [JobPlan(path.stem, f"jobs/{path.name}", task=task, problems=problems) for path, task in names.items()]

    def check_freshness(self, plans: Sequence[JobPlan]) -> None:
        """Add these plans, and check each output after its origins.

        A job with an output that cannot be checked counts as broken.
        """
        from imagegen.plan.origins import sort_by_origin

        broken: dict[str, Sequence[Problem]] = {}
        unfinished: set[str] = set()
        outputs = sort_by_origin([output for plan in plans for output in plan.outputs])
        files = [origin.path for output in outputs for origin in output.origins if not origin.task]
        self.project.hashes.expect([*(output.path for output in outputs), *files])
        with self.project.asking_for_models_once():
            for output in outputs:
                if output.job in broken:
                    continue
                try:
                    output, verdict = self.project.check_freshness(output, unfinished)
                except ImagegenError as error:
                    broken[output.job] = error.problems
                else:
                    task = output.task
                    if verdict.state not in ("fresh", "kept"):
                        unfinished.add(task)
                    self.planned[task] = PlannedImage(output, verdict, TaskResult(task))
        self.planned = {task: one for task, one in self.planned.items() if one.output.job not in broken}
        for plan in plans:
            if plan.name in broken and not plan.problems:
                located = tuple(replace(problem, where=problem.where or plan.file) for problem in broken[plan.name])
                plan = replace(plan, outputs=(), problems=located)
            self.plans.append(plan)

    def find_place(self, output: Output) -> str:
        """Return `file:line:column` of what asks for an output: see `project.item_places`."""
        if self._places is None:
            from imagegen.project.item_places import ItemPlaces

            self._places = ItemPlaces(self.root, self.settings.allow_outside)
        return self._places.find(output)

    def find(self, words: Iterable[str]) -> list[str]:
        """Return the images that words name: a job, an image, an item with variants, a file or a pattern with `*`."""
        return list(dict.fromkeys(task for found in self.find_each(words) for task in found))

    def find_each(self, words: Iterable[str]) -> Iterator[list[str]]:
        """Yield the images that each word names, as `find` does."""
        jobs = {plan.task: [output.task for output in plan.outputs] for plan in self.plans}
        targets = {one.output.path: task for task, one in self.planned.items()}
        items = self.items
        for word in words:
            if "*" in word:
                hits = [task for task in [*jobs, *self.planned] if fnmatch.fnmatch(task, word)]
            else:
                hits = [targets.get(word, word)]
            found = [jobs.get(hit) or ([hit] if hit in self.planned else items.get(hit, [])) for hit in hits]
            yield [task for tasks in found for task in tasks]

    @property
    def items(self) -> dict[str, list[str]]:
        """The images of each item by its own name, `portraits:mallsing`: its variants."""
        found: dict[str, list[str]] = {}
        for task, one in self.planned.items():
            if one.output.base:
                found.setdefault(f"{one.output.job}:{one.output.base}", []).append(task)
        return found

    def choose(
        self, tasks: Iterable[str], forced: Collection[str] = (), skip: Callable[[str], bool] = lambda _: False
    ) -> list[str]:
        """Return what a run for these tasks builds: with what they are made from, and as far as its limit goes.

        forced, skip: as for `find_limited`.
        """
        if self.settings.limit is None:
            return find_needed(self, tasks, skip)
        self.limited = find_limited(self, tasks, self.settings.limit, forced, skip)
        for task in {*self.planned}.difference(self.limited.tasks):
            self.planned[task].result.is_left = True
        return list(self.limited.tasks)

    def run(
        self,
        tasks: Sequence[str],
        forced: Collection[str],
        on_event: Callable[[Event], None],
        stopping: Stopping | None = None,
    ) -> RunResult:
        """Bring these images up to date, and set their results. Generate the forced ones even if they are fresh.

        on_event, stopping: as for `execute.run.run`.
        """
        from imagegen.execute.budget import Budget
        from imagegen.execute.events import Outcome
        from imagegen.execute.run import run

        self._budget = self._budget or Budget(self.settings.budget)

        def record(event: Event) -> None:
            if isinstance(event, Outcome):
                self._record(event)
            on_event(event)

        ending = run(self.project, self._skip_fresh(tasks, forced), record, forced, self._budget, stopping)
        self._remember_failures()
        self._take_snapshot()
        return ending

    def find_stale(self, tasks: Sequence[str], forced: Collection[str]) -> list[Output]:
        """Return the outputs of these tasks that are not fresh, or may not stay so, each after its origins."""
        from imagegen.plan.origins import sort_by_origin

        stale: dict[str, Output] = {}
        for output in sort_by_origin([self.planned[task].output for task in tasks]):
            follows = any(origin.task in stale for origin in output.origins)
            if self.planned[output.task].verdict.state != "fresh" or output.task in forced or follows:
                stale[output.task] = output
        return list(stale.values())

    def _skip_fresh(self, tasks: Sequence[str], forced: Collection[str]) -> list[Output]:
        """Record the outcome of the images that are fresh and stay so, and return the outputs of the others."""
        from imagegen.execute.events import Outcome

        stale = self.find_stale(tasks, forced)
        are_stale = {output.task for output in stale}
        for task in tasks:
            if task not in are_stale:
                self._record(Outcome(self.planned[task].output, "fresh"))
        return stale

    def _record(self, outcome: Outcome) -> None:
        self.planned[outcome.output.task].result.outcome = outcome
        self.outcomes.append(outcome)

    def _take_snapshot(self) -> None:
        """Remember what is fresh."""
        if self.project.has_uploads_due or any(plan.problems for plan in self.plans):
            return
        built = self._built()
        notes = {task: one.note for task, one in self.planned.items() if self._is_in(one, DONE_STATES, built)}
        with suppress(OSError):  # it only saves the next run some work
            self.project.record_fresh_files(self.planned[task].output for task in notes)
            take_snapshot(self.project, self._key, self.plans, notes, self.snapshot)

    def stray_files(self) -> list[Problem]:
        """Return what is wrong with files in jobs/: those that look like jobs, and what deleted jobs left."""
        found = find_stray_files(self.root, self.project.inputs.named if self.plans else ())
        if self.snapshot is None:  # else all job files are still there
            from imagegen.execute.prune import find_deleted_jobs
            from imagegen.project.remarks import find_jobless_reviews

            found += find_deleted_jobs(self.project, self.plans)
            found += find_jobless_reviews(self.project, {plan.name for plan in self.plans})
        return found

    def are_all(self, states: Collection[str]) -> bool:
        """Return whether every image of the project is in one of these states now."""
        built = self._built()
        return not any(plan.problems for plan in self.plans) and all(
            self._is_in(one, states, built) for one in self.planned.values()
        )

    def _built(self) -> set[str]:
        """Return the tasks of the images that were not fresh in this run, as far as others are made from them."""
        origins = {origin.task for one in self.planned.values() for origin in one.output.origins}
        tasks = (outcome.output.task for outcome in self.outcomes if outcome.state != "fresh")
        return {task for task in tasks if task in origins} if origins else set()

    def _is_in(self, one: PlannedImage, states: Collection[str], built: Collection[str]) -> bool:
        """Return whether an image is in one of these states now. built: of `_built`."""
        if one.result.outcome is not None:
            return one.result.outcome.state in states
        # what was not selected was fresh before its origins were built again
        return one.verdict.state in states and not any(origin.task in built for origin in one.output.origins)

    def orphans(self, tasks: Collection[str]) -> list[str]:
        """Return our files that no longer belong to any item of these jobs: it was renamed, or its format changed."""
        wanted = {one.output.path for one in self.planned.values()}.union(
            self.snapshot.known_files() if self.snapshot else ()
        )
        jobs = [plan for plan in self.plans if plan.task in tasks and not plan.problems]
        paths = [path for plan in jobs for path in self.project.lock(plan.name).lines if path not in wanted]
        return [path for path in paths if (self.root / path).exists()]

    def _remember_failures(self) -> None:
        from imagegen.state.attempts import Failure, update_failures

        failed = {}
        for outcome in self.outcomes:
            if outcome.problem is not None:
                fingerprint = self.project.with_decisions(outcome.output).fingerprint
                failed[outcome.output.task] = Failure(fingerprint, outcome.problem.what, outcome.problem.hint)
        done = {outcome.output.task for outcome in self.outcomes if outcome.state in (*DONE_STATES, "kept")}
        with suppress(OSError):  # it is only a hint
            update_failures(self.project.failures, self.project.temporary, failed, done)


def _read_settings(root: Path, given: Mapping[str, str]) -> tuple[Settings, list[Problem]]:
    try:
        return read_settings(root, given, os.environ), []
    except ImagegenError as error:
        return Settings(), list(error.problems)
