"""An executor: works through one backend's stale images, in its own order and number."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from imagegen.asking import GivenUp, within
from imagegen.backends.base import Backend, Cancelled, ServerSlot, TryAnotherServer
from imagegen.errors import Problem
from imagegen.execute.build_image import NotStoredError, failure_outcome, generate_image, restore_image
from imagegen.execute.decisions import choose_seed, record_model
from imagegen.execute.events import Event, Outcome, ProgressEvent, Started
from imagegen.execute.shared_store import SharedStoreClient
from imagegen.execute.stored_images import StoredImages
from imagegen.execute.worker import ImageProgress
from imagegen.plan.freshness import Verdict
from imagegen.plan.output import Output
from imagegen.plan.request import Request
from imagegen.project import Project

__all__ = [
    "Executor",
    "ImageQueue",
    "StaleOutput",
]


_Answer = TypeVar("_Answer")
_PREPARED = 16
"""Jobs that are prepared at a time, each in a thread that mostly waits for a server or a pull."""


@dataclass
class Executor:
    """Runs in a thread of its own. tell: called with each event, from any thread.

    stop: start nothing more. cancel: give up what is running too. Works may come while it runs, where it was told of
    them before: those that wait for what they are made from.
    """

    project: Project
    backend: Backend
    sources: StoredImages
    tell: Callable[[Event], None]
    stop: threading.Event
    cancel: threading.Event
    sharing: SharedStoreClient | None = None
    _tried: set[str] = field(default_factory=set)
    _later: set[str] = field(default_factory=set)
    """The tasks of works that may still come."""
    _inbox: queue.SimpleQueue[StaleOutput | str | Future[Any]] = field(default_factory=queue.SimpleQueue)
    """What happened: a work came, will not come (its task), or something that was at work is done."""
    _not_kept: NotStoredError | None = None
    """Why nothing more is drawn: it would be lost."""

    def add(self, work: StaleOutput) -> None:
        """A work that was told of comes: what it is made from is there now. From any thread."""
        self._inbox.put(work)

    def drop(self, task: str) -> None:
        """A work that may have been told of will not come. From any thread."""
        self._inbox.put(task)

    def run(self, works: Sequence[StaleOutput], later: Sequence[StaleOutput] = ()) -> None:
        """Preflight of each job's images, then the images of those jobs that passed; images of one model together.

        later: works that may come; preflight is about them too.
        """
        by_job: dict[str, list[StaleOutput]] = defaultdict(list)
        self._later = {work.output.task for work in later}
        for work in (*works, *later):
            by_job[work.output.job].append(work)
        ready = (self._with_seeds(self._with_model(job)) for job in by_job.values())
        jobs = [passed for job in ready if (passed := self._preflight(job))]
        self._later &= {work.output.task for job in jobs for work in job}
        try:
            if jobs:
                self._make(jobs)
        finally:
            self._close()

    def _close(self) -> None:
        """What goes wrong then, fails no image any more."""
        try:
            self.backend.close()
        except Exception as error:
            self.tell(ProgressEvent(None, "note", {"text": str(error)}))

    def _with_model(self, job: list[StaleOutput]) -> list[StaleOutput]:
        """The images with the model decided that their job leaves open; without those that can now be restored."""
        if not any(_is_open(work) for work in job):
            return job
        try:
            first = next(work for work in job if _is_open(work))
            model = self._answer(partial(self.backend.choose_model, first.output.request))
            record_model(self.project, first.output.job, model)
        except GivenUp:
            self._cancelled(job)
            return []
        except Exception as error:
            self._all_failed(job, error)
            return []
        settled = []
        for work in job:
            work = replace(work, output=self.project.decided(work.output))
            again = None
            if work.output.fingerprint and not work.forced:
                again = restore_image(self.project, self.sources, work.output, work.verdict)
            if again:
                self.tell(again)
            else:
                settled.append(work)
        return settled

    def _with_seeds(self, job: list[StaleOutput]) -> list[StaleOutput]:
        """The images, those seeds drawn that decide a prompt: preflight is to see the prompt that will be sent."""
        try:
            return [
                replace(work, output=choose_seed(self.project, work.output)) if _is_unworded(work) else work
                for work in job
            ]
        except OSError as error:
            self._all_failed(job, error)
            return []

    def _prepare(self, job: list[StaleOutput]) -> list[StaleOutput]:
        """Once for each job that passed its preflight: what takes long, and the checks that only then can be made."""
        if self.stop.is_set():
            self._cancelled(job)
            return []
        try:
            progress = ImageProgress(math.inf, self.stop, tell=self._happened(None, job[0].output.job))
            problems = self.backend.prepare([work.output.request for work in job], progress)
        except Cancelled:
            self._cancelled(job)
            return []
        except Exception as error:
            self._all_failed(job, error)
            return []
        return self._passed(job, problems)

    def _preflight(self, job: list[StaleOutput]) -> list[StaleOutput]:
        if self.stop.is_set():
            self._cancelled(job)
            return []
        if not job:
            return []
        try:
            problems = self._answer(partial(self.backend.preflight, [work.output.request for work in job]))
        except GivenUp:
            self._cancelled(job)
            return []
        except Exception as error:  # a backend of somebody else's can fail in any way
            self._all_failed(job, error)
            return []
        return self._passed(job, problems)

    def _answer(self, ask: Callable[[], _Answer]) -> _Answer:
        """What a backend says before it draws anything, unless the user stops first: a server may be silent."""
        return within(math.inf, ask, self.stop.is_set)

    def _all_failed(self, job: Sequence[StaleOutput], error: Exception) -> None:
        if self.stop.is_set():  # Ctrl-C reaches on a terminal what a backend asks, too
            self._cancelled(job)
            return
        for work in job:
            self.tell(failure_outcome(work.output, work.verdict, error))

    def _passed(self, job: list[StaleOutput], problems: Sequence[Problem]) -> list[StaleOutput]:
        """All of the job's images, or none."""
        if not problems:
            return job
        if self.stop.is_set():  # as above
            self._cancelled(job)
            return []
        held_up = _held_up(problems)
        by_name: dict[str, list[Problem]] = defaultdict(list)
        for problem in problems:
            by_name[problem.where].append(problem)
        for work in job:
            own = [*by_name[""], *(by_name[name] if (name := work.output.request.name) else ())]
            first, *also = own or [held_up]
            self.tell(Outcome(work.output, "failed", work.verdict.reasons, problem=first, also=tuple(also)))
        return []

    def _make(self, jobs: Sequence[list[StaleOutput]]) -> None:
        """Prepare the jobs side by side, and generate each one's images as soon as it is prepared."""
        most = max(1, self.backend.in_flight)
        waiting = ImageQueue(self.backend.batch_key)
        unprepared = {job[0].output.job: [work for work in job if not self._comes_later(work)] for job in jobs}
        preparing: dict[Future[list[StaleOutput]], str] = {}
        running: dict[Future[Sequence[StaleOutput]], str] = {}
        with ThreadPoolExecutor(_PREPARED) as preparers, ThreadPoolExecutor(most) as generators:
            for job in jobs:
                preparing[preparers.submit(self._prepare, job)] = job[0].output.job
            for begun in preparing:
                begun.add_done_callback(self._inbox.put)
            while preparing or waiting or running or self._later:
                if self.stop.is_set():
                    self._cancelled(waiting.clear())
                    self._later.clear()
                while len(running) < most and (next_one := self._next(waiting, running.values())):
                    started = generators.submit(self._same, *next_one)
                    running[started] = next_one[0][0].key
                    started.add_done_callback(self._inbox.put)
                happened = self._happenings()
                for prepared in [job for job in preparing if job in happened]:  # in the order of the jobs
                    job_name = preparing.pop(prepared)
                    works = unprepared.pop(job_name)
                    if prepared.result():
                        waiting.add(works)
                    else:
                        self._later -= {task for task in self._later if task.partition(":")[0] == job_name}
                for one in happened:
                    if isinstance(one, StaleOutput) and self._comes_later(one):
                        self._later.remove(one.output.task)
                        unprepared.get(one.output.job, waiting).append(one)
                    elif isinstance(one, str):
                        self._later.discard(one)
                    elif isinstance(one, Future) and running.pop(one, None) is not None:
                        waiting.add(one.result())

    def _next(self, waiting: ImageQueue, busy: Collection[str]) -> tuple[list[StaleOutput], ServerSlot] | None:
        """Return the works of the image that is next, and room for it at a server."""
        counts = waiting.counts(busy)
        found = self.backend.pick_server(counts) if counts else None
        return found and (waiting.take(busy, found[0]), found[1])

    def _happenings(self) -> list[StaleOutput | str | Future[Any]]:
        """What has happened since; waits for it, at most for 0.5 s."""
        happened = []
        with contextlib.suppress(queue.Empty):
            happened.append(self._inbox.get(timeout=0.5))
            while True:
                happened.append(self._inbox.get_nowait())
        return happened

    def _comes_later(self, work: StaleOutput) -> bool:
        return work.output.task in self._later

    def _same(self, same: Sequence[StaleOutput], slot: ServerSlot) -> Sequence[StaleOutput]:
        """Images of one fingerprint: the first is generated, the others are that one again.

        They are given back where they are to be made elsewhere.
        """
        first, *others = same
        try:
            # of a job that was prepared later than another with the same image
            outcome = (first.key in self._tried and self._again(first)) or self._one(first, slot)
        except TryAnotherServer:  # with the seed that was drawn for it by then
            return [replace(work, output=self.project.decided(work.output)) for work in same]
        finally:
            slot.release()
        self._tried.add(first.key)
        self.tell(outcome)
        for work in others:
            # a failed one may have failed in its own place only
            again = self._again(work) if outcome.state != "cancelled" else None
            self.tell(again or Outcome(work.output, outcome.state, work.verdict.reasons, problem=outcome.problem))
        return ()

    def _again(self, work: StaleOutput) -> Outcome | None:
        return restore_image(self.project, self.sources, work.output, work.verdict)

    def _one(self, work: StaleOutput, slot: ServerSlot) -> Outcome:
        output = work.output
        if self._not_kept:
            return failure_outcome(output, work.verdict, self._not_kept)
        try:
            if output.request.seed is None:
                output = choose_seed(self.project, output)
        except OSError as error:
            return failure_outcome(output, work.verdict, error)
        self.tell(Started(output))
        tell = self._happened(output)
        try:
            return generate_image(
                self.project,
                self.backend,
                output,
                work.verdict,
                self.cancel,
                tell,
                forced=work.forced,
                sharing=self.sharing,
                slot=slot,
            )
        except NotStoredError as error:
            self._not_kept = error
            return failure_outcome(output, work.verdict, error)
        except TryAnotherServer:
            raise
        except BaseException as error:  # nothing that one image does may cost the others
            return failure_outcome(output, work.verdict, error)

    def _happened(self, output: Output | None, job: str = "") -> Callable[[str, dict[str, Any]], None]:
        return lambda name, facts: self.tell(ProgressEvent(output, name, facts, job))

    def _cancelled(self, same: Sequence[StaleOutput]) -> None:
        for work in same:
            self.tell(Outcome(work.output, "cancelled", work.verdict.reasons))


def _is_open(work: StaleOutput) -> bool:
    return work.output.has_open_model and not work.output.request.model


def _is_unworded(work: StaleOutput) -> bool:
    return work.output.template is not None and work.output.request.seed is None


def _held_up(problems: Sequence[Problem]) -> Problem:
    """For images that have no problem of their own: nothing of a job is queued where any of it has one."""
    named = list(dict.fromkeys(problem.where for problem in problems))
    others = ", ".join(named[:_NAMED]) + (f" and {len(named) - _NAMED} more" if len(named) > _NAMED else "")
    return Problem("", f"not started, because preflight found problems with {others}", "")


_NAMED = 20


@dataclass(frozen=True)
class StaleOutput:
    """A stale output, why it is so, and whether it must be generated though it could be restored."""

    output: Output
    verdict: Verdict
    forced: bool = False

    @property
    def key(self) -> str:
        """The same for works that are one image: of one fingerprint."""
        return self.output.fingerprint or self.output.task


class ImageQueue:
    """Works in the order in which they came, by groups; those of one model together, so that it is loaded once.

    group: what the works of a group have in common, by their requests.
    """

    def __init__(self, group: Callable[[Request], Hashable]) -> None:
        self._group = group
        self._groups: dict[Hashable, dict[str, list[StaleOutput]]] = {}
        self._last: Hashable = ""

    def __bool__(self) -> bool:
        return any(self._groups.values())

    def add(self, works: Iterable[StaleOutput]) -> None:
        """They wait from now on."""
        for work in works:
            same = self._groups.setdefault(self._group(work.output.request), {})
            same.setdefault(work.key, []).append(work)

    def append(self, work: StaleOutput) -> None:
        """One more waits."""
        self.add([work])

    def counts(self, busy: Collection[str]) -> dict[Hashable, int]:
        """How many images there are to take of each group, the group of the last one first. busy: as for `take`."""
        groups = sorted(self._groups, key=lambda group: group != self._last)
        counts = {
            group: len(works) - sum(key in works for key in busy) for group in groups if (works := self._groups[group])
        }
        return {group: count for group, count in counts.items() if count}

    def take(self, busy: Collection[str], group: Hashable) -> list[StaleOutput]:
        """The works of one image of this group, which wait no longer.

        busy: keys of those that are being generated; theirs wait until then.
        """
        self._last = group
        key = next(key for key in self._groups[group] if key not in busy)
        return self._groups[group].pop(key)

    def clear(self) -> list[StaleOutput]:
        """All works that waited."""
        works = [work for keys in self._groups.values() for same in keys.values() for work in same]
        self._groups.clear()
        return works
