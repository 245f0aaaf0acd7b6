"""One invocation of doit on one project: its plans, the images that words name, and what became of each image.

If nothing changed since everything was fresh, a snapshot says so, and nothing is read, checked or planned; so
what only planning needs is imported where it is used.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagegen.commands.command_line import Invocation, current_invocation, initial_folder, reserved_names
from imagegen.commands.up_to_date import (
    default_tasks,
    has_named_images,
    is_for_whole_jobs,
    load_snapshot,
    needs_jobs,
)
from imagegen.errors import DONE, FAILED, STOPPED, ImagegenError, InputError, Problem
from imagegen.library.planned_project import DONE_STATES, PlannedImage, PlannedProject, TaskResult
from imagegen.library.selection import Selection, select, select_images
from imagegen.process import note_exit_code
from imagegen.report.json_output import json_output

if TYPE_CHECKING:
    from imagegen.execute.budget import Budget
    from imagegen.execute.events import Event, Outcome
    from imagegen.execute.run import RunResult
    from imagegen.plan.output import Output
    from imagegen.report.run_summary import ImageOutcome
    from imagegen.report.summary_file import SummaryFile
    from imagegen.state.snapshot import FreshJob, Snapshot

__all__ = [
    "Build",
    "PlannedImage",
    "Selection",
    "TaskResult",
    "build_now",
    "current_build",
    "exit_code_of",
    "read_limit",
    "select",
    "select_images",
    "summarise",
]


class Build(PlannedProject):
    """What one invocation knows and does: with a snapshot, it plans only what changed since.

    Attributes:
        plans: of the job files that changed since the snapshot; of all of them without one.
        planned: every output of these plans that is not in the snapshot, by the name of its task.

    """

    def __init__(self, root: Path, invocation: Invocation) -> None:
        self.started = time.monotonic()
        self.invocation = invocation
        self._builds_whole_jobs = is_for_whole_jobs(root, invocation)
        self.leaves_out_stale = False
        """Whether doit gets no task for a stale image of a whole job either."""
        self._mutex = threading.Lock()
        self._refusal: ImagegenError | None = None
        super().__init__(root, invocation.given, reserved_names())
        self.snapshot = None if self.problems else load_snapshot(root, self.settings, invocation, self._key)
        if self.snapshot is None or not self.snapshot.is_up_to_date:
            with _no_garbage_collection():
                self._plan()

    @property
    def fresh_jobs(self) -> tuple[FreshJob, ...]:
        """The jobs of the snapshot; of those with a plan, the outputs that are not in it."""
        return self.snapshot.jobs if self.snapshot else ()

    def needs_task(self, planned: PlannedImage) -> bool:
        """Whether doit gets a task for the image. One of 10,000 costs as much as planning it, and takes 3 KB."""
        if not self._builds_whole_jobs:
            return True
        verdict = planned.verdict
        return bool(verdict.note) if verdict.state == "fresh" else not self.leaves_out_stale

    def _plan(self) -> None:
        self.open()
        if not needs_jobs(self.root, self.invocation):
            return
        if self.snapshot is None or self.problems or not self._plan_changes(self.snapshot):
            self.plan_all()

    def _plan_changes(self, snapshot: Snapshot) -> bool:
        """Plan what changed since the snapshot. Returns whether that is all there is to know."""
        from imagegen.project.plan_changed import plan_changed

        if (found := plan_changed(self.project, snapshot)) is None:
            return False
        plans, self.snapshot = found
        self.check_freshness(plans)
        is_sound = not any(plan.problems for plan in self.plans)
        return is_sound and has_named_images(self.snapshot, self.invocation, self.planned)

    def count_outcomes(self, tasks: Collection[str]) -> Counter[str]:
        """Return how many images of the run ended in each state; tasks: those that doit was to run."""
        fresh = sum(job.count if job.task in tasks else _count_named(job, tasks) for job in self.fresh_jobs)
        return Counter(outcome.state for outcome in self.outcomes) + Counter(fresh=fresh)

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

    @property
    def summary_file(self) -> SummaryFile | None:
        """The file to write a summary of the run to, if one is asked for: relative to where doit was called."""
        from imagegen.report.summary_file import SummaryFile

        if not (typed := self.invocation.summary):
            return None
        path = Path(initial_folder() or self.root, os.path.expanduser(typed))  # noqa: PTH111 - it never fails
        return SummaryFile(self.root, path, typed, os.environ)

    def left_lines(self) -> list[str]:
        """Return what there is to say of what the limit left."""
        from imagegen.report.console import left_lines

        asked = [*(["-a"] if self.invocation.always else []), *self.lifting_limit, *self.invocation.words]
        return left_lines(self.limited, asked) if self.limited else []

    @property
    def lifting_limit(self) -> list[str]:
        """What a command line needs so that no limit of the project holds."""
        return ["limit=none"] if self.settings.limit and "limit" not in self.invocation.given else []

    def run_for(self, task: str) -> Outcome | None:
        """Return the outcome of an image whose task runs before anybody had it built: a reporter of doit's own.

        It is None if the limit leaves the image as it is.
        """
        with self._mutex:
            result = self.planned[task].result
            if result.outcome is None and not result.is_left and not self._refusal:
                named = self.find(self.invocation.words or default_tasks(self.root))
                tasks = list(dict.fromkeys([*named, task]))
                if multiprocessing.parent_process() is not None:
                    # one of the workers of `doit -n`: they cannot share a run, so each builds its own image in turn
                    self.project.settings = replace(self.project.settings, wait_s=1e6)
                    self._refuse_costs()
                    if self.settings.limit:
                        return self._refuse_limit(task)
                    tasks = [task]
                forced = named if self.invocation.always else ()
                tasks = self.choose(tasks, forced) if self.settings.limit else tasks
                self._refusal = self.run(tasks, forced, lambda _: None).refusal
                sys.stderr.writelines(f"{one}\n" for one in (self._refusal.problems if self._refusal else ()))
                sys.stderr.writelines(f"{line}\n" for line in self.left_lines())
            if result.outcome is None and self._refusal:
                return self._refuse(task, self._refusal)
            assert result.outcome or result.is_left  # noqa: S101 - run reports an outcome for each
            return result.outcome

    def _refuse(self, task: str, refusal: ImagegenError) -> Outcome:
        """Return why an image was not begun: doit fails with it, but it is not a failure of the image."""
        from imagegen.execute.events import Outcome

        note_exit_code(refusal.exit_code)
        return Outcome(self.planned[task].output, "failed", problem=refusal.problems[0])

    def _refuse_limit(self, task: str) -> Outcome:
        from imagegen.execute.events import Outcome

        problem = Problem(task, "not built, because several processes cannot share the limit", "leave out -n")
        return Outcome(self.planned[task].output, "failed", problem=problem, failure="not_begun")

    def _refuse_costs(self) -> None:
        """If there is a budget, have nothing generated here that costs anything."""
        from imagegen.execute.budget import Budget

        self._budget = Budget(self.settings.budget)
        if self.settings.budget is not None:
            what = "not generated, because several processes cannot share the budget"
            self._budget.close(Problem("", what, "leave out -n, or lift the budget: doit budget=none"))

    def stop_left_over_servers(self) -> list[str]:
        """Stop the servers that a killed run left if no image needs them any more; return a line for each."""
        if not any((self.root / ".imagegen").glob("*/server.json")) or not self.are_all({*DONE_STATES, "kept"}):
            return []
        from imagegen.commands.server import stop_left_over

        return stop_left_over(self.root)


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


def read_limit(build: Build, text: str) -> int | None:
    """Return the limit that an option gives, or else the settings; None if there is none.

    Raises:
        InputError: it is not a valid limit.
    """
    from imagegen.config.setting_types import LIMIT

    try:
        return LIMIT.read(text) if text else build.settings.limit
    except ValueError as error:
        raise InputError(Problem("", f"--limit: {error}")) from None


def build_now(
    build: Build, outputs: Sequence[Output], *, forced: bool = False, budget: Budget | None = None
) -> tuple[list[Outcome], RunResult]:
    """Bring outputs up to date within a command: print what becomes of each, with its seed, and each failure.

    With `--json`, each event is a line of it.

    Args:
        build: of the command.
        outputs: to bring up to date.
        forced: whether they are generated even if they are fresh.
        budget: one that earlier runs share; by default, one of its own.

    Returns:
        The outcomes, and how the run ended. Its problems are for the caller to say.

    Raises:
        ImagegenError: nothing was begun: another build is at work here, say.

    """
    from imagegen.execute.events import Outcome
    from imagegen.execute.forecast import estimate
    from imagegen.execute.run import run
    from imagegen.report.console import cost_text, failures, line_with_seed
    from imagegen.report.progress import follow_run

    outcomes: list[Outcome] = []
    times, find_place = estimate(build.project, outputs), build.find_place if json_output() else None
    report = follow_run(sys.stdout, os.environ, len(outputs), times, line_of=line_with_seed, find_place=find_place)

    def on_event(event: Event) -> None:
        if isinstance(event, Outcome):
            outcomes.append(event)
        report.on_event(event)

    try:
        ending = run(build.project, outputs, on_event, [output.task for output in outputs] if forced else (), budget)
    finally:
        report.stop()
    if ending.refusal:
        raise ending.refusal
    cost = cost_text(ending.costs)
    for line in [*failures(outcomes), *([cost] if cost else [])]:
        print(line, flush=True)
    return outcomes, ending


def summarise(build: Build, outcomes: Iterable[Outcome], *, with_fresh: bool = False) -> tuple[ImageOutcome, ...]:
    """Return what became of images as a command answers it, of those that were fresh only if they are wanted."""
    from imagegen.report.run_summary import summarise_images

    return summarise_images(outcomes, build.find_place if json_output() else None, with_fresh=with_fresh)


def exit_code_of(outcomes: Iterable[Outcome], ending: RunResult) -> int:
    """Return the exit code of a command that had these images built."""
    if ending.stopped:
        return STOPPED
    return FAILED if any(one.state in ("failed", "cancelled") for one in outcomes) else DONE


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
