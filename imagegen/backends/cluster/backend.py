"""What stands in a run for a backend whose images the workers of a Dask cluster draw."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from imagegen.backends.base import (
    Backend,
    Cancelled,
    Diagnosis,
    GeneratedImage,
    GenerationError,
    ModelIdentity,
    Prepared,
    Progress,
    UnsettledError,
)
from imagegen.backends.cluster import worker
from imagegen.backends.cluster.carried import Carried, carry
from imagegen.backends.cluster.link import Link, missing_package
from imagegen.errors import ImagegenError, Problem, printable
from imagegen.plan.request import Request

__all__ = ["ClusterBackend"]

_Key = tuple[str, str]
"""What decides whether a worker can draw an image: its item's name, and its model."""
_LOOK_S = 2.0
"""Seconds between two looks at which workers there are."""
_LOST_S = 30.0
"""Seconds that an image waits for a worker that can draw it to come (back): Dask's nanny starts a dead one anew."""


class ClusterBackend:
    """Stands for `local`, which plans and is never asked to draw. address: of Dask's scheduler."""

    def __init__(self, local: Backend, address: str) -> None:
        self.name, self.version, self.parameters = local.name, local.version, local.parameters
        self.options, self.is_generator = local.options, local.is_generator
        self.model_option, self.default_model = local.model_option, local.default_model
        self._local, self._address = local, address
        self._run = worker.Run(uuid.uuid4().hex, local.name)
        self._link: Link | None = None
        self._absent: ImagegenError | None = None
        self._opening = threading.Lock()
        self._jobs: list[Sequence[Request]] = []
        """Of which a worker that comes later is asked, too."""
        self._able: dict[_Key, set[str]] = defaultdict(set)
        self._unfit: set[str] = set()
        self._notes: dict[str, None] = {}
        """What is to be told, each once; told: how many of these were."""
        self._told = 0
        self._over = threading.Event()
        self._watching: threading.Thread | None = None

    @property
    def at_once(self) -> int:
        """How many are drawn at a time, by the workers there were at the beginning."""
        return self._link.slots(self._local.in_flight) if self._link else self._local.in_flight

    @property
    def in_flight(self) -> int:
        """Twice as many, so that no worker waits until its last image is here and in the store."""
        return 2 * self.at_once

    def model_identity(self, request: Request) -> ModelIdentity:
        """No digest: the models are elsewhere."""
        return ModelIdentity(request.model)

    def only_model(self, request: Request) -> str:
        """The only one at every worker that knows of one."""
        link = self._linked()
        found = link.run(worker.only_model, self._run, _bare(request), workers=link.members, check=_nothing)
        models = {one for one in found.values() if isinstance(one, str)}
        if len(models) == 1:
            return models.pop()
        if models:
            what = f"the job names no model, and the workers have different ones: {', '.join(sorted(models))}"
            raise GenerationError(what, "name it in the job")
        problem = next((one for one in found.values() if isinstance(one, Problem)), None)
        raise GenerationError(problem.what, problem.mend) if problem else link.gone()

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        """What each worker's own backend finds; it is a problem where no worker can draw an image."""
        link = self._linked()
        self._jobs.append(requests)
        found = self._ask_able(link, link.members, requests)
        if not found:
            return [Problem("", *self._nobody(link))]
        return [problem for request in requests if not self._able[_key(request)] for problem in _wrong(request, found)]

    def prepare(self, requests: Sequence[Request], progress: Progress) -> Sequence[Problem]:
        """Tell which workers get no images; then the backend's own steps, at each of the others."""
        link = self._linked()
        for worker_address, why in link.refused.items():
            self._note(f"the worker {link.name(worker_address)} gets no images: {why}")
        self._tell(progress)
        if not isinstance(self._local, Prepared):
            return []
        workers = set().union(*(self._able[_key(request)] for request in requests)) & link.members.keys()
        problems = self._prepare(link, workers, requests, progress)
        self._tell(progress)
        lost = [request for request in requests if not self._able[_key(request)]]
        return [Problem(request.name, one.what, one.mend) for request in lost for one in problems]

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Have a worker draw it, whichever Dask takes. One that turns out to be unfit is passed over from then on."""
        link = self._linked()
        self._start_watching(link)
        carried, attempt = carry(request), progress.attempt
        while True:
            answer = self._drawn(link, carried, attempt, progress)
            if isinstance(answer, worker.Drawn):
                return self._image(link, attempt, answer)
            if answer.cancelled:
                raise Cancelled
            if answer.unfit:
                self._unfit.add(answer.worker)
                self._note(f"the worker {link.name(answer.worker)} gets no more images: {answer.what}")
                self._tell(progress)
                if self._workers(link, request):
                    continue
            kind = UnsettledError if answer.unsettled else GenerationError
            raise kind(f"{answer.what} (at the worker {link.name(answer.worker)})", answer.mend)

    def _start_watching(self, link: Link) -> None:
        with self._opening:
            if self._watching is None:
                self._watching = threading.Thread(target=self._watch, args=[link], name="imagegen-workers", daemon=True)
                self._watching.start()

    def close(self) -> None:
        """The workers let go of what they keep for this run."""
        self._over.set()
        if self._link is None:
            return
        said = self._link.tell(worker.close, self._run, workers=self._link.members) if not self._link.is_lost else {}
        self._link.close()
        if wrong := [one for one in said.values() if isinstance(one, str) and one]:
            raise ImagegenError(Problem("", wrong[0]))

    def diagnose(self, requests: Sequence[Request]) -> Sequence[Diagnosis]:
        """A row for the cluster, and one or more for each worker."""
        try:
            link = self._linked()
            found = self._ask_able(link, link.members, requests)
        except ImagegenError as error:
            return [Diagnosis(False, "cluster", one.what, one.mend) for one in error.problems]
        except GenerationError as error:
            return [Diagnosis(False, "cluster", error.problem.what, error.problem.mend)]
        finally:
            self.close()
        blocks = not all(self._able[_key(request)] for request in requests)
        rows = [Diagnosis(True, "cluster", f"{self._address} draws {self.at_once} at a time")] if found else []
        for name, problems in sorted(found.items()):
            rows += [Diagnosis(False, f"worker {name}", one.what, one.mend, blocks) for one in problems]
            rows += [] if problems else [Diagnosis(True, f"worker {name}", "finds nothing wrong")]
        for one, why in link.refused.items():
            mend = "give it the same versions"
            rows.append(Diagnosis(False, f"worker {link.name(one)}", f"gets no images: {why}", mend, blocks))
        return rows or [Diagnosis(False, "cluster", *self._nobody(link))]

    def _linked(self) -> Link:
        """The connection of this run. Raises ImagegenError, for a second job the same."""
        with self._opening:
            if self._absent:
                raise self._absent
            if self._link is None:
                try:
                    self._link = _linked(self._address)
                except ImagegenError as error:
                    self._absent = error
                    raise
            return self._link

    def _ask_able(
        self, link: Link, workers: Collection[str], requests: Sequence[Request]
    ) -> dict[str, Sequence[Problem]]:
        """Note which of the workers can draw which of the requests; what each has against them, by its name."""
        if not workers:
            return {}
        if link.needs:
            workers = [one for one in workers if link.members[one].gpus >= 1]
        carried = [_bare(request) for request in requests]
        found = link.run(worker.preflight, self._run, carried, workers=workers, check=_nothing)
        said: dict[str, Sequence[Problem]] = {}
        for one, problems in found.items():
            if isinstance(problems, BaseException):
                problems = [Problem("", f"its preflight failed: {type(problems).__name__}: {problems}")]
            said[link.name(one)] = problems
            against = {problem.where for problem in problems}
            for request in requests:
                able = self._able[_key(request)]
                able.discard(one) if against & {"", request.name} else able.add(one)
            if problems:
                named = "the images of a job" if "" in against else "all images of a job"
                self._note(f"the worker {link.name(one)} cannot draw {named}: {problems[0].what}")
        return said

    def _prepare(self, link: Link, workers: set[str], requests: Sequence[Request], progress: Progress) -> list[Problem]:
        """Have the workers prepare; those that cannot are able no more. What they found."""
        to = uuid.uuid4().hex
        heard = link.listen(to)

        def check() -> None:
            _hand_on(heard, progress)
            progress.check()

        try:
            carried = [_bare(request) for request in requests]
            found = link.run(worker.prepare, self._run, carried, to, workers=workers, check=check)
        except Cancelled:
            link.tell(worker.cancel, self._run, to, workers=workers)
            raise
        finally:
            _hand_on(heard, progress)
            link.forget(to)
        said = []
        for one, problems in found.items():
            if isinstance(problems, BaseException):
                problems = [Problem("", f"{type(problems).__name__}: {problems}")]
            for request in requests if problems else ():
                self._able[_key(request)].discard(one)
            for problem in problems:
                said.append(Problem("", f"{problem.what} (at the worker {link.name(one)})", problem.mend))
                self._note(f"the worker {link.name(one)} gets no images of this job: {problem.what}")
        return said

    def _note(self, text: str) -> None:
        """A line to be told, if it was not yet."""
        with self._opening:
            self._notes.setdefault(text)

    def _tell(self, progress: Progress) -> None:
        """Tell what has been noted since."""
        with self._opening:
            texts = list(self._notes)[self._told :]
            self._told = len(self._notes)
        for text in texts:
            progress.event("note", text=text)

    def _workers(self, link: Link, request: Request) -> set[str]:
        return (self._able[_key(request)] & link.members.keys()) - self._unfit

    def _drawn(self, link: Link, carried: Carried, attempt: str, progress: Progress) -> worker.Drawn | worker.Undrawn:
        """What became of it at one of the workers, or at another where that died."""
        heard = link.listen(attempt)
        future = None
        try:
            while True:
                workers = self._workers_there(link, carried.request, progress)
                future = link.submit(
                    worker.draw, self._run, carried, attempt, progress.timeout_s, workers=sorted(workers)
                )
                if self._waited(link, future, workers, heard, progress):
                    return self._result(link, future)
                future.cancel()  # all that could draw it are gone: it would wait for ever
        except BaseException:
            if future is not None and not link.is_lost:
                with contextlib.suppress(Exception):
                    future.cancel()
                    link.tell(worker.cancel, self._run, attempt, workers=link.members)
            raise
        finally:
            link.forget(attempt)

    def _workers_there(self, link: Link, request: Request, progress: Progress) -> set[str]:
        """Those that can draw it, waited for where there are none. Raises GenerationError."""
        end = time.monotonic() + _LOST_S
        while not (workers := self._workers(link, request)):
            if link.is_lost:
                raise link.gone()
            if time.monotonic() > end:
                raise UnsettledError(*self._nobody(link))
            progress.event("waiting", text="no worker that can draw it")
            progress.restart()
            progress.wait(0.5)
        return workers

    def _waited(
        self,
        link: Link,
        future: Any,
        workers: set[str],
        heard: queue.SimpleQueue[Mapping[str, Any]],
        progress: Progress,
    ) -> bool:
        """Wait until it is done; whether it is, and not all of its workers gone. Its time begins at a worker."""
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        is_drawn, restarted_s = False, time.monotonic()
        while not done.wait(0.1):
            is_drawn = _hand_on(heard, progress) or is_drawn
            if link.is_lost:
                raise link.gone()
            if not is_drawn and time.monotonic() - restarted_s > 1.0:
                progress.restart()
                restarted_s = time.monotonic()
            progress.check()
            self._tell(progress)
            if not workers & link.members.keys():
                return False
        _hand_on(heard, progress)
        return True

    def _watch(self, link: Link) -> None:
        """Workers that come later draw too, once they passed the preflights and are prepared."""
        aside = _Aside(self._over, self._note)
        while not self._over.wait(_LOOK_S) and not link.is_lost:
            if not (new := set(link.look())):
                continue
            self._unfit |= new  # until it is prepared
            with contextlib.suppress(Exception):  # such a worker gets no images
                for job in self._jobs:
                    self._ask_able(link, new, job)
                    if isinstance(self._local, Prepared):
                        self._prepare(link, new, job, aside)
                self._unfit -= new

    def _result(self, link: Link, future: Any) -> worker.Drawn | worker.Undrawn:
        from distributed import KilledWorker

        if future.cancelled():
            raise link.gone()
        error = future.exception()
        if isinstance(error, KilledWorker):
            what = "the workers that were to draw it died, one after another"
            raise GenerationError(what, "look at their logs: it may need more memory than they have")
        if error is not None:
            raise error
        answer: worker.Drawn | worker.Undrawn = future.result()
        return answer

    def _image(self, link: Link, attempt: str, drawn: worker.Drawn) -> GeneratedImage:
        settled: Callable[[], None] = _nothing
        if drawn.keeps:

            def settled() -> None:
                link.tell(worker.settle, self._run, attempt, workers=[drawn.worker])

        facts = {**drawn.facts, "worker": printable(link.name(drawn.worker))}
        return GeneratedImage(drawn.data, facts, drawn.may_be_flat, drawn.any_size, settled=settled)

    def _nobody(self, link: Link) -> tuple[str, str]:
        """That no worker can draw, and what to do."""
        whys = [*dict.fromkeys(link.refused.values())]
        what = f"no worker of the Dask cluster at {self._address} can draw it"
        mend = f"see the workers' logs, or start one where the backend is: dask worker {self._address}"
        return (f"{what}: {'; '.join(whys)}", "give them the same versions") if whys else (what, mend)


def _linked(address: str) -> Link:
    if command := missing_package():
        what = f"cluster: {address} needs the package distributed, which is not installed"
        raise ImagegenError(Problem("", what, f"{command}; or for now without the cluster: doit cluster=none"))
    return Link(address)


def _key(request: Request) -> _Key:
    return request.name, request.model


def _bare(request: Request) -> Carried:
    """Without its files, which only drawing needs."""
    return Carried(request)


def _wrong(request: Request, found: Mapping[str, Sequence[Problem]]) -> list[Problem]:
    """What the workers have against a request that none of them can draw, each thing once. found: by their names."""
    whose: dict[Problem, list[str]] = defaultdict(list)
    for name, problems in found.items():
        for problem in problems:
            if problem.where in ("", request.name):
                whose[Problem(request.name, problem.what, problem.mend)].append(name)
    return [
        Problem(one.where, f"{one.what} ({_at(sorted(names), len(found))})", one.mend) for one, names in whose.items()
    ]


def _at(names: Sequence[str], of: int) -> str:
    if len(names) == of > 1:
        return f"at all {of} workers"
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"at the worker{'s' * (len(names) > 1)} {', '.join(names[:2])}{more}"


def _hand_on(heard: queue.SimpleQueue[Mapping[str, Any]], progress: Progress) -> bool:
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
