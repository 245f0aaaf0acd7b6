"""A run: from selected outputs to an outcome for each, under the build's mutex."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import FrameType

from imagegen.errors import ImagegenError, Problem
from imagegen.execute.executor import Executor
from imagegen.execute.imaging import blocked, restore
from imagegen.execute.outcome import Event, Outcome
from imagegen.execute.sources import Sources
from imagegen.execute.waiting import Work
from imagegen.plan.output import Output
from imagegen.project import Project
from imagegen.state.mutex import hold

__all__ = ["Ending", "Wanted", "run"]


@dataclass(frozen=True)
class Wanted:
    """An output that was selected. forced: it is generated though it is fresh, and though it could be restored."""

    output: Output
    forced: bool = False


@dataclass(frozen=True)
class Ending:
    """How a run ended. stopped: by the user. problems: with what comes after the images."""

    stopped: bool = False
    problems: tuple[Problem, ...] = ()


def run(project: Project, wanted: Sequence[Wanted], tell: Callable[[Event], None]) -> Ending:
    """Bring the outputs up to date; `tell` is called with each event, in this thread; with one outcome for each output.

    What needs no writing takes no mutex. Ctrl-C once finishes what is running, twice cancels that too; the
    outcomes say which were not made.
    """
    stale = _settle(project, wanted, tell)
    ending = Ending()
    waiting = True
    if stale:
        try:
            with hold(project.state, project.settings.wait_s):
                waiting = False
                # another build may have made some of them before this one got the mutex
                project.reload_locks()
                stale = [replace(one, output=project.decided(one.output)) for one in stale]
                stale = _settle(project, stale, tell, again=True)
                shutil.rmtree(project.temporary, ignore_errors=True)
                stopped = _make(project, stale, tell)
                ending = Ending(stopped, _finish(project))
        except ImagegenError as error:
            for one in stale:
                tell(Outcome(one.output, "failed", problem=error.problems[0]))
        except KeyboardInterrupt:
            if not waiting:  # a third Ctrl-C, or one after the images: their outcomes are told
                raise
            for one in stale:
                tell(Outcome(one.output, "cancelled"))
            ending = Ending(stopped=True)
    elif any(lock.untidy for lock in project.locks.values()):
        # after a kill or a merge; it can wait where another build is at work
        with contextlib.suppress(ImagegenError), hold(project.state, 0):
            project.reload_locks()
            ending = Ending(problems=_finish(project))
    with contextlib.suppress(OSError):  # it only saves the next run some reading
        project.hashes.save(project.temporary)
    return ending


def _settle(
    project: Project, wanted: Sequence[Wanted], tell: Callable[[Event], None], *, again: bool = False
) -> list[Wanted]:
    """Tell of those that are fresh or kept, and under the mutex (again) of those that are blocked; the others."""
    stale = []
    for one in wanted:
        output = one.output
        try:
            verdict = project.verdict(output, forced=one.forced)
        except OSError as error:
            problem = Problem(output.task, f"{output.path} cannot be read: {error.strerror}", "mend its permissions")
            tell(Outcome(output, "failed", problem=problem))
            continue
        if verdict.state in ("fresh", "kept"):
            tell(Outcome(output, verdict.state, verdict.reasons, verdict.note))
        elif again and verdict.state == "blocked" and (verdict.line or one.forced):
            tell(Outcome(output, "failed", verdict.reasons, problem=blocked(output, verdict)))
        else:
            stale.append(one)
    return stale


def _make(project: Project, stale: Sequence[Wanted], tell: Callable[[Event], None]) -> bool:
    """Whether the user stopped it."""
    works = [Work(one.output, project.verdict(one.output, forced=one.forced), one.forced) for one in stale]
    stop, cancel = threading.Event(), threading.Event()
    told: queue.Queue[Event | None] = queue.Queue()
    worker = threading.Thread(target=_work, args=(project, works, told, stop, cancel), name="imagegen")
    with _ctrl_c(stop, cancel):
        worker.start()
        while (event := told.get()) is not None:
            tell(event)
        worker.join()
    return stop.is_set()


@contextlib.contextmanager
def _ctrl_c(stop: threading.Event, cancel: threading.Event) -> Iterator[None]:
    """The first Ctrl-C sets `stop`, the second `cancel`; a third is Python's own."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = signal.getsignal(signal.SIGINT)

    def interrupted(_signal: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            cancel.set()
            signal.signal(signal.SIGINT, before)
        stop.set()

    signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _work(
    project: Project,
    works: Sequence[Work],
    told: queue.Queue[Event | None],
    stop: threading.Event,
    cancel: threading.Event,
) -> None:
    try:
        sources = Sources(project)
        to_generate = _restore(project, sources, works, told, stop)
        by_backend: dict[str, list[Work]] = defaultdict(list)
        for work in to_generate:
            by_backend[work.output.request.backend].append(work)
        threads = []
        for name, own in by_backend.items():
            executor = Executor(project, project.backend(name), sources, told.put, stop, cancel)
            threads.append(threading.Thread(target=executor.run, args=(own,), name=name))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        told.put(None)


def _restore(
    project: Project,
    sources: Sources,
    works: Sequence[Work],
    told: queue.Queue[Event | None],
    stop: threading.Event,
) -> list[Work]:
    """Restore what can be, as many at a time as there are cores; the others, in order."""

    def attempt(work: Work) -> bool:
        if work.forced or (not work.output.fingerprint and work.verdict.state != "blocked"):
            return False
        if stop.is_set():
            told.put(Outcome(work.output, "cancelled", work.verdict.reasons))
            return True
        # a file without a line may be just what would be written (the lock file was lost): restoring finds out
        outcome = restore(project, sources, work.output, work.verdict) if work.output.fingerprint else None
        if outcome is None and work.verdict.state == "blocked":
            problem = blocked(work.output, work.verdict)
            outcome = Outcome(work.output, "failed", work.verdict.reasons, problem=problem)
        if outcome is not None:
            told.put(outcome)
        return outcome is not None

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return [work for work, done in zip(works, pool.map(attempt, works), strict=True) if not done]


def _finish(project: Project) -> tuple[Problem, ...]:
    """Fold the lock files, keep the store within its bound; what went wrong, which loses nothing."""
    problems = []
    for lock in project.locks.values():
        if lock.untidy:
            try:
                on_disk = {path: state.sha256 for path in lock.lines if (state := project.hashes.state(path))}
                lock.fold(on_disk, project.temporary)
            except OSError as error:
                problems.append(Problem(lock.name, f"cannot be folded: {error.strerror}", "the next run tries again"))
    with contextlib.suppress(OSError):  # it only keeps the file short
        project.attempts.fold()
    project.store.prune(project.settings.store_bytes)
    shutil.rmtree(project.temporary, ignore_errors=True)
    return tuple(problems)
