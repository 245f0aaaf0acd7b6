"""An executor builds one backend's stale images, in the backend's own order and number."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from imagegen.backends.base import Backend, Cancelled, GenerationError, ServerSlot, TryAnotherServer
from imagegen.backends.text import list_first
from imagegen.calls import StoppedWaiting, call_with_timeout
from imagegen.errors import Problem
from imagegen.execute.budget import FREE, Budget, NotPaidForError, Payment, check_prices, describe_unlimited
from imagegen.execute.build_image import NotStoredError, failure_outcome, restore_image
from imagegen.execute.decisions import choose_seed, record_model
from imagegen.execute.events import Arrived, Event, Outcome, ProgressEvent, StaleOutput, Started
from imagegen.execute.finishing_room import AT_A_TIME, FinishingRoom, Place
from imagegen.execute.generation import Generation
from imagegen.execute.image_queue import ImageQueue
from imagegen.execute.paid_images import LOST_BEFORE, find_paid_image, unpaid_problem
from imagegen.execute.shared_store import SharedStoreClient
from imagegen.execute.stored_images import StoredImages
from imagegen.execute.worker import ImageAttempt, ImageProgress
from imagegen.plan.output import ONE_OFF, Output
from imagegen.plan.request import Request
from imagegen.project import Project

__all__ = [
    "Executor",
]

_Answer = TypeVar("_Answer")
_PREPARING = 16
"""Jobs that are prepared at a time, each in a thread that mostly waits for a server or a pull."""
_NAMED = 20
"""Images that a message names at most."""


@dataclass(frozen=True)
class _Added:
    """Announced work was added."""

    work: StaleOutput


@dataclass(frozen=True)
class _Dropped:
    """Work that may have been announced will not be added."""

    task: str


@dataclass(frozen=True)
class _Prepared:
    """A job's preparation ended. future: whether it passed the checks."""

    job: str
    future: Future[bool]


@dataclass(frozen=True)
class _Left:
    """An image left its place at the backend. error: why that could not be released."""

    error: Exception | None


@dataclass(frozen=True)
class _Built:
    """An image is finished. future: the works that another server is to generate, if any."""

    key: str
    future: Future[Sequence[StaleOutput]]


_Message = _Added | _Dropped | _Prepared | _Left | _Built


@dataclass
class Executor:
    """Runs in a thread of its own. More work may be added meanwhile, if it was announced to `run`.

    on_event: called with each event, from any thread. stop: start nothing more. cancel: also give up what is running.
    budget: what the run may cost, and did. room: for its images that have arrived.
    """

    project: Project
    backend: Backend
    images: StoredImages
    on_event: Callable[[Event], None]
    stop: threading.Event
    cancel: threading.Event
    shared: SharedStoreClient | None = None
    budget: Budget = field(default_factory=Budget)
    room: FinishingRoom = field(default_factory=FinishingRoom)
    _later: set[str] = field(default_factory=set)
    """Tasks whose work may still be added."""
    _inbox: queue.SimpleQueue[_Message] = field(default_factory=queue.SimpleQueue)
    _tried: set[str] = field(default_factory=set)
    """Keys of images that were generated, or failed."""
    _lost: dict[str, Problem] = field(default_factory=dict)
    """Keys of images that may have been paid for without arriving: this run does not request them again."""
    _not_stored: NotStoredError | None = None
    """Why nothing more is generated: it would be lost."""
    _begun: set[str] = field(default_factory=set)
    """Keys of images whose attempts were begun in this run."""

    def add(self, work: StaleOutput) -> None:
        """Add announced work: what it is made from is there now. From any thread."""
        self._inbox.put(_Added(work))

    def drop(self, task: str) -> None:
        """Drop work that may have been announced. From any thread."""
        self._inbox.put(_Dropped(task))

    def run(self, works: Sequence[StaleOutput], later: Sequence[StaleOutput] = ()) -> None:
        """Check each job, then generate the images of those jobs that passed; images of one batch key together.

        later: work that may be added. Preflight checks it as well.
        """
        by_job: dict[str, list[StaleOutput]] = defaultdict(list)
        self._later = {work.output.task for work in later}
        for work in (*works, *later):
            by_job[work.output.job].append(work)
        jobs = []
        for job in by_job.values():
            decided = self._try(job, partial(self._decide, job))
            if decided and self._check(decided, self._preflight):
                jobs.append(decided)
        self._later &= {work.output.task for job in jobs for work in job}
        try:
            if jobs:
                self._warn_of_cost(jobs)
                self._generate_all(jobs)
        finally:
            try:
                self.backend.close()
            except Exception as error:  # it fails no image any more
                self.on_event(ProgressEvent(None, "note", {"text": str(error)}))

    def _warn_of_cost(self, jobs: Sequence[list[StaleOutput]]) -> None:
        """Say once if images are generated of which nothing limits what they cost."""
        requests = (work.output.request for job in jobs for work in job)
        if self.budget.limit is None and (one := next((r for r in requests if self.backend.price(r) is None), None)):
            self.on_event(ProgressEvent(None, "note", {"text": describe_unlimited(one)}))

    def _try(self, job: Sequence[StaleOutput], step: Callable[[], _Answer]) -> _Answer | None:
        """Run a step for a whole job and return its result. If it fails or is stopped, report each image; None."""
        try:
            if not self.stop.is_set():
                return step()
        except (StoppedWaiting, Cancelled):
            pass
        except Exception as error:  # a backend of somebody else's can fail in any way
            if not self.stop.is_set():  # on a terminal, Ctrl-C also reaches what a backend runs
                for work in job:
                    self.on_event(failure_outcome(work, error))
                return None
        self._cancel(job)
        return None

    def _cancel(self, works: Iterable[StaleOutput]) -> None:
        for work in works:
            self.on_event(work.outcome("cancelled"))

    def _ask(self, question: Callable[..., _Answer], *arguments: Any) -> _Answer:
        """Ask the backend before it generates anything, unless the user stops: a server may be silent."""
        return call_with_timeout(math.inf, lambda: question(*arguments), self.stop.is_set)

    def _decide(self, job: list[StaleOutput]) -> list[StaleOutput]:
        """Choose the model, if the job leaves it open, and the seeds that decide a prompt.

        So preflight sees the prompts that will be sent. With its model known, an image may be restored: it is left out.
        """
        if first := next(
            (one.output for one in job if one.output.has_open_model and not one.output.request.model), None
        ):
            record_model(self.project, first.job, self._choose_model(first))
            job = [replace(work, output=self.project.with_decisions(work.output)) for work in job]
            restorable = [work for work in job if work.output.fingerprint and not work.forced]
            restored = {outcome.output.task: outcome for work in restorable if (outcome := self._restore(work))}
            for outcome in restored.values():
                self.on_event(outcome)
            job = [work for work in job if work.output.task not in restored]
        return [
            replace(work, output=choose_seed(self.project, work.output))
            if work.output.template is not None and work.output.request.seed is None
            else work
            for work in job
        ]

    def _choose_model(self, output: Output) -> str:
        """Ask which model an output gets that names none. Raises GenerationError."""
        try:
            return self._ask(self.backend.choose_model, output.request)
        except GenerationError as error:
            if output.job != ONE_OFF:
                raise
            option = f"{self.backend.name}.{self.backend.model_option}"  # which that of the command sets
            raise GenerationError(error.problem.what, error.problem.hint.replace(option, "--model")) from None

    def _check(self, job: list[StaleOutput], check: Callable[[list[Request]], Sequence[Problem]]) -> bool:
        """Whether a check of the job's requests finds no problems. If it does, each image has its outcome."""
        problems = self._try(job, lambda: check([work.output.request for work in job]))
        if not problems:
            return problems is not None
        if self.stop.is_set():  # as above
            self._cancel(job)
            return False
        by_name: dict[str, list[Problem]] = defaultdict(list)
        for problem in problems:
            by_name[problem.where].append(problem)
        named = [work.output.task for work in job if work.output.request.name in by_name]
        for work in job:
            own = [*by_name[""], *(by_name[name] if (name := work.output.request.name) else ())]
            self.on_event(work.failed("preflight", *own) if own else work.failed("held_back", _held_up(named)))
        return False

    def _preflight(self, requests: list[Request]) -> list[Problem]:
        unpriced = check_prices(self.backend, requests, self.budget.limit)
        return [*unpriced, *self._ask(self.backend.preflight, requests)]

    def _prepare(self, job: list[StaleOutput]) -> bool:
        """Do what takes long, once for a job, and the checks that are only possible then. Whether it passed them."""
        progress = ImageProgress(math.inf, self.stop, on_event=self._reporter(None, job[0].output.job))
        return self._check(job, lambda requests: self.backend.prepare(requests, progress))

    def _generate_all(self, jobs: Sequence[list[StaleOutput]]) -> None:
        """Prepare the jobs side by side, and generate each one's images as soon as it is prepared."""
        most = max(1, self.backend.in_flight)
        waiting = ImageQueue(self.backend.batch_key)
        unprepared = {job[0].output.job: [work for work in job if work.output.task not in self._later] for job in jobs}
        busy: set[str] = set()  # keys of the images that are being generated or finished
        places = most
        with ThreadPoolExecutor(_PREPARING) as preparers, ThreadPoolExecutor(most + AT_A_TIME) as builders:
            for job in jobs:
                preparing = preparers.submit(self._prepare, job)
                self._put_when_done(preparing, _Prepared(job[0].output.job, preparing))
            while unprepared or waiting or busy or self._later:
                if self.stop.is_set():
                    self._cancel(waiting.clear())
                    self._later.clear()
                while places and len(busy) < most + AT_A_TIME and (following := self._next(waiting, busy)):
                    works, slot = following
                    places -= 1
                    busy.add(works[0].key)
                    building = builders.submit(self._build, works, Place(slot, self._on_left))
                    self._put_when_done(building, _Built(works[0].key, building))
                for message in self._wait(list(unprepared)):
                    if isinstance(message, _Left):
                        self._check_left(message)
                        places += 1
                    elif isinstance(message, _Built):
                        busy.remove(message.key)
                        waiting.add(message.future.result())
                    else:
                        self._update(message, unprepared, waiting)

    def _on_left(self, error: Exception | None) -> None:
        self._inbox.put(_Left(error))

    def _check_left(self, message: _Left) -> None:
        """Raise why a place could not be released, as then there may never be another one; and say it in any case."""
        if message.error:
            self.on_event(ProgressEvent(None, "note", {"text": str(message.error)}))
            raise message.error

    def _put_when_done(self, future: Future[Any], message: _Message) -> None:
        future.add_done_callback(lambda _: self._inbox.put(message))

    def _update(
        self, message: _Prepared | _Added | _Dropped, unprepared: dict[str, list[StaleOutput]], waiting: ImageQueue
    ) -> None:
        """Let works wait to be generated, or forget them, as the message says. unprepared: by job."""
        if isinstance(message, _Prepared):
            works = unprepared.pop(message.job)
            if message.future.result():
                waiting.add(works)
            else:
                self._later -= {task for task in self._later if task.partition(":")[0] == message.job}
        elif isinstance(message, _Dropped):
            self._later.discard(message.task)
        elif message.work.output.task in self._later:
            self._later.remove(message.work.output.task)
            if message.work.output.job in unprepared:
                unprepared[message.work.output.job].append(message.work)
            else:
                waiting.add([message.work])

    def _next(self, waiting: ImageQueue, busy: Collection[str]) -> tuple[list[StaleOutput], ServerSlot] | None:
        """Return the works of the next image, and room for it at a server; None if there is none."""
        counts = waiting.counts(busy)
        found = self.backend.pick_server(counts) if counts else None
        return found and (waiting.take(busy, found[0]), found[1])

    def _wait(self, jobs: Sequence[str]) -> list[_Message]:
        """Wait up to 0.5 s and return the messages: first those about prepared jobs, in the order of `jobs`."""
        messages: list[_Message] = []
        with contextlib.suppress(queue.Empty):
            messages.append(self._inbox.get(timeout=0.5))
            while True:
                messages.append(self._inbox.get_nowait())
        return sorted(messages, key=lambda one: jobs.index(one.job) if isinstance(one, _Prepared) else len(jobs))

    def _build(self, works: Sequence[StaleOutput], place: Place) -> Sequence[StaleOutput]:
        """Generate the image of outputs with one fingerprint, and restore it for all but the first.

        Returns:
            The works, if another server is to generate the image: they wait again.
        """
        first, *others = works
        try:
            # a job that was prepared earlier may have had the same image
            outcome = (first.key in self._tried and self._restore(first)) or self._generate(first, place)
        except TryAnotherServer:  # with the seed that was chosen meanwhile
            return [replace(work, output=self.project.with_decisions(work.output)) for work in works]
        finally:
            place.leave()
        self._tried.add(first.key)
        self.on_event(outcome)
        for work in others:
            # if it failed, that may be because of its own file only
            again = self._restore(work) if outcome.state != "cancelled" else None
            self.on_event(again or work.outcome(outcome.state, problem=outcome.problem))
        return ()

    def _restore(self, work: StaleOutput) -> Outcome | None:
        return restore_image(self.project, self.images, work)

    def _generate(self, work: StaleOutput, place: Place) -> Outcome:
        payment = FREE
        try:
            if self._not_stored:
                raise self._not_stored
            if lost := self._lost.get(work.key):
                return _with_loss(work.failed("failed", lost))
            payment = self._reserve(work)
            if work.output.request.seed is None:
                work = replace(work, output=choose_seed(self.project, work.output))
            output = work.output
            attempt = ImageAttempt(self.project, output, forced=work.forced)
            self._note_lost_before(work, attempt, payment)
            self.on_event(Started(output))
            files = self.project.reference_files(output)
            progress = ImageProgress(output.timeout_s, self.cancel, attempt, self._reporter(output), files)
            image = Generation(self.project, self.backend, work, attempt, progress, self.room, self.shared, payment)
            made = image.generate(place.slot)
            if isinstance(made, Outcome):
                outcome = made
            else:
                self.on_event(Arrived(output))
                outcome = image.finish(made, place.leave)
            if payment.state == "lost":
                if outcome.problem:
                    self._lost[work.key] = outcome.problem
                outcome = _with_loss(outcome)
            return replace(outcome, price=payment.charged)
        except TryAnotherServer:
            raise
        except BaseException as error:  # nothing that one image does may cost the others
            outcome = failure_outcome(work, error)
            if isinstance(error, NotStoredError):
                self._not_stored = NotStoredError(error.cause)
                if outcome.problem:
                    self.budget.close(outcome.problem)
            return replace(outcome, price=payment.charged)
        finally:
            payment.release()

    def _reserve(self, work: StaleOutput) -> Payment:
        """Reserve the image's price. Raises NotPaidForError if it must not be paid, or was and is kept as a file."""
        output = work.output
        price = self.backend.price(output.request)
        if price != 0 and not work.forced and (path := find_paid_image(self.project, output)):
            problem = unpaid_problem(output, path)
            raise NotPaidForError(problem, "paid")
        return self.budget.reserve(output.task, price)

    def _note_lost_before(self, work: StaleOutput, attempt: ImageAttempt, payment: Payment) -> None:
        """Say if an earlier run ended between the request of an image that costs something and its arrival."""
        if payment.is_due and work.key not in self._begun and attempt.is_open():
            self.budget.note_lost_before()
            self._reporter(work.output)("note", {"text": LOST_BEFORE})
        self._begun.add(work.key)

    def _reporter(self, output: Output | None, job: str = "") -> Callable[[str, dict[str, Any]], None]:
        return lambda name, facts: self.on_event(ProgressEvent(output, name, facts, job))


_LOST = "may have been paid for, though it never arrived"


def _with_loss(outcome: Outcome) -> Outcome:
    """Add that the image may have been paid for to an outcome without an image."""
    if outcome.problem is None:
        return replace(outcome, note=_LOST)
    what = f"{outcome.problem.what}; it may have been paid for, and the next run requests it again"
    return replace(outcome, problem=replace(outcome.problem, what=what))


def _held_up(tasks: Collection[str]) -> Problem:
    """Return the problem of a job's other images: none is queued if any of them, such as these, has a problem."""
    return Problem("", f"not started, because preflight found problems with {list_first(tasks, _NAMED)}", "")
