"""A run: from selected outputs to an outcome for each, under the build's mutex."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from imagegen.errors import ImagegenError, Problem, not_written
from imagegen.execute.build_image import blocked_problem, derive_image, failure_outcome, restore_image
from imagegen.execute.events import Event, Outcome
from imagegen.execute.executor import Executor, StaleOutput
from imagegen.execute.shared_store import SharedStoreClient, check_packages, fetch_accepted, is_shared
from imagegen.execute.stored_images import StoredImages
from imagegen.execute.worker import InterruptibleWorker
from imagegen.plan.origins import sort_by_origin
from imagegen.plan.output import ONE_OFF, Output
from imagegen.project import Project
from imagegen.project.git import has_undecided_files
from imagegen.state.mutex import hold

__all__ = [
    "Flow",
    "RunResult",
    "SelectedOutput",
    "run",
]


@dataclass(frozen=True)
class SelectedOutput:
    """An output that was selected. forced: it is generated though it is fresh, and though it could be restored."""

    output: Output
    forced: bool = False


@dataclass(frozen=True)
class RunResult:
    """How a run ended. stopped: by the user. problems: with what comes after the images."""

    stopped: bool = False
    problems: tuple[Problem, ...] = ()


def run(project: Project, wanted: Sequence[SelectedOutput], tell: Callable[[Event], None]) -> RunResult:
    """Bring the outputs up to date; `tell` is called with each event, in this thread; with one outcome for each output.

    What needs no writing takes no mutex. Ctrl-C once finishes what is running, twice cancels that too; the
    outcomes say which were not made.
    """
    by_task = {one.output.task: one for one in wanted}
    wanted = [by_task[output.task] for output in sort_by_origin([one.output for one in wanted])]
    stale = _settle(project, wanted, tell)
    attended = InterruptibleWorker(tell)
    sharing = None
    ending = RunResult()
    waiting = True
    if stale:
        try:
            with hold(project.state, project.settings.wait_s):
                waiting = False
                # another build may have made some of them before this one got the mutex
                if project.settings.store and any(is_shared(one.output) for one in stale):
                    check_packages(project.settings)
                stale = _settle(project, _anew(project, stale, tell), tell)
                shutil.rmtree(project.temporary, ignore_errors=True)
                if project.settings.store:
                    is_brief = not any(is_shared(one.output) for one in stale)
                    sharing = SharedStoreClient(project, attended.put, attended.stop, is_brief=is_brief)
                attended.do(Flow(project, stale, attended.put, attended.stop, attended.cancel, sharing).run)
                ending = RunResult(attended.stop.is_set(), _finish(project))
        except ImagegenError as error:
            for one in stale:
                tell(Outcome(one.output, "failed", problem=error.problems[0]))
        except KeyboardInterrupt:
            if not waiting:  # a third Ctrl-C, or one after the images: their outcomes are told
                raise
            for one in stale:
                tell(Outcome(one.output, "cancelled"))
            ending = RunResult(stopped=True)
    elif project.has_pending or any(lock.untidy for lock in project.locks.values()):
        # after a kill or a merge, or with what could not go up; it can wait where another build is at work
        with contextlib.suppress(ImagegenError), hold(project.state, 0):
            project.reload_locks()
            if project.has_pending:
                sharing = SharedStoreClient(project, attended.put, attended.stop, is_brief=True)
            ending = RunResult(problems=_finish(project))
    if sharing:
        attended.do(sharing.close)  # not under the mutex: others may build while this one waits for the shared store
        ending = replace(ending, stopped=attended.stop.is_set())
    with contextlib.suppress(OSError):  # it only saves the next run some reading
        project.hashes.save(project.temporary)
    attended.pass_on()
    return ending


def _anew(project: Project, works: Sequence[StaleOutput], tell: Callable[[Event], None]) -> list[SelectedOutput]:
    """Those that are images still, as they are by what others decided since; the others are told of."""
    if not project.reload_locks():
        return [SelectedOutput(project.decided(work.output), work.forced) for work in works]
    plans = {output.task: output for plan in project.plans() for output in plan.outputs}
    found = []
    for work in works:
        output = project.decided(work.output) if work.output.job == ONE_OFF else plans.get(work.output.task)
        if output is None:
            what = "is no image of its job any more, by what was decided or changed meanwhile"
            tell(Outcome(work.output, "failed", problem=Problem(work.output.task, what, "doit again")))
        else:
            found.append(SelectedOutput(output, work.forced))
    return found


def _settle(project: Project, wanted: Sequence[SelectedOutput], tell: Callable[[Event], None]) -> list[StaleOutput]:
    """Tell of those that are fresh or kept; the others. What is made from others is not judged before them."""
    stale: list[StaleOutput] = []
    unsettled: set[str] = set()
    for one in wanted:
        output = one.output
        waits = any(origin.task in unsettled for origin in output.origins)
        try:
            output = project.with_origins(output, unsettled)
            verdict = project.verdict(output, forced=one.forced)
        except OSError as error:
            what = f"{error.filename or output.path} cannot be read: {error.strerror}"
            tell(Outcome(output, "failed", problem=Problem(output.task, what, "fix its permissions")))
            continue
        if verdict.state in ("fresh", "kept") and not waits:
            tell(Outcome(output, verdict.state, verdict.reasons, verdict.note))
        else:
            unsettled.add(output.task)
            stale.append(StaleOutput(output, verdict, one.forced))
    return stale


def _finish(project: Project) -> tuple[Problem, ...]:
    """Fold the lock files, keep the store within its bound; what went wrong, which loses nothing."""
    problems = []
    untidy = [lock for lock in project.locks.values() if lock.untidy]
    # whoever chooses the other side of an image in conflict needs that side's line, too
    if untidy and not has_undecided_files(project.root):
        for lock in untidy:
            try:
                on_disk = {path: state.sha256 for path in lock.lines if (state := project.hashes.state(path))}
                lock.fold(on_disk, project.temporary)
            except OSError as error:
                hint = not_written(error).hint
                problems.append(Problem(lock.name, f"cannot be folded: {error.strerror}", f"{hint}; nothing is lost"))
    with contextlib.suppress(OSError):  # it only keeps the files short
        project.attempts.fold()
        project.placed.fold()
    with contextlib.suppress(OSError):  # the next run tries again
        project.store.prune(project.settings.store_bytes, project.pending.blobs())
    shutil.rmtree(project.temporary, ignore_errors=True)
    return tuple(problems)


_WAITERS = 8
"""Threads more where there is a shared store: they wait for it, and need no core meanwhile."""


class Flow:
    """Brings works to an outcome each. tell: called with each event, from any thread. stop, cancel: see `Executor`.

    works: each after those that it is made from.
    """

    def __init__(
        self,
        project: Project,
        works: Sequence[StaleOutput],
        tell: Callable[[Event], None],
        stop: threading.Event,
        cancel: threading.Event,
        sharing: SharedStoreClient | None = None,
    ) -> None:
        self._project, self._tell, self._stop, self._cancel = project, tell, stop, cancel
        self._sharing = sharing
        self._sources = StoredImages(project, sharing.find) if sharing else StoredImages(project)
        self._open = {work.output.task: work for work in works}
        self._awaited = {
            work.output.task: {origin.task for origin in work.output.origins if origin.task in self._open}
            for work in works
        }
        """Of each work, what it is made from and is not settled yet."""
        self._followers: dict[str, list[str]] = defaultdict(list)
        for task, awaited in self._awaited.items():
            for origin in awaited:
                self._followers[origin].append(task)
        self._to_generate: dict[str, StaleOutput] = {}
        self._executors: dict[str, Executor] | None = None
        self._at_work = 0
        self._changed = threading.Condition(threading.RLock())

    def run(self) -> None:
        """To the end: there is an outcome for each work then."""
        works = list(self._open.values())
        more = _WAITERS if self._sharing else 0
        with ThreadPoolExecutor((os.cpu_count() or 1) + more) as self._pool:
            self._begin([work for work in works if not self._awaited[work.output.task]])
            self._idle()
            threads = self._start_executors(works)
            for thread in threads:
                thread.join()
            self._idle()
        for work in works:  # what is left was stopped
            self._told(Outcome(work.output, "cancelled", work.verdict.reasons))

    def _begin(self, works: Sequence[StaleOutput], *, later: bool = False) -> None:
        with self._changed:
            self._at_work += len(works)
        for work in works:
            self._pool.submit(self._step, work, later)

    def _idle(self) -> None:
        """Wait until there is nothing left to do here."""
        with self._changed:
            self._changed.wait_for(lambda: not self._at_work)

    def _step(self, work: StaleOutput, later: bool) -> None:
        try:
            try:
                outcome: StaleOutput | Outcome = self._without_backend(work, later)
            except BaseException as error:  # whatever it is: nobody else would hear of it
                outcome = failure_outcome(work.output, work.verdict, error)
            if isinstance(outcome, Outcome):
                self._told(outcome)
            else:
                self._generate(outcome)
        finally:
            with self._changed:
                self._at_work -= 1
                self._changed.notify_all()

    def _without_backend(self, work: StaleOutput, later: bool) -> Outcome | StaleOutput:
        """The outcome; or the work, where only a backend can do it. later: only now is it known what is asked for."""
        if later:
            output = self._project.with_origins(self._project.decided(work.output))
            work = replace(work, output=output, verdict=self._project.verdict(output, forced=work.forced))
        output, verdict = work.output, work.verdict
        if self._stop.is_set() and verdict.state not in ("fresh", "kept"):
            return Outcome(output, "cancelled", verdict.reasons)
        if self._lacks_accepted(work):
            verdict = fetch_accepted(self._project, self._sharing, output, verdict)
            work = replace(work, verdict=verdict)
        if verdict.state in ("fresh", "kept"):
            return Outcome(output, verdict.state, verdict.reasons, verdict.note)
        is_blocked = verdict.state == "blocked"
        if is_blocked and (verdict.line or work.forced or verdict.is_missing):
            return Outcome(output, "failed", verdict.reasons, problem=blocked_problem(output, verdict))
        for origin in output.origins:
            if not origin.sha256:
                what = f"not made, because {origin.path} is not there, which it is made from"
                problem = Problem(output.task, what, f"doit {origin.task}")
                return Outcome(output, "failed", verdict.reasons, problem=problem)
        outcome = None
        if output.fingerprint and not work.forced:
            # a file without a line may be just what would be written (the lock file was lost): restoring finds out
            outcome = restore_image(self._project, self._sources, output, verdict)
        if outcome is None and is_blocked:
            outcome = Outcome(output, "failed", verdict.reasons, problem=blocked_problem(output, verdict))
        if outcome is None and output.is_derived:
            outcome = derive_image(self._project, output, verdict)
        return outcome or work

    def _lacks_accepted(self, work: StaleOutput) -> bool:
        """Whether a file was accepted for what is asked for, and is neither in place nor in the store."""
        verdict, accepted = work.verdict, self._project.accepted(work.output)
        is_wanted = verdict.state == "stale" or (verdict.state == "blocked" and verdict.is_missing)
        return accepted is not None and is_wanted and not work.forced and not self._project.has_accepted(work.output)

    def _generate(self, work: StaleOutput) -> None:
        with self._changed:
            if self._executors is None:
                self._to_generate[work.output.task] = work
            elif work.output.task in self._open:
                self._executors[work.output.request.backend].add(work)

    def _start_executors(self, works: Sequence[StaleOutput]) -> list[threading.Thread]:
        """One for each backend, in order; it gets what can be generated now, and is told of what may come."""
        threads = []
        with self._changed:
            now: dict[str, list[StaleOutput]] = defaultdict(list)
            later: dict[str, list[StaleOutput]] = defaultdict(list)
            for work in works:
                task, backend = work.output.task, work.output.request.backend
                if task in self._to_generate:
                    now[backend].append(self._to_generate[task])
                elif task in self._open and not work.output.is_derived:
                    later[backend].append(work)
            self._executors = {}
            for name in {**now, **later}:
                try:
                    drawing = self._project.backends.drawing(name)
                except ImagegenError as error:
                    for work in (*now[name], *later[name]):
                        self._told(failure_outcome(work.output, work.verdict, error))
                    continue
                args = (self._sources, self._told, self._stop, self._cancel, self._sharing)
                executor = self._executors[name] = Executor(self._project, drawing, *args)
                run = threading.Thread(target=self._execute, args=(executor, now[name], later[name]), name=name)
                threads.append(run)
        for thread in threads:
            thread.start()
        return threads

    def _execute(self, executor: Executor, now: Sequence[StaleOutput], later: Sequence[StaleOutput]) -> None:
        try:
            executor.run(now, later)
        except BaseException as error:  # as above
            for work in (*now, *later):
                self._told(failure_outcome(work.output, work.verdict, error))

    def _told(self, event: Event) -> None:
        """Hand the event on; where it settles something, go on with what is made from that."""
        if not isinstance(event, Outcome):
            self._tell(event)
            return
        released: list[StaleOutput] = []
        with self._changed:
            ended = [event]  # and then what is held up by it, however long the chain is
            for outcome in ended:
                if self._open.pop(outcome.output.task, None) is None:
                    continue  # it had its outcome: its job failed while this was on its way
                self._tell(outcome)
                if outcome.output.origins:
                    for executor in (self._executors or {}).values():
                        executor.drop(outcome.output.task)
                followers = [self._open[task] for task in self._followers[outcome.output.task] if task in self._open]
                if outcome.state in ("failed", "cancelled"):
                    ended += [_held_up(work, outcome, event.output) for work in followers]
                else:
                    released += self._without(outcome.output.task, followers)
        self._begin(released, later=True)

    def _without(self, settled: str, followers: Sequence[StaleOutput]) -> list[StaleOutput]:
        """Those of the followers that wait for nothing more."""
        for work in followers:
            self._awaited[work.output.task].discard(settled)
        return [work for work in followers if not self._awaited[work.output.task]]


def _held_up(work: StaleOutput, origin: Outcome, first: Output) -> Outcome:
    """The outcome of what is made from an output that was not made. first: the one that all this began with."""
    if origin.state == "cancelled":
        return Outcome(work.output, "cancelled", work.verdict.reasons)
    # the name of a derived output tells its image; so that they are one line, though each has its own
    only_one = work.output.is_derived and len(work.output.origins) == 1
    what = f"not made, because {'its image' if only_one else first.task} failed"
    return Outcome(work.output, "failed", work.verdict.reasons, problem=Problem(work.output.task, what))
