"""The workers of a run: which of them can draw which images, and what is to be told of the others."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from imagegen.backends.base import Cancelled, Progress
from imagegen.backends.cluster import worker
from imagegen.backends.cluster.carried import Carried
from imagegen.backends.cluster.link import Link
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = ["Crew", "bare", "hand_on"]

_Key = tuple[str, str]
"""What decides whether a worker can draw an image: its item's name, and its model."""
_LOOK_S = 2.0
"""Seconds between two looks at which workers there are."""


class Crew:
    """For all threads of a run. prepares: whether the workers' backends take steps before their first image."""

    def __init__(self, link: Link, run: worker.Run, *, prepares: bool) -> None:
        self._link, self._run, self._prepares = link, run, prepares
        self._jobs: list[Sequence[Request]] = []
        """Of which a worker that comes later is asked, too."""
        self._able: dict[_Key, set[str]] = defaultdict(set)
        self._unfit: set[str] = set()
        self._notes: dict[str, None] = {}
        """What is to be told, each once; told: how many of these were."""
        self._told = 0
        self._mutex = threading.Lock()
        self._over = threading.Event()
        self._watching: threading.Thread | None = None

    def preflight(self, requests: Sequence[Request]) -> dict[str, Sequence[Problem]]:
        """What each worker has against a job's requests, by its name; those that come later are asked too."""
        self._jobs.append(requests)
        return self._ask(self._link.members, requests)

    def is_able(self, request: Request) -> bool:
        """Whether any worker that was asked can draw it."""
        return bool(self._able[_key(request)])

    def workers(self, request: Request) -> set[str]:
        """Those that can draw it now."""
        return (self._able[_key(request)] & self._link.members.keys()) - self._unfit

    def prepare(self, requests: Sequence[Request], progress: Progress) -> list[Problem]:
        """The backend's own steps, at each that can draw some of them. What those found that cannot."""
        for one, why in self._link.refused.items():
            self._note(f"the worker {self._link.name(one)} gets no images: {why}")
        self.tell(progress)
        if not self._prepares:
            return []
        workers = set().union(*(self._able[_key(request)] for request in requests)) & self._link.members.keys()
        problems = self._prepare(workers, requests, progress)
        self.tell(progress)
        return problems

    def pass_over(self, unfit: str, why: str, progress: Progress) -> None:
        """The worker gets no more images, which is told."""
        self._unfit.add(unfit)
        self._note(f"the worker {self._link.name(unfit)} gets no more images: {why}")
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

    def nobody(self) -> tuple[str, str]:
        """That no worker can draw, and what to do."""
        address = self._link.address
        whys = [*dict.fromkeys(self._link.refused.values())]
        what = f"no worker of the Dask cluster at {address} can draw it"
        mend = f"see the workers' logs, or start one where the backend is: dask worker {address}"
        return (f"{what}: {'; '.join(whys)}", "give them the same versions") if whys else (what, mend)

    def _ask(self, workers: Collection[str], requests: Sequence[Request]) -> dict[str, Sequence[Problem]]:
        """Note which of the workers can draw which of the requests; what each has against them, by its name."""
        if not workers:
            return {}
        if self._link.needs:
            workers = [one for one in workers if self._link.members[one].gpus >= 1]
        carried = [bare(request) for request in requests]
        found = self._link.run(worker.preflight, self._run, carried, workers=workers, check=_nothing)
        said: dict[str, Sequence[Problem]] = {}
        for one, problems in found.items():
            if isinstance(problems, BaseException):
                problems = [Problem("", f"its preflight failed: {type(problems).__name__}: {problems}")]
            said[self._link.name(one)] = problems
            against = {problem.where for problem in problems}
            for request in requests:
                able = self._able[_key(request)]
                able.discard(one) if against & {"", request.name} else able.add(one)
            if problems:
                named = "the images of a job" if "" in against else "all images of a job"
                self._note(f"the worker {self._link.name(one)} cannot draw {named}: {problems[0].what}")
        return said

    def _prepare(self, workers: set[str], requests: Sequence[Request], progress: Progress) -> list[Problem]:
        """Have the workers prepare; those that cannot are able no more. What they found."""
        to = uuid.uuid4().hex
        heard = self._link.listen(to)

        def check() -> None:
            hand_on(heard, progress)
            progress.check()

        try:
            carried = [bare(request) for request in requests]
            found = self._link.run(worker.prepare, self._run, carried, to, workers=workers, check=check)
        except Cancelled:
            self._link.tell(worker.cancel, self._run, to, workers=workers)
            raise
        finally:
            hand_on(heard, progress)
            self._link.forget(to)
        said = []
        for one, problems in found.items():
            if isinstance(problems, BaseException):
                problems = [Problem("", f"{type(problems).__name__}: {problems}")]
            for request in requests if problems else ():
                self._able[_key(request)].discard(one)
            for problem in problems:
                said.append(Problem("", f"{problem.what} (at the worker {self._link.name(one)})", problem.mend))
                self._note(f"the worker {self._link.name(one)} gets no images of this job: {problem.what}")
        return said

    def _note(self, text: str) -> None:
        """A line to be told, if it was not yet."""
        with self._mutex:
            self._notes.setdefault(text)

    def _watch(self) -> None:
        """Workers that come later draw too, once they passed the preflights and are prepared."""
        aside = _Aside(self._over, self._note)
        while not self._over.wait(_LOOK_S) and not self._link.is_lost:
            if not (new := set(self._link.look())):
                continue
            self._unfit |= new  # until it is prepared
            with contextlib.suppress(Exception):  # such a worker gets no images
                for job in self._jobs:
                    self._ask(new, job)
                    if self._prepares:
                        self._prepare(new, job, aside)
                self._unfit -= new


def _key(request: Request) -> _Key:
    return request.name, request.model


def bare(request: Request) -> Carried:
    """The request without its files, which only drawing needs."""
    return Carried(request)


def hand_on(heard: queue.SimpleQueue[Mapping[str, Any]], progress: Progress) -> bool:
    """Tell what workers told; whether one of them began to draw."""
    began = False
    while True:
        try:
            message = heard.get_nowait()
        except queue.Empty:
            return began
        if message["name"] == "restarted":
            began = True
            progress.restart()
        else:
            progress.event(str(message["name"]), **message["facts"])


def _nothing() -> None:
    pass


class _Aside:
    """What a worker's preparation reports to, beside the images: its notes are told with the next of them."""

    timeout_s = math.inf
    attempt = begun_at = ""

    def __init__(self, over: threading.Event, note: Callable[[str], None]) -> None:
        self._over, self._note = over, note

    def attempt_at(self, place: str) -> str:  # noqa: ARG002 - the protocol has it
        return self.attempt

    def event(self, name: str, **facts: Any) -> None:
        if name == "note":
            self._note(str(facts["text"]))

    def restart(self) -> None:
        pass

    def check(self) -> None:
        if self._over.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> None:
        self._over.wait(seconds)
        self.check()
