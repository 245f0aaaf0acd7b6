"""An executor: works through one backend's stale images, in its own order and number."""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any

from imagegen.backends.base import Backend, Cancelled, Prepared
from imagegen.errors import Problem
from imagegen.execute.imaging import decide_model, draw_seed, failed, generate, restore
from imagegen.execute.outcome import Event, Happened, Outcome, Started
from imagegen.execute.progress import ImageProgress
from imagegen.execute.sources import Sources
from imagegen.execute.waiting import Waiting, Work
from imagegen.plan.output import Output
from imagegen.project import Project

__all__ = ["Executor"]


@dataclass
class Executor:
    """Runs in a thread of its own. tell: called with each event, from any thread.

    stop: start nothing more. cancel: give up what is running too.
    """

    project: Project
    backend: Backend
    sources: Sources
    tell: Callable[[Event], None]
    stop: threading.Event
    cancel: threading.Event
    _tried: set[str] = field(default_factory=set)

    def run(self, works: Sequence[Work]) -> None:
        """Preflight of each job's images, then the images of those jobs that passed; images of one model together."""
        by_job: dict[str, list[Work]] = defaultdict(list)
        for work in works:
            by_job[work.output.job].append(work)
        jobs = [passed for job in by_job.values() if (passed := self._preflight(self._with_model(job)))]
        try:
            if jobs:
                self._make(jobs)
        finally:
            if isinstance(self.backend, Prepared):
                self._close(self.backend)

    def _close(self, backend: Prepared) -> None:
        """What goes wrong then, fails no image any more."""
        try:
            backend.close()
        except Exception as error:
            self.tell(Happened(None, "note", {"text": str(error)}))

    def _with_model(self, job: list[Work]) -> list[Work]:
        """The images with the model decided that their job leaves open; without those that can now be restored."""
        if not isinstance(self.backend, Prepared) or not any(_is_open(work) for work in job):
            return job
        try:
            first = next(work for work in job if _is_open(work))
            decide_model(self.project, first.output.job, self.backend.only_model(first.output.request))
        except Exception as error:
            self._all_failed(job, error)
            return []
        settled = []
        for work in job:
            work = replace(work, output=self.project.decided(work.output))
            again = None
            if work.output.fingerprint and not work.forced:
                again = restore(self.project, self.sources, work.output, work.verdict)
            if again:
                self.tell(again)
            else:
                settled.append(work)
        return settled

    def _prepare(self, job: list[Work]) -> list[Work]:
        """Once for each job that passed its preflight: what takes long, and the checks that only then can be made."""
        if not isinstance(self.backend, Prepared):
            return job
        try:
            progress = ImageProgress(math.inf, self.stop, tell=self._happened(None))
            problems = self.backend.prepare([work.output.request for work in job], progress)
        except Cancelled:
            self._cancelled(job)
            return []
        except Exception as error:
            self._all_failed(job, error)
            return []
        return self._passed(job, problems)

    def _preflight(self, job: list[Work]) -> list[Work]:
        if self.stop.is_set():
            self._cancelled(job)
            return []
        if not job:
            return []
        try:
            problems = list(self.backend.preflight([work.output.request for work in job]))
        except Exception as error:  # a backend of somebody else's can fail in any way
            self._all_failed(job, error)
            return []
        return self._passed(job, problems)

    def _all_failed(self, job: Sequence[Work], error: Exception) -> None:
        if self.stop.is_set():  # Ctrl-C reaches on a terminal what a backend asks, too
            self._cancelled(job)
            return
        for work in job:
            self.tell(failed(work.output, work.verdict, error))

    def _passed(self, job: list[Work], problems: Sequence[Problem]) -> list[Work]:
        """All of the job's images, or none."""
        if not problems:
            return job
        if self.stop.is_set():  # as above
            self._cancelled(job)
            return []
        for work in job:
            name = work.output.request.name
            own = [problem for problem in problems if problem.where in ("", name)]
            first, *also = own or [_held_up(problems)]
            self.tell(Outcome(work.output, "failed", work.verdict.reasons, problem=first, also=tuple(also)))
        return []

    def _make(self, jobs: Sequence[list[Work]]) -> None:
        """Prepare the jobs side by side, and generate each one's images as soon as it is prepared."""
        most = max(1, self.backend.in_flight)
        waiting = Waiting()
        preparing: dict[Future[list[Work]], None] = {}
        running: dict[Future[None], str] = {}
        with ThreadPoolExecutor(len(jobs)) as preparers, ThreadPoolExecutor(most) as generators:
            if isinstance(self.backend, Prepared):
                preparing = dict.fromkeys(preparers.submit(self._prepare, job) for job in jobs)
            else:
                for job in jobs:
                    waiting.add(job)
            while preparing or waiting or running:
                if self.stop.is_set():
                    self._cancelled(waiting.clear())
                while len(running) < most and (same := waiting.take(running.values())):
                    running[generators.submit(self._same, same)] = same[0].key
                at_work: list[Future[Any]] = [*preparing, *running]
                done, _ = wait(at_work, timeout=0.5, return_when=FIRST_COMPLETED)
                for prepared in [job for job in preparing if job in done]:  # in the order of the jobs
                    del preparing[prepared]
                    waiting.add(prepared.result())
                for generated in done & running.keys():
                    del running[generated]
                    generated.result()

    def _same(self, same: Sequence[Work]) -> None:
        """Images of one fingerprint: the first is generated, the others are that one again."""
        first, *others = same
        # of a job that was prepared later than another with the same image
        outcome = (first.key in self._tried and self._again(first)) or self._one(first)
        self._tried.add(first.key)
        self.tell(outcome)
        for work in others:
            # a failed one may have failed in its own place only
            again = self._again(work) if outcome.state != "cancelled" else None
            self.tell(again or Outcome(work.output, outcome.state, work.verdict.reasons, problem=outcome.problem))

    def _again(self, work: Work) -> Outcome | None:
        return restore(self.project, self.sources, work.output, work.verdict)

    def _one(self, work: Work) -> Outcome:
        output = work.output
        try:
            if not output.fingerprint:
                output = draw_seed(self.project, output)
        except OSError as error:
            return failed(output, work.verdict, error)
        self.tell(Started(output))
        tell = self._happened(output)
        return generate(self.project, self.backend, output, work.verdict, self.cancel, tell, forced=work.forced)

    def _happened(self, output: Output | None) -> Callable[[str, dict[str, Any]], None]:
        return lambda name, facts: self.tell(Happened(output, name, facts))

    def _cancelled(self, same: Sequence[Work]) -> None:
        for work in same:
            self.tell(Outcome(work.output, "cancelled", work.verdict.reasons))


def _is_open(work: Work) -> bool:
    return work.output.decides_model and not work.output.request.model


def _held_up(problems: Sequence[Problem]) -> Problem:
    """For images that have no problem of their own: nothing of a job is queued where any of it has one."""
    others = ", ".join(dict.fromkeys(problem.where for problem in problems))
    return Problem("", f"not started, because preflight found problems with {others}", "")
