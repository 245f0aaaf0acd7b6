"""A run: brings selected outputs up to date, under the build's mutex, each as soon as what it is made from is there."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from imagegen.errors import ImagegenError, Problem, failure_kind, not_written
from imagegen.execute.budget import Budget, Costs
from imagegen.execute.build_image import blocked_problem, derive_image, failure_outcome, restore_image
from imagegen.execute.cutouts import Cutouts, check_models
from imagegen.execute.events import Event, Outcome, StaleOutput
from imagegen.execute.executor import Executor
from imagegen.execute.finishing_room import FinishingRoom
from imagegen.execute.shared_store import SharedStoreClient, check_packages, fetch_accepted, is_shared
from imagegen.execute.step_checks import check_transparency
from imagegen.execute.stored_images import StoredImages
from imagegen.execute.worker import InterruptibleWorker, Stopping
from imagegen.plan.origins import sort_by_origin
from imagegen.plan.output import Output
from imagegen.project import Project
from imagegen.project.git import has_undecided_files
from imagegen.state.mutex import hold

__all__ = [
    "BuildScheduler",
    "RunResult",
    "run",
]

_WAITERS = 8
"""Additional threads if there is a shared store: they wait for it, and need no core meanwhile."""


@dataclass(frozen=True)
class RunResult:
    """How a run ended. stopped: by the user. problems: of what comes after the images; nothing is lost by them.

    costs: what was paid; None if everything was fresh. refusal: why nothing was begun; then what is stale has no
    outcome.
    """

    stopped: bool = False
    problems: tuple[Problem, ...] = ()
    costs: Costs | None = None
    refusal: ImagegenError | None = None


def run(
    project: Project,
    outputs: Sequence[Output],
    on_event: Callable[[Event], None],
    forced: Collection[str] = (),
    budget: Budget | None = None,
    stopping: Stopping | None = None,
) -> RunResult:
    """Bring the outputs up to date.

    The first Ctrl-C lets running images finish, the second cancels them too; the outcomes say what was not built. If
    there is nothing to write, the mutex is not taken.

    Args:
        on_event: called in this thread with each event, among them one outcome for each output that was begun.
        forced: tasks of outputs to generate even if they are fresh or could be restored.
        budget: one that earlier runs share; by default, one of its own, by the settings.
        stopping: how another thread may end it early; Ctrl-C does the same.
    """
    with project.asking_for_models_once():
        stale = [work.output for work in _check_freshness(project, sort_by_origin(outputs), forced, on_event)]
    worker = InterruptibleWorker(on_event, stopping)
    result, shared = RunResult(), None
    if stale:
        budget = budget or Budget(project.settings.budget)
        try:
            result, shared = _build(project, stale, forced, on_event, worker, budget)
        except ImagegenError as error:
            result = RunResult(refusal=error)
    elif project.has_uploads_due or any(lock.needs_compaction for lock in project.locks.values()):
        # after a kill or a merge, or with something to upload; it can wait if another build is running
        with contextlib.suppress(ImagegenError), hold(project.state, 0):
            project.reload_from_disk()
            if project.has_uploads_due:
                shared = SharedStoreClient(project, worker.emit, worker.stop, is_brief=True)
            result = RunResult(problems=_tidy_up(project))
    if shared:
        worker.run(shared.close)  # not under the mutex: others may build while this run waits for the shared store
        result = replace(result, stopped=worker.stop.is_set())
    with contextlib.suppress(OSError):  # it only saves the next run some reading
        project.hashes.save(project.temporary)
    worker.raise_signal()
    return result


def _build(
    project: Project,
    stale: Sequence[Output],
    forced: Collection[str],
    on_event: Callable[[Event], None],
    worker: InterruptibleWorker,
    budget: Budget,
) -> tuple[RunResult, SharedStoreClient | None]:
    """Build stale outputs under the mutex. Raises ImagegenError if another build holds it, or nothing can be built."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(hold(project.state, project.settings.wait_s, worker.stop))
        except KeyboardInterrupt:
            for output in stale:
                on_event(Outcome(output, "cancelled"))
            return RunResult(stopped=True), None
        if project.settings.store and any(map(is_shared, stale)):
            check_packages(project.settings)
        shared = _build_stale(project, _reload(project, stale, on_event), forced, on_event, worker, budget)
        return RunResult(worker.stop.is_set(), _tidy_up(project), budget.costs), shared


def _build_stale(
    project: Project,
    outputs: Sequence[Output],
    forced: Collection[str],
    on_event: Callable[[Event], None],
    worker: InterruptibleWorker,
    budget: Budget,
) -> SharedStoreClient | None:
    """Build those that are stale still: another build may have built some before this one got the mutex."""
    with project.asking_for_models_once():
        stale = _check_freshness(project, outputs, forced, on_event)
    shutil.rmtree(project.temporary, ignore_errors=True)
    shared = None
    if project.settings.store:
        is_brief = not any(is_shared(work.output) for work in stale)
        shared = SharedStoreClient(project, worker.emit, worker.stop, is_brief=is_brief)
    worker.run(BuildScheduler(project, stale, worker.emit, worker.stop, worker.cancel, shared, budget).run)
    return shared


def _refuse(project: Project, works: Sequence[StaleOutput]) -> Iterator[Outcome]:
    """Fail each work that has a step which is not possible. Others of its job are built all the same."""
    outputs = [work.output for work in works]
    wrong = [check_models(project, outputs), check_transparency(project, outputs)]
    for work in works:
        if problems := [problem for found in wrong for problem in found.get(work.output.task, ())]:
            yield work.failed("input", *problems)


def _reload(project: Project, outputs: Sequence[Output], on_event: Callable[[Event], None]) -> list[Output]:
    """Return the outputs as they are by what others have decided since. Those that no longer exist fail."""
    if not project.reload_from_disk():
        return [project.with_decisions(output) for output in outputs]
    planned = {output.task: output for plan in project.plans() for output in plan.outputs}
    found = []
    for output in outputs:
        present = project.with_decisions(output) if not output.has_job else planned.get(output.task)
        if present is None:
            what = "no longer belongs to its job, because of what was decided or changed meanwhile"
            problem = Problem(output.task, what, "run doit again")
            on_event(Outcome(output, "failed", problem=problem, failure="input"))
        else:
            found.append(present)
    return found


def _check_freshness(
    project: Project, outputs: Iterable[Output], forced: Collection[str], on_event: Callable[[Event], None]
) -> list[StaleOutput]:
    """Return the stale outputs, and report the others. What is made from a stale output is stale for now."""
    stale: list[StaleOutput] = []
    unfinished: set[str] = set()
    for output in outputs:
        is_forced = output.task in forced
        has_stale_origin = any(origin.task in unfinished for origin in output.origins)
        try:
            output, verdict = project.check_freshness(output, unfinished, forced=is_forced)
        except ImagegenError as error:
            problem, *also = (replace(one, where=one.where or output.task) for one in error.problems)
            on_event(Outcome(output, "failed", problem=problem, also=tuple(also), failure=failure_kind(error)))
            continue
        work = StaleOutput(output, verdict, is_forced)
        if not has_stale_origin and (outcome := work.outcome_if_finished()):
            on_event(outcome)
        else:
            unfinished.add(output.task)
            stale.append(work)
    return stale


def _tidy_up(project: Project) -> tuple[Problem, ...]:
    """Compact the state's files, and keep the store within its size. Returns what went wrong, which loses nothing."""
    problems = []
    untidy = [lock for lock in project.locks.values() if lock.needs_compaction]
    # whoever chooses the other side of an image in conflict also needs that side's line
    if untidy and not has_undecided_files(project.root):
        for lock in untidy:
            try:
                lock.compact(project.hashes.sha256, project.temporary)
            except OSError as error:
                hint = not_written(error).hint
                problems.append(
                    Problem(lock.name, f"cannot be compacted: {error.strerror}", f"{hint}; nothing is lost")
                )
    with contextlib.suppress(OSError):  # it only keeps the files short
        project.attempts.compact()
        project.written_files.compact()
    if project.store.has_grown:  # else it need not be looked through
        with contextlib.suppress(OSError):  # the next run that generates an image tries again
            project.store.prune(project.settings.store_bytes, project.upload_queue.blobs())
    shutil.rmtree(project.temporary, ignore_errors=True)
    return tuple(problems)


class BuildScheduler:
    """Builds stale outputs, each as soon as all that it is made from is finished.

    What needs no backend (restoring, deriving) is done here, on all cores; the rest by the backends' executors, which
    run side by side.

    Args:
        works: each after those that it is made from.
        on_event: called with each event, from any thread.
        stop: start nothing more.
        cancel: also give up what is running.
    """

    def __init__(
        self,
        project: Project,
        works: Sequence[StaleOutput],
        on_event: Callable[[Event], None],
        stop: threading.Event,
        cancel: threading.Event,
        shared: SharedStoreClient | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._project, self._on_event, self._stop, self._cancel = project, on_event, stop, cancel
        self._shared, self._budget = shared, budget or Budget()
        self._room = FinishingRoom()
        self._cutouts = Cutouts(project, on_event, stop)
        self._images = StoredImages(project, shared.find) if shared else StoredImages(project)
        self._unfinished = {work.output.task: work for work in works}
        self._awaited = {
            work.output.task: {one.task for one in work.output.origins if one.task in self._unfinished}
            for work in works
            if work.output.origins
        }
        """By task, the unfinished outputs that it is made from."""
        self._followers: dict[str, list[str]] = defaultdict(list)
        for task, awaited in self._awaited.items():
            for origin in awaited:
                self._followers[origin].append(task)
        self._to_generate: dict[str, StaleOutput] = {}
        self._executors: dict[str, Executor] | None = None
        self._threads = (os.cpu_count() or 1) + (_WAITERS if shared else 0)
        self._ready: deque[tuple[StaleOutput, bool]] = deque()
        """Works whose steps no thread has begun, and of each whether it had to wait for its origins."""
        self._running_steps = 0
        self._changed = threading.Condition(threading.RLock())

    def run(self) -> None:
        """Build them. Each has an outcome afterwards."""
        works = list(self._unfinished.values())
        for outcome in _refuse(self._project, works):
            self._report(outcome)
        with ThreadPoolExecutor(self._threads) as self._pool:
            self._start([one for one in self._unfinished.values() if not self._awaited.get(one.output.task)])
            self._wait_for_steps()
            threads = self._start_executors(works)
            for thread in threads:
                thread.join()
            self._wait_for_steps()
        for work in works:  # what is left was stopped
            self._report(work.outcome("cancelled"))

    def _start(self, works: Sequence[StaleOutput], *, is_later: bool = False) -> None:
        with self._changed:
            self._running_steps += len(works)
        self._ready.extend((work, is_later) for work in works)
        for _ in range(min(len(works), self._threads)):  # a future for each work would take 1.5 KB
            self._pool.submit(self._take_steps)

    def _take_steps(self) -> None:
        while True:
            try:
                work, is_later = self._ready.popleft()
            except IndexError:
                return
            with contextlib.suppress(Exception):  # of one outcome: the others are built all the same
                self._step(work, is_later)

    def _wait_for_steps(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._running_steps)

    def _step(self, work: StaleOutput, is_later: bool) -> None:
        try:
            try:
                found = self._build_here(work, is_later)
            except BaseException as error:  # whatever it is: nobody else would hear of it
                found = failure_outcome(work, error)
            if isinstance(found, Outcome):
                self._report(found)
            else:
                self._hand_over(found)
        finally:
            with self._changed:
                self._running_steps -= 1
                if not self._running_steps:
                    self._changed.notify_all()

    def _build_here(self, work: StaleOutput, is_later: bool) -> Outcome | StaleOutput:
        """Build the output without its backend, or return it as one that only the backend can build.

        is_later: only now that its origins are finished is its request known.
        """
        if is_later:
            output = self._project.with_origins(self._project.with_decisions(work.output))
            work = replace(work, output=output, verdict=self._project.verdict(output, forced=work.forced))
        output, verdict = work.output, work.verdict
        if self._stop.is_set() and not work.outcome_if_finished():
            return work.outcome("cancelled")
        if self._lacks_accepted(work):
            verdict = fetch_accepted(self._project, self._shared, output, verdict)
            work = replace(work, verdict=verdict)
        if outcome := work.outcome_if_finished():
            return outcome
        is_blocked = verdict.state == "blocked"
        if is_blocked and (verdict.line or work.forced or verdict.is_missing):
            return work.failed("not_replaced", blocked_problem(output, verdict))
        for origin in output.origins:
            if not origin.sha256:
                what = f"not built, because {origin.path} is missing, which it is made from"
                return work.failed("origin", Problem(output.task, what, origin.remedy))
        outcome = None
        if output.fingerprint and not work.forced:
            # a file without a line may be just what would be written (the lock file was lost): restoring finds out
            outcome = restore_image(self._project, self._images, work)
        if outcome is None and is_blocked:
            outcome = work.failed("not_replaced", blocked_problem(output, verdict))
        if outcome is None and output.is_derived:
            outcome = derive_image(self._project, work, self._cutouts)
        return outcome or work

    def _lacks_accepted(self, work: StaleOutput) -> bool:
        """Whether a file was accepted for its request, and is neither in place nor in the store."""
        verdict, accepted = work.verdict, self._project.accepted(work.output)
        is_wanted = verdict.state == "stale" or (verdict.state == "blocked" and verdict.is_missing)
        return accepted is not None and is_wanted and not work.forced and not self._project.has_accepted(work.output)

    def _hand_over(self, work: StaleOutput) -> None:
        """Have the backend's executor build it."""
        with self._changed:
            if self._executors is None:
                self._to_generate[work.output.task] = work
            elif work.output.task in self._unfinished:
                self._executors[work.output.request.backend].add(work)

    def _start_executors(self, works: Sequence[StaleOutput]) -> list[threading.Thread]:
        """Start one for each backend, with what can be generated now. What may come later is announced to it."""
        threads = []
        with self._changed:
            now: dict[str, list[StaleOutput]] = defaultdict(list)
            later: dict[str, list[StaleOutput]] = defaultdict(list)
            for work in works:
                task, name = work.output.task, work.output.request.backend
                if task in self._to_generate:
                    now[name].append(self._to_generate[task])
                elif task in self._unfinished and not work.output.is_derived:
                    later[name].append(work)
            self._executors = {}
            for name in {**now, **later}:
                try:
                    backend = self._project.backends.for_run(name)
                except ImagegenError as error:
                    for work in (*now[name], *later[name]):
                        self._report(failure_outcome(work, error))
                    continue
                executor = self._executors[name] = Executor(
                    self._project,
                    backend,
                    self._images,
                    self._report,
                    self._stop,
                    self._cancel,
                    self._shared,
                    self._budget,
                    self._room,
                )
                threads.append(
                    threading.Thread(target=self._execute, args=(executor, now[name], later[name]), name=name)
                )
        for thread in threads:
            thread.start()
        return threads

    def _execute(self, executor: Executor, now: Sequence[StaleOutput], later: Sequence[StaleOutput]) -> None:
        try:
            executor.run(now, later)
        except BaseException as error:  # as above
            for work in (*now, *later):
                self._report(failure_outcome(work, error))

    def _report(self, event: Event) -> None:
        """Pass the event on. If it finishes an output, go on with what is made from that."""
        if not isinstance(event, Outcome):
            self._on_event(event)
            return
        released: list[StaleOutput] = []
        with self._changed:
            ended = [event]  # and then what fails with it, however long the chain is
            for outcome in ended:
                task = outcome.output.task
                if self._unfinished.pop(task, None) is None:
                    continue  # it has its outcome: its job failed while this was on its way
                self._on_event(outcome)
                if outcome.output.origins:
                    for executor in (self._executors or {}).values():
                        executor.drop(task)
                followers = [self._unfinished[one] for one in self._followers.get(task, ()) if one in self._unfinished]
                for work in followers:
                    awaited = self._awaited[work.output.task]
                    awaited.discard(task)
                    if outcome.state in ("failed", "cancelled"):
                        ended.append(_held_up(work, outcome, event.output))
                    elif not awaited:
                        released.append(work)
        self._start(released, is_later=True)


def _held_up(work: StaleOutput, origin: Outcome, first: Output) -> Outcome:
    """Return the outcome of what depends on an output that was not built. first: the output that failed."""
    if origin.state == "cancelled":
        return work.outcome("cancelled")
    # the name of a derived output says which image it is of: so they are one line, though each has its own
    is_named = work.output.task.startswith(f"{origin.output.task}:")
    what = f"not built, because {'its image' if is_named else first.task} failed"
    return work.failed("origin", Problem(work.output.task, what))
