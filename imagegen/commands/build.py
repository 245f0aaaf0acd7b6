"""One invocation of doit on one project: its plans, the images that words name, and what became of each image.

If nothing changed since everything was fresh, a snapshot says so, and nothing is read, checked or planned; so
what only planning needs is imported where it is used.
"""

from __future__ import annotations

import fnmatch
import gc
import multiprocessing
import os
import posixpath
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagegen.commands.command_line import Invocation, current_invocation, reserved_names
from imagegen.commands.up_to_date import (
    default_tasks,
    has_named_images,
    is_for_whole_jobs,
    load_snapshot,
    needs_jobs,
    project_key,
    take_snapshot,
)
from imagegen.config.job_files import find_job_files, find_stray_files, name_tasks
from imagegen.config.settings import Settings, read_settings
from imagegen.errors import ImagegenError, InputError, Problem, did_you_mean

if TYPE_CHECKING:
    from imagegen.execute.budget import Budget
    from imagegen.execute.events import Event, Outcome
    from imagegen.execute.run import RunResult
    from imagegen.plan.freshness import Verdict
    from imagegen.plan.output import Output
    from imagegen.project import JobPlan, Project
    from imagegen.state.snapshot import FreshJob, Snapshot

__all__ = [
    "Build",
    "PlannedImage",
    "Selection",
    "TaskResult",
    "build_now",
    "current_build",
    "select",
    "select_images",
]

_DONE = frozenset({"fresh", "generated", "derived", "restored"})


class TaskResult:
    """What a doit task holds of its image: its name, and the outcome once there is one. Pickled by `doit -n`."""

    __slots__ = ("outcome", "task")

    def __init__(self, task: str) -> None:
        self.task = task
        self.outcome: Outcome | None = None


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


class Build:
    """What one invocation knows and does.

    Attributes:
        problems: with the settings or the backends, and so with every job.
        snapshot: what is known to be fresh and therefore not planned; None if everything is planned.
        plans: of the job files that changed since the snapshot; of all of them without one.
        planned: every output of these plans that is not in the snapshot, by the name of its task.
        outcomes: what became of images in this run, in order of completion.

    """

    project: Project

    def __init__(self, root: Path, invocation: Invocation) -> None:
        self.started = time.monotonic()
        self.invocation = invocation
        self.root = root
        self.plans: list[JobPlan] = []
        self.planned: dict[str, PlannedImage] = {}
        self.outcomes: list[Outcome] = []
        self._builds_whole_jobs = is_for_whole_jobs(root, invocation)
        self.leaves_out_stale = False
        """Whether doit gets no task for a stale image of a whole job either."""
        self._mutex = threading.Lock()
        self._budget: Budget | None = None
        self._key = project_key(root, invocation)
        self.settings, self.problems = _read_settings(root, invocation)
        self.snapshot = None if self.problems else load_snapshot(root, self.settings, invocation, self._key)
        if self.snapshot is None or not self.snapshot.is_up_to_date:
            with _no_garbage_collection():
                self._plan()

    @property
    def fresh_jobs(self) -> tuple[FreshJob, ...]:
        """The jobs of the snapshot; of those with a plan, the outputs that are not in it."""
        return self.snapshot.jobs if self.snapshot else ()

    def stray_files(self) -> list[Problem]:
        """Return what is wrong with files in jobs/: those that look like jobs, and what deleted jobs left."""
        found = find_stray_files(self.root, self.project.inputs.named if self.plans else ())
        if self.snapshot is None:  # else all job files are still there
            from imagegen.execute.prune import find_deleted_jobs
            from imagegen.project.remarks import find_jobless_reviews

            found += find_deleted_jobs(self.project, self.plans)
            found += find_jobless_reviews(self.project, {plan.name for plan in self.plans})
        return found

    def needs_task(self, planned: PlannedImage) -> bool:
        """Whether doit gets a task for the image. One of 10,000 costs as much as planning it, and takes 3 KB."""
        if not self._builds_whole_jobs:
            return True
        verdict = planned.verdict
        return bool(verdict.note) if verdict.state == "fresh" else not self.leaves_out_stale

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
            self._plan_all()

    def _plan(self) -> None:
        from imagegen.backends.registry import registry
        from imagegen.project import Project

        self.project = Project(self.root, self.settings, registry(), reserved_names())
        try:
            if not self.problems:
                self.project.backends.check_name(self.settings.backend)
        except ImagegenError as error:
            where = self.settings.set_by.get("backend", "")
            self.problems += [replace(problem, where=where) for problem in error.problems]
        if not needs_jobs(self.root, self.invocation):
            return
        if self.snapshot is None or self.problems or not self._plan_changes(self.snapshot):
            self._plan_all()

    def _plan_all(self) -> None:
        self.snapshot, self.plans, self.planned = None, [], {}
        self._check_freshness(_all_broken(self.root, self.problems) if self.problems else self.project.plans())

    def _plan_changes(self, snapshot: Snapshot) -> bool:
        """Plan what changed since the snapshot. Returns whether that is all there is to know."""
        from imagegen.project.plan_changed import plan_changed

        if (found := plan_changed(self.project, snapshot)) is None:
            return False
        plans, self.snapshot = found
        self._check_freshness(plans)
        is_sound = not any(plan.problems for plan in self.plans)
        return is_sound and has_named_images(self.snapshot, self.invocation, self.planned)

    def _check_freshness(self, plans: Sequence[JobPlan]) -> None:
        """Check each output after its origins. A job with an output that cannot be checked counts as broken."""
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

    def count_outcomes(self, tasks: Collection[str]) -> Counter[str]:
        """Return how many images of the run ended in each state; tasks: those that doit was to run."""
        fresh = sum(job.count if job.task in tasks else _count_named(job, tasks) for job in self.fresh_jobs)
        return Counter(outcome.state for outcome in self.outcomes) + Counter(fresh=fresh)

    def orphans(self, tasks: Collection[str]) -> list[str]:
        """Return our files that no longer belong to any item of these jobs: it was renamed, or its format changed."""
        wanted = {one.output.path for one in self.planned.values()}.union(
            self.snapshot.known_files() if self.snapshot else ()
        )
        jobs = [plan for plan in self.plans if plan.task in tasks and not plan.problems]
        paths = [path for plan in jobs for path in self.project.lock(plan.name).lines if path not in wanted]
        return [path for path in paths if (self.root / path).exists()]

    def suggest_sd(self, outcomes: Sequence[Outcome]) -> list[str]:
        """Return how to make `sd` the default, if it is set up and nobody chose `placeholder` for these images.

        Only once in each checkout.
        """
        if self.settings.set_by.get("backend") != "built-in" or not outcomes or not self._took_default(outcomes):
            return []
        said = self.project.state / "cache" / "sd-suggested"
        if said.exists():
            return []
        from imagegen.backends.sd.program import is_set_up

        if not is_set_up(self.root, self.settings):
            return []
        with suppress(OSError):  # then it is said again
            said.parent.mkdir(parents=True, exist_ok=True)
            said.touch()
        return ['sd is set up: add backend = "sd" under [tool.imagegen] in pyproject.toml to use it by default']

    def _took_default(self, outcomes: Sequence[Outcome]) -> bool:
        """Return whether a placeholder was generated, or left out beside another backend's image, by default."""
        from imagegen.plan.freshness import NOT_REPLACED

        named = {plan.name: plan.backend for plan in self.plans}
        return any(
            (outcome.state == "generated" or NOT_REPLACED in outcome.note)
            and outcome.output.request.backend == "placeholder"
            and not named.get(outcome.output.job)
            for outcome in outcomes
        )

    def find(self, words: Iterable[str]) -> list[str]:
        """Return the images that the words of a command line name: a task, a job, a file or a pattern with `*`."""
        return list(dict.fromkeys(task for found in self.find_each(words) for task in found))

    def find_each(self, words: Iterable[str]) -> Iterator[list[str]]:
        """Yield the images that each word names, as `find` does."""
        jobs = {plan.task: [output.task for output in plan.outputs] for plan in self.plans}
        targets = {one.output.path: task for task, one in self.planned.items()}
        for word in words:
            if "*" in word:
                hits = [task for task in [*jobs, *self.planned] if fnmatch.fnmatch(task, word)]
            else:
                hits = [targets.get(word, word)]
            yield [task for hit in hits for task in jobs.get(hit, [hit] if hit in self.planned else [])]

    @property
    def items(self) -> dict[str, list[str]]:
        """The images of each item by its own name, `portraits:mallsing`: its variants."""
        found: dict[str, list[str]] = {}
        for task, one in self.planned.items():
            if one.output.base:
                found.setdefault(f"{one.output.job}:{one.output.base}", []).append(task)
        return found

    def run(self, tasks: Sequence[str], forced: Collection[str], on_event: Callable[[Event], None]) -> RunResult:
        """Bring these images up to date, and set their results. Generate the forced ones even if they are fresh."""
        from imagegen.execute.budget import Budget
        from imagegen.execute.events import Outcome
        from imagegen.execute.run import run

        self._budget = self._budget or Budget(self.settings.budget)

        def record(event: Event) -> None:
            if isinstance(event, Outcome):
                self._record(event)
            on_event(event)

        ending = run(self.project, self._skip_fresh(tasks, forced), record, forced, self._budget)
        self._remember_failures()
        self._take_snapshot()
        return ending

    def _skip_fresh(self, tasks: Sequence[str], forced: Collection[str]) -> list[Output]:
        """Record the outcome of the images that are fresh and stay so, and return the outputs of the others."""
        from imagegen.execute.events import Outcome
        from imagegen.plan.origins import sort_by_origin

        wanted: dict[str, Output] = {}
        for output in sort_by_origin([self.planned[task].output for task in tasks]):
            planned = self.planned[output.task]
            task = planned.result.task
            follows = any(origin.task in wanted for origin in output.origins)
            if planned.verdict.state == "fresh" and task not in forced and not follows:
                self._record(Outcome(output, "fresh"))
            else:
                wanted[task] = output
        return list(wanted.values())

    def run_for(self, task: str) -> Outcome:
        """Return the outcome of an image whose task runs before anybody had it built: a reporter of doit's own."""
        with self._mutex:
            result = self.planned[task].result
            if result.outcome is None:
                named = self.find(self.invocation.words or default_tasks(self.root))
                tasks = list(dict.fromkeys([*named, task]))
                if multiprocessing.parent_process() is not None:
                    # one of the workers of `doit -n`: they cannot share a run, so each builds its own image in turn
                    self.project.settings = replace(self.project.settings, wait_s=1e6)
                    self._refuse_costs()
                    tasks = [task]
                self.run(tasks, named if self.invocation.always else (), lambda _: None)
            assert result.outcome is not None  # noqa: S101 - run reports an outcome for each
            return result.outcome

    def _refuse_costs(self) -> None:
        """If there is a budget, have nothing generated here that costs anything."""
        from imagegen.execute.budget import Budget

        self._budget = Budget(self.settings.budget)
        if self.settings.budget is not None:
            what = "not generated, because several processes cannot share the budget"
            self._budget.close(Problem("", what, "leave out -n, or lift the budget: doit budget=none"))

    def _record(self, outcome: Outcome) -> None:
        self.planned[outcome.output.task].result.outcome = outcome
        self.outcomes.append(outcome)

    def _take_snapshot(self) -> None:
        """Remember what is fresh."""
        if self.project.has_uploads_due or any(plan.problems for plan in self.plans):
            return
        built = self._built()
        notes = {task: one.note for task, one in self.planned.items() if self._is_in(one, _DONE, built)}
        with suppress(OSError):  # it only saves the next run some work
            self.project.record_fresh_files(self.planned[task].output for task in notes)
            take_snapshot(self.project, self._key, self.plans, notes, self.snapshot)

    def _are_all(self, states: Collection[str]) -> bool:
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

    def stop_left_over_servers(self) -> list[str]:
        """Stop the servers that a killed run left if no image needs them any more; return a line for each."""
        if not any((self.root / ".imagegen").glob("*/server.json")) or not self._are_all({*_DONE, "kept"}):
            return []
        from imagegen.commands.server import stop_left_over

        return stop_left_over(self.root)

    def _remember_failures(self) -> None:
        from imagegen.state.attempts import Failure, update_failures

        failed = {}
        for outcome in self.outcomes:
            if outcome.problem is not None:
                fingerprint = self.project.with_decisions(outcome.output).fingerprint
                failed[outcome.output.task] = Failure(fingerprint, outcome.problem.what, outcome.problem.hint)
        done = {outcome.output.task for outcome in self.outcomes if outcome.state in (*_DONE, "kept")}
        with suppress(OSError):  # it is only a hint
            update_failures(self.project.failures, self.project.temporary, failed, done)


def _count_named(job: FreshJob, tasks: Collection[str]) -> int:
    named = (task.partition(":") for task in tasks)
    return sum(name == job.task and slug in job.outputs for name, _, slug in named)


_build: Build | None = None
_opening = threading.Lock()


def current_build() -> Build:
    """Return the build of this process, on the project in the working directory (doit changes to that of dodo.py)."""
    global _build
    with _opening:
        if _build is None:
            _build = Build(Path.cwd(), current_invocation())
        return _build


def build_now(
    build: Build, outputs: Sequence[Output], *, forced: bool = False, budget: Budget | None = None
) -> tuple[list[Outcome], bool]:
    """Bring outputs up to date within a command: print what becomes of each, with its seed, and each failure.

    Args:
        build: of the command.
        outputs: to bring up to date.
        forced: whether they are generated even if they are fresh.
        budget: one that earlier runs share; by default, one of its own.

    Returns:
        The outcomes, and whether the user stopped the run.

    """
    from imagegen.execute.events import Outcome
    from imagegen.execute.forecast import estimate
    from imagegen.execute.run import run
    from imagegen.report.console import cost_text, failures, line_with_seed
    from imagegen.report.progress import follow_run

    outcomes: list[Outcome] = []
    report = follow_run(sys.stdout, os.environ, len(outputs), estimate(build.project, outputs), line_of=line_with_seed)

    def on_event(event: Event) -> None:
        if isinstance(event, Outcome):
            outcomes.append(event)
        report.on_event(event)

    try:
        ending = run(build.project, outputs, on_event, [output.task for output in outputs] if forced else (), budget)
    finally:
        report.stop()
    cost = cost_text(ending.costs)
    for line in [*failures(outcomes), *map(str, ending.problems), *([cost] if cost else [])]:
        print(line, flush=True)
    return outcomes, ending.stopped


@dataclass(frozen=True)
class Selection:
    """What words name.

    Attributes:
        images: tasks, in the order of the jobs.
        one_by_one: those of them that have a word of their own.
        plans: the jobs of these images, and the broken ones that words name or would find images in.

    """

    images: tuple[str, ...]
    one_by_one: frozenset[str]
    plans: tuple[JobPlan, ...]


def select(build: Build, words: Sequence[str]) -> Selection:
    """Return what these words name, everything if there are none. Raises InputError for each that names nothing.

    A word that is the name of an item with variants stands for all of them.
    """
    jobs = {plan.task: plan for plan in build.plans}
    targets = {one.output.path: task for task, one in build.planned.items()}
    items = build.items
    broken = [name for name, plan in jobs.items() if plan.problems]
    images: set[str] = set()
    one_by_one: set[str] = set()
    selected_jobs: set[str] = set(jobs) if not words else set()
    problems = []
    tasks = [targets.get(posixpath.normpath(word), word) for word in words]
    for word, task, named in zip(words, tasks, build.find_each(tasks), strict=True):
        found = set(named or items.get(task, []))
        job = task.partition(":")[0]
        of_broken = {name for name in broken if fnmatch.fnmatch(name, job)}
        if not found and not of_broken and task not in jobs:
            near = did_you_mean(word, [*jobs, *build.planned, *items, *targets])
            what = f"'{word}' is not a job, an image or a derived file{near}"
            what = f"no job or image has a name like '{word}'" if "*" in word else what
            problems.append(Problem("", what, "doit list --all shows them"))
        images |= found
        selected_jobs |= of_broken | ({task} & jobs.keys())
        one_by_one |= found & {task}
    if problems:
        raise InputError(*problems)
    selected = tuple(task for task in build.planned if task in images or not words)
    selected_jobs |= {task.partition(":")[0] for task in selected}
    return Selection(selected, frozenset(one_by_one), tuple(plan for plan in build.plans if plan.task in selected_jobs))


def select_images(build: Build, words: Sequence[str]) -> list[PlannedImage]:
    """Return the images that these words name, each once. Raises InputError also for jobs that are broken."""
    found = select(build, words)
    if problems := [problem for plan in found.plans for problem in plan.problems]:
        raise InputError(*dict.fromkeys(problems))
    return [build.planned[task] for task in found.images]


def _read_settings(root: Path, invocation: Invocation) -> tuple[Settings, list[Problem]]:
    try:
        return read_settings(root, invocation.given, os.environ), []
    except ImagegenError as error:
        return Settings(), list(error.problems)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Planning creates many objects and no garbage: collecting in between costs a third of its time.

    What is planned stays, so that later collections need not look at it either.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.freeze()
            gc.enable()


def _all_broken(root: Path, problems: Sequence[Problem]) -> list[JobPlan]:
    from imagegen.project import JobPlan

    names = name_tasks(find_job_files(root), reserved_names())
    return [
        JobPlan(path.stem, f"jobs/{path.name}", task=task, problems=tuple(problems)) for path, task in names.items()
    ]
