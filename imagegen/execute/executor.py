"""An executor: works through one backend's stale images, in its own order and number."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from imagegen.backends.base import Backend
from imagegen.errors import Problem
from imagegen.execute.imaging import draw_seed, failed, generate, restore
from imagegen.execute.outcome import Event, Outcome, Started
from imagegen.execute.sources import Sources
from imagegen.plan.freshness import Verdict
from imagegen.plan.output import Output
from imagegen.project import Project

__all__ = ["Executor", "Work"]


@dataclass(frozen=True)
class Work:
    """A stale output, why it is so, and whether it must be generated though it could be restored."""

    output: Output
    verdict: Verdict
    forced: bool = False


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

    def run(self, works: Sequence[Work]) -> None:
        """Preflight of each job's images, then the images of those jobs that passed; images of one model together."""
        passed: list[Work] = []
        by_job: dict[str, list[Work]] = defaultdict(list)
        for work in works:
            by_job[work.output.job].append(work)
        for job in by_job.values():
            passed += self._preflight(job)
        first_seen = {model: rank for rank, model in reversed(list(enumerate(w.output.request.model for w in passed)))}
        passed.sort(key=lambda work: first_seen[work.output.request.model])
        self._generate(passed)

    def _preflight(self, job: list[Work]) -> list[Work]:
        try:
            problems = list(self.backend.preflight([work.output.request for work in job]))
        except Exception as error:  # a backend of somebody else's can fail in any way
            for work in job:
                self.tell(failed(work.output, work.verdict, error))
            return []
        if not problems:
            return job
        for work in job:
            name = work.output.request.name
            own = [problem for problem in problems if problem.where in ("", name)]
            problem = own[0] if own else _held_up(problems)
            self.tell(Outcome(work.output, "failed", work.verdict.reasons, problem=problem))
        return []

    def _generate(self, works: Sequence[Work]) -> None:
        waiting = _by_fingerprint(works)[::-1]
        running: set[Future[None]] = set()
        with ThreadPoolExecutor(max(1, self.backend.in_flight)) as pool:
            while waiting or running:
                while waiting and len(running) < max(1, self.backend.in_flight) and not self.stop.is_set():
                    running.add(pool.submit(self._same, waiting.pop()))
                if self.stop.is_set():
                    for same in waiting:
                        self._cancelled(same)
                    waiting.clear()
                if running:
                    done, running = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()

    def _same(self, same: Sequence[Work]) -> None:
        """Images of one fingerprint: the first is generated, the others are that one again."""
        first, *others = same
        outcome = self._one(first)
        self.tell(outcome)
        for work in others:
            again = None
            if outcome.state != "cancelled":  # a failed one may have failed in its own place only
                again = restore(self.project, self.sources, work.output, work.verdict)
            self.tell(again or Outcome(work.output, outcome.state, work.verdict.reasons, problem=outcome.problem))

    def _one(self, work: Work) -> Outcome:
        output = work.output
        try:
            if not output.fingerprint:
                output = draw_seed(self.project, output)
        except OSError as error:
            return failed(output, work.verdict, error)
        self.tell(Started(output))
        return generate(self.project, self.backend, output, work.verdict, self.cancel)

    def _cancelled(self, same: Sequence[Work]) -> None:
        for work in same:
            self.tell(Outcome(work.output, "cancelled", work.verdict.reasons))


def _by_fingerprint(works: Sequence[Work]) -> list[list[Work]]:
    same: dict[str, list[Work]] = defaultdict(list)
    for work in works:
        same[work.output.fingerprint or work.output.task].append(work)
    return list(same.values())


def _held_up(problems: Sequence[Problem]) -> Problem:
    """For images that have no problem of their own: nothing of a job is queued where any of it has one."""
    others = ", ".join(dict.fromkeys(problem.where for problem in problems))
    return Problem("", f"not started, because preflight found problems with {others}", "")
