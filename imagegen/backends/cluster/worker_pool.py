"""The workers of a run: which of them can draw which images, and what is to be told of the others."""

from __future__ import annotations

import contextlib
import math
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from imagegen import DISTRIBUTION, __version__
from imagegen.backends.base import Cancelled, MayBeRunningError, Progress
from imagegen.backends.cluster import worker
from imagegen.backends.cluster.connection import ANSWER_S, LOOK_S, ClusterConnection, SilentError, forward_events
from imagegen.backends.cluster.worker import RequestBundle
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = [
    "WorkerPool",
    "pack_without_files",
]


_Key = tuple[str, str]
"""What decides whether a worker can draw an image: its item's name, and its model."""
_PREFLIGHT_S = 60.0
"""Seconds that a worker has for what its backend looks up before the first image."""
_LOST_S = 30.0
"""Seconds that images wait for a worker that can draw them to come (back): Dask's nanny starts a dead one anew."""


class WorkerPool:
    """For all threads of a run. prepares: whether the workers' backends take steps before their first image.

    members: those that can draw, by what is installed there. refused: why others get no image; silent: why yet others
    get none for now. All by their address.
    """

    def __init__(self, connection: ClusterConnection, run: worker.Run) -> None:
        self._link, self._run = connection, run
        self.members: Mapping[str, worker.WorkerInfo] = {}
        self.refused: dict[str, str] = {}
        self.silent: dict[str, str] = {}
        self._jobs: list[Sequence[Request]] = []
        """Of which a worker that comes later is asked, too."""
        self._able: dict[_Key, set[str]] = defaultdict(set)
        self._unfit: set[str] = set()
        self._coming: set[str] = set()
        self._alone_since: dict[frozenset[str], float] = {}
        """By the workers that could draw some images: since when none of these is there any more."""
        self._notes: dict[str, None] = {}
        """What is to be told, each once; told: how many of these were."""
        self._told = 0
        self._mutex = threading.Lock()
        self._over = threading.Event()
        self._watching: threading.Thread | None = None
        self._meet(connection.there)

    @property
    def needs(self) -> dict[str, float]:
        """What an image asks for of a worker's resources: a GPU, where any of the cluster has that."""
        return {"GPU": 1} if any(member.gpus for member in self.members.values()) else {}

    def count_slots(self, each: int) -> int:
        """How many images the workers draw at a time. each: how many one worker does, at most."""
        gpus = bool(self.needs)
        of = (min(each, one.threads, int(one.gpus) if gpus else each) for one in self.members.values())
        return max(1, sum(of))

    def name(self, address: str) -> str:
        """Of a worker, for a person."""
        member = self.members.get(address)
        return member.name if member else address.partition("://")[2]

    def find_addresses(self, name: str) -> set[str]:
        """The addresses of those of this name, which a worker has over its restarts if it was given one."""
        return {address for address, member in self.members.items() if member.name == name}

    def ask(self, function: Callable[..., Any], *arguments: Any, workers: Collection[str]) -> dict[str, Any]:
        """What the function returns or raises at each of the workers. Those that do not answer draw nothing for now."""
        there = self._link.there & set(workers)
        found = self._link.ask(function, self._run, *arguments, workers=there, seconds=_PREFLIGHT_S)
        for one, answer in found.items():
            if isinstance(answer, SilentError):
                self._leave_out(one, str(answer))
        return found

    def preflight(self, requests: Sequence[Request]) -> dict[str, Sequence[Problem]]:
        """What each worker has against a job's requests, by its name; those that come later are asked too."""
        self._jobs.append(requests)
        return self._preflight(self._link.there, requests)

    def can_generate(self, request: Request) -> bool:
        """Whether any worker that was asked can draw it."""
        return bool(self._able[_key(request)])

    def workers(self, request: Request) -> set[str]:
        """Those that can draw it now."""
        return (self._able[_key(request)] & self.members.keys() & self._link.there) - self._unfit

    def wait_for_workers(self, request: Request, progress: Progress) -> set[str]:
        """The same, waited for where there are none. Raises GenerationError: for all that wait for the same at once."""
        while not (workers := self.workers(request)):
            if self._link.is_lost:
                raise self._link.lost_error()
            since_s = self._alone_since.setdefault(frozenset(self._able[_key(request)]), time.monotonic())
            if time.monotonic() - since_s > _LOST_S:
                raise MayBeRunningError(*self.explain_no_worker())
            progress.event("waiting", text="no worker that can draw it")
            progress.restart_clock()
            progress.wait(0.5)
        self._alone_since.pop(frozenset(self._able[_key(request)]), None)
        return workers

    def prepare(self, requests: Sequence[Request], progress: Progress) -> list[Problem]:
        """The backend's own steps, at each that can draw some of them. What those found that cannot."""
        self.tell(progress)
        workers = set().union(*map(self.workers, requests))
        problems = self._prepare(workers, requests, progress)
        self.tell(progress)
        return problems

    def exclude_worker(self, unfit: str, why: str, progress: Progress) -> None:
        """The worker gets no more images, which is told."""
        self._unfit.add(unfit)
        self._note(f"the worker {self.name(unfit)} gets no more images: {why}")
        self.tell(progress)

    def tell(self, progress: Progress) -> None:
        """Tell what has been noted since."""
        with self._mutex:
            texts = list(self._notes)[self._told :]
            self._told = len(self._notes)
        for text in texts:
            progress.event("note", text=text)

    def watch(self) -> None:
        """From now on workers that come later draw too."""
        with self._mutex:
            if self._watching is None:
                self._watching = threading.Thread(target=self._watch, name="imagegen-workers", daemon=True)
                self._watching.start()

    def close(self) -> None:
        """The run is over."""
        self._over.set()

    def explain_no_worker(self) -> tuple[str, str]:
        """That no worker can draw, and what to do."""
        address = self._link.address
        what = f"no worker of the Dask cluster at {address} can draw it"
        hint = f"see the workers' logs, or start one where the backend is: dask worker {address}"
        if whys := [*dict.fromkeys([*self.refused.values(), *self.silent.values()])]:
            what += f": {'; '.join(whys)}"
        return what, "give them the same versions" if self.refused else hint

    def _meet(self, workers: Collection[str]) -> None:
        """Get to know these workers."""
        from distributed.versions import get_versions

        found = self._link.ask(get_versions, [DISTRIBUTION], workers=workers, seconds=ANSWER_S)
        own = get_versions([DISTRIBUTION])["packages"]
        whys = {one: _differs(own, theirs["packages"]) for one, theirs in found.items() if isinstance(theirs, dict)}
        same = [one for one, why in whys.items() if not why]
        found |= self._link.ask(worker.describe_worker, workers=same, seconds=ANSWER_S)
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
        """It is asked again as long as it is there."""
        self._note(f"the worker {self.name(one)} gets no images for now: {why}")
        with self._mutex:
            self.silent[one] = why
            self.members = {other: member for other, member in self.members.items() if other != one}

    def _preflight(self, workers: Collection[str], requests: Sequence[Request]) -> dict[str, Sequence[Problem]]:
        """Note which of the workers can draw which of the requests; what each has against them, by its name."""
        needs = bool(self.needs)
        names = {one: member.name for one, member in self.members.items() if not needs or member.gpus >= 1}
        found = self.ask(
            worker.preflight, [pack_without_files(request) for request in requests], workers=names.keys() & workers
        )
        said: dict[str, Sequence[Problem]] = {}
        for one, problems in found.items():
            if isinstance(problems, SilentError):
                said[names[one]] = [Problem("", str(problems))]
                continue
            if isinstance(problems, BaseException):
                problems = [Problem("", f"its preflight failed: {type(problems).__name__}: {problems}")]
            said[names[one]] = problems
            against = {problem.where for problem in problems}
            for request in requests:
                able = self._able[_key(request)]
                able.discard(one) if against & {"", request.name} else able.add(one)
            if problems:
                which = "the images of a job" if "" in against else "all images of a job"
                self._note(f"the worker {names[one]} cannot draw {which}: {problems[0].what}")
        return said

    def _prepare(self, workers: set[str], requests: Sequence[Request], progress: Progress) -> list[Problem]:
        """Have the workers prepare; those that cannot are able no more. What they found."""
        to = uuid.uuid4().hex
        events = self._link.listen(to)

        def check() -> None:
            forward_events(events, progress)
            progress.check()

        try:
            bundle = [pack_without_files(request) for request in requests]
            found = self._link.ask(worker.prepare, self._run, bundle, to, workers=workers, check=check)
        finally:
            forward_events(events, progress)
            self._link.stop_listening(to)
        said = []
        for one, problems in found.items():
            if isinstance(problems, BaseException):
                problems = [Problem("", f"{type(problems).__name__}: {problems}")]
            for request in requests if problems else ():
                self._able[_key(request)].discard(one)
            for problem in problems:
                said.append(Problem("", f"{problem.what} (at the worker {self.name(one)})", problem.hint))
                self._note(f"the worker {self.name(one)} gets no images of this job: {problem.what}")
        return said

    def _note(self, text: str) -> None:
        """A line to be told, if it was not yet."""
        with self._mutex:
            self._notes.setdefault(text)

    def _watch(self) -> None:
        """Who left is forgotten; who came, or was silent, is asked in a thread of its own: it may take its time."""
        while not self._over.wait(LOOK_S) and not self._link.is_lost:
            there = self._link.there
            with self._mutex:
                self.members = {one: member for one, member in self.members.items() if one in there}
                for left in (self.refused.keys() | self.silent.keys()) - there:
                    self.refused.pop(left, None)
                    self.silent.pop(left, None)
            for one in there - self.members.keys() - self.refused.keys() - self._coming:
                self._coming.add(one)
                threading.Thread(target=self._welcome, args=[one], name="imagegen-worker", daemon=True).start()

    def _welcome(self, one: str) -> None:
        """It draws too, once it passed the preflights and is prepared."""
        self._unfit.add(one)
        with contextlib.suppress(Exception):  # such a worker gets no images
            self._meet([one])
            for job in self._jobs:
                self._preflight([one], job)
                if one in self.members:
                    self._prepare({one}, job, BackgroundProgress(self._over, self._note))
            if one in self.members:
                self._unfit.discard(one)
        self._coming.discard(one)


class BackgroundProgress:
    """What a worker's preparation reports to, beside the images: its notes are told with the next of them."""

    timeout_s = math.inf
    last_server = ""

    def __init__(self, over: threading.Event, note: Callable[[str], None]) -> None:
        self._over, self._note = over, note

    def begin_attempt(self, server: str = "") -> str:  # noqa: ARG002 - the protocol has it
        """Return nothing: there is no image to attempt."""
        return ""

    def event(self, name: str, **facts: Any) -> None:
        """Only notes are told."""
        if name == "note":
            self._note(str(facts["text"]))

    def restart_clock(self) -> None:
        """It has no time-out."""

    def check(self) -> None:
        """Raise Cancelled where the run is over."""
        if self._over.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> None:
        """Sleep that long, raising as `check` does."""
        self._over.wait(seconds)
        self.check()


def _key(request: Request) -> _Key:
    return request.name, request.model


def pack_without_files(request: Request) -> RequestBundle:
    """The request without its files, which only drawing needs."""
    return RequestBundle(request)


def _differs(own: Mapping[str, str], theirs: Mapping[str, str | None]) -> str:
    """What keeps a worker from reading what is sent, or from drawing what would be drawn here; empty for nothing."""
    if theirs.get(DISTRIBUTION) is None:
        return f"imagegen is not installed there; here it is {__version__}"
    if theirs[DISTRIBUTION] != own[DISTRIBUTION]:
        return f"it has imagegen {theirs[DISTRIBUTION]}; here it is {own[DISTRIBUTION]}"
    here, there = (".".join(str(one["python"]).split(".")[:2]) for one in (own, theirs))
    return f"it has Python {there}; here it is {here}" if here != there else ""
