"""The workers of a run: which of them can generate which images, and what to report of the others."""

from __future__ import annotations

import contextlib
import math
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from imagegen import DISTRIBUTION, __version__
from imagegen.backends.base import Cancelled, MayBeRunningError, Progress, find_reference
from imagegen.backends.cluster import worker
from imagegen.backends.cluster.connection import ANSWER_S, LOOK_S, ClusterConnection, SilentError, forward_events
from imagegen.backends.cluster.worker import RequestBundle
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = ["WorkerPool"]

_Key = tuple[str, str]
"""What decides whether a worker can generate an image: its item's name, and its model."""
_PREFLIGHT_S = 60.0
"""Seconds that a worker has for what its backend looks up before the first image."""
_LOST_S = 30.0
"""Seconds that images wait for a worker that can generate them to come (back): Dask's nanny restarts a dead one."""


class WorkerPool:
    """The workers that generate a run's images, by address. Safe to share among threads."""

    def __init__(self, connection: ClusterConnection, run: worker.Run) -> None:
        self._connection, self._run = connection, run
        self.members: Mapping[str, worker.WorkerInfo] = {}
        """The workers that can generate, each with what is installed there."""
        self.refused: dict[str, str] = {}
        """Workers that get no image, each with the reason."""
        self.silent: dict[str, str] = {}
        """Workers that get no image for now, each with the reason."""
        self._jobs: list[Sequence[Request]] = []
        """The requests of each job, for the preflight of workers that join later."""
        self._able: dict[_Key, set[str]] = defaultdict(set)
        self._unfit: set[str] = set()
        self._joining: set[str] = set()
        self._alone_since: dict[frozenset[str], float] = {}
        """Since when a set of workers, the only ones that could generate some images, is gone as a whole."""
        self._notes: dict[str, None] = {}
        """The notes to report, in order, each once."""
        self._reported = 0
        """How many of the notes have been reported."""
        self._mutex = threading.Lock()
        self._over = threading.Event()
        self._watcher: threading.Thread | None = None
        self._admit(connection.workers)

    @property
    def resources(self) -> dict[str, float]:
        """The resources that an image needs at a worker: a GPU, if any worker of the cluster has one."""
        return {"GPU": 1} if any(member.gpus for member in self.members.values()) else {}

    def count_slots(self, each: int) -> int:
        """Return how many images the workers generate at a time. each: how many one worker does, at most."""
        needs_gpu = bool(self.resources)
        slots = (min(each, one.threads, int(one.gpus) if needs_gpu else each) for one in self.members.values())
        return max(1, sum(slots))

    def name(self, address: str) -> str:
        """Return a worker's name, for a person."""
        member = self.members.get(address)
        return member.name if member else address.partition("://")[2]

    def find_addresses(self, name: str) -> set[str]:
        """Return the workers of this name, which a worker keeps over its restarts if it was given one."""
        return {address for address, member in self.members.items() if member.name == name}

    def call(self, function: Callable[..., Any], *arguments: Any, workers: Collection[str]) -> dict[str, Any]:
        """Return what the function returns or raises at each of the workers. The silent ones get no images for now."""
        present = self._connection.workers & set(workers)
        found = self._connection.call(function, self._run, *arguments, workers=present, seconds=_PREFLIGHT_S)
        for one, answer in found.items():
            if isinstance(answer, SilentError):
                self._leave_out(one, str(answer))
        return found

    def preflight(self, requests: Sequence[Request]) -> dict[str, Sequence[Problem]]:
        """Return the problems that each worker finds in a job's requests, by its name; later workers are asked too."""
        self._jobs.append(requests)
        return self._preflight(self._connection.workers, requests)

    def can_generate(self, request: Request) -> bool:
        """Return whether any worker that was asked can generate it."""
        return bool(self._able[_key(request)])

    def find_workers(self, request: Request) -> set[str]:
        """Return those that can generate it now."""
        return (self._able[_key(request)] & self.members.keys() & self._connection.workers) - self._unfit

    def wait_for_workers(self, request: Request, progress: Progress) -> set[str]:
        """Return those that can generate it, waiting for one if there is none.

        Raises:
            MayBeRunningError: none came; at the same time for all images that wait for the same workers.
        """
        while not (workers := self.find_workers(request)):
            if self._connection.is_lost:
                raise self._connection.lost_error()
            since_s = self._alone_since.setdefault(frozenset(self._able[_key(request)]), time.monotonic())
            if time.monotonic() - since_s > _LOST_S:
                raise MayBeRunningError(*self.explain_no_worker())
            progress.event("waiting", text="no worker that can generate it")
            progress.restart_clock()
            progress.wait(0.5)
        self._alone_since.pop(frozenset(self._able[_key(request)]), None)
        return workers

    def prepare(self, requests: Sequence[Request], progress: Progress) -> list[Problem]:
        """Have each worker prepare that can generate some of them. Return the problems of those that could not."""
        self.report(progress)
        workers = set().union(*map(self.find_workers, requests))
        problems = self._prepare(workers, requests, progress)
        self.report(progress)
        return problems

    def exclude_worker(self, unfit: str, why: str, progress: Progress) -> None:
        """Give the worker no more images, and report it."""
        self._unfit.add(unfit)
        self._note(f"the worker {self.name(unfit)} gets no more images: {why}")
        self.report(progress)

    def report(self, progress: Progress) -> None:
        """Report what has been noted since."""
        with self._mutex:
            texts = list(self._notes)[self._reported :]
            self._reported = len(self._notes)
        for text in texts:
            progress.event("note", text=text)

    def watch(self) -> None:
        """Let workers that join from now on also generate."""
        with self._mutex:
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="imagegen-workers", daemon=True)
                self._watcher.start()

    def close(self) -> None:
        """End the run."""
        self._over.set()

    def explain_no_worker(self) -> tuple[str, str]:
        """Return that no worker can generate, and what to do."""
        address = self._connection.address
        what = f"no worker of the Dask cluster at {address} can generate it"
        hint = f"see the workers' logs, or start one where the backend is: dask worker {address}"
        if whys := [*dict.fromkeys([*self.refused.values(), *self.silent.values()])]:
            what += f": {'; '.join(whys)}"
        return what, "give them the same versions" if self.refused else hint

    def _admit(self, workers: Collection[str]) -> None:
        """Make these workers members if they have the same versions, and answer."""
        from distributed.versions import get_versions

        found = self._connection.call(get_versions, [DISTRIBUTION], workers=workers, seconds=ANSWER_S)
        own = get_versions([DISTRIBUTION])["packages"]
        whys = {one: _compare(own, theirs["packages"]) for one, theirs in found.items() if isinstance(theirs, dict)}
        same = [one for one, why in whys.items() if not why]
        found |= self._connection.call(worker.describe_worker, workers=same, seconds=ANSWER_S)
        for one, answer in found.items():
            if isinstance(answer, worker.WorkerInfo):
                with self._mutex:
                    self.members = {**self.members, one: answer}
                    self.silent.pop(one, None)
            elif why := whys.get(one):
                self.refused[one] = why
                self._note(f"the worker {self.name(one)} gets no images: {why}")
            else:
                self._leave_out(one, str(answer) or type(answer).__name__)

    def _leave_out(self, one: str, why: str) -> None:
        """Give it no images for now; it is asked again as long as it is there."""
        self._note(f"the worker {self.name(one)} gets no images for now: {why}")
        with self._mutex:
            self.silent[one] = why
            self.members = {other: member for other, member in self.members.items() if other != one}

    def _preflight(self, workers: Collection[str], requests: Sequence[Request]) -> dict[str, Sequence[Problem]]:
        """Note which of the workers can generate which of the requests. Return their problems, by the worker's name."""
        needs_gpu = bool(self.resources)
        names = {one: member.name for one, member in self.members.items() if not needs_gpu or member.gpus >= 1}
        bundles = [RequestBundle(request) for request in requests]
        found = self.call(worker.preflight, bundles, workers=names.keys() & workers)
        by_name: dict[str, Sequence[Problem]] = {}
        for one, problems in found.items():
            if isinstance(problems, SilentError):
                by_name[names[one]] = [Problem("", str(problems))]
                continue
            if isinstance(problems, BaseException):
                problems = [Problem("", f"its preflight failed: {type(problems).__name__}: {problems}")]
            by_name[names[one]] = problems
            blamed = {problem.where for problem in problems}
            for request in requests:
                able = self._able[_key(request)]
                able.discard(one) if blamed & {"", request.name} else able.add(one)
            if problems:
                which = "the images of a job" if "" in blamed else "all images of a job"
                self._note(f"the worker {names[one]} cannot generate {which}: {problems[0].what}")
        return by_name

    def _prepare(self, workers: set[str], requests: Sequence[Request], progress: Progress) -> list[Problem]:
        """Have the workers prepare; those that cannot get none of these images. Return their problems."""
        to = uuid.uuid4().hex
        events = self._connection.listen(to)

        def check() -> None:
            forward_events(events, progress)
            progress.check()

        try:
            bundles = [RequestBundle(request) for request in requests]
            found = self._connection.call(worker.prepare, self._run, bundles, to, workers=workers, check=check)
        finally:
            forward_events(events, progress)
            self._connection.stop_listening(to)
        found_problems = []
        for one, problems in found.items():
            if isinstance(problems, BaseException):
                problems = [Problem("", f"{type(problems).__name__}: {problems}")]
            for request in requests if problems else ():
                self._able[_key(request)].discard(one)
            for problem in problems:
                found_problems.append(Problem("", f"{problem.what} (at the worker {self.name(one)})", problem.hint))
                self._note(f"the worker {self.name(one)} gets no images of this job: {problem.what}")
        return found_problems

    def _note(self, text: str) -> None:
        with self._mutex:
            self._notes.setdefault(text)

    def _watch(self) -> None:
        """Forget who left; ask who came, or was silent, in a thread of its own: it may take its time."""
        while not self._over.wait(LOOK_S) and not self._connection.is_lost:
            present = self._connection.workers
            with self._mutex:
                self.members = {one: member for one, member in self.members.items() if one in present}
                for left in (self.refused.keys() | self.silent.keys()) - present:
                    self.refused.pop(left, None)
                    self.silent.pop(left, None)
            for one in present - self.members.keys() - self.refused.keys() - self._joining:
                self._joining.add(one)
                threading.Thread(target=self._join, args=[one], name="imagegen-worker", daemon=True).start()

    def _join(self, one: str) -> None:
        """Let it generate too, once it has passed the preflights and is prepared."""
        self._unfit.add(one)
        with contextlib.suppress(Exception):  # such a worker gets no images
            self._admit([one])
            for job in self._jobs:
                self._preflight([one], job)
                if one in self.members:
                    self._prepare({one}, job, BackgroundProgress(self._over, self._note))
            if one in self.members:
                self._unfit.discard(one)
        self._joining.discard(one)


class BackgroundProgress:
    """What a late worker's preparation reports to, beside the images: its notes are reported with the next of them."""

    timeout_s = math.inf
    last_server = ""

    def __init__(self, over: threading.Event, note: Callable[[str], None]) -> None:
        self._over, self._note = over, note

    def begin_attempt(self, server: str = "") -> str:  # noqa: ARG002 - the protocol has it
        """Return nothing: there is no image to attempt."""
        return ""

    def file(self, sha256: str) -> Path:
        """Raise GenerationError: there is no image."""
        return find_reference({}, sha256)

    def event(self, name: str, **facts: Any) -> None:
        """Pass on notes, and nothing else."""
        if name == "note":
            self._note(str(facts["text"]))

    def restart_clock(self) -> None:
        """Do nothing: there is no time limit."""

    def check(self) -> None:
        """Raise Cancelled if the run is over."""
        if self._over.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> None:
        """Sleep that long, raising as `check` does."""
        self._over.wait(seconds)
        self.check()


def _key(request: Request) -> _Key:
    return request.name, request.model


def _compare(own: Mapping[str, str], theirs: Mapping[str, str | None]) -> str:
    """Return what keeps a worker from reading what it is sent, or from generating the same as here; empty for none."""
    if theirs.get(DISTRIBUTION) is None:
        return f"imagegen is not installed there; here it is {__version__}"
    if theirs[DISTRIBUTION] != own[DISTRIBUTION]:
        return f"it has imagegen {theirs[DISTRIBUTION]}; here it is {own[DISTRIBUTION]}"
    here, there = (".".join(str(one["python"]).split(".")[:2]) for one in (own, theirs))
    return f"it has Python {there}; here it is {here}" if here != there else ""
