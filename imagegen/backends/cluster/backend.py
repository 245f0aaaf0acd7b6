"""What stands in a run for a backend whose images the workers of a Dask cluster draw."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from imagegen.backends.base import (
    Backend,
    Cancelled,
    Diagnosis,
    GeneratedImage,
    GenerationError,
    MayBeRunningError,
    ModelIdentity,
    Progress,
)
from imagegen.backends.cluster import worker
from imagegen.backends.cluster.connection import ClusterConnection, forward_events, missing_package
from imagegen.backends.cluster.worker import RequestBundle, pack_request
from imagegen.backends.cluster.worker_pool import WorkerPool, pack_without_files
from imagegen.errors import ImagegenError, Problem, printable
from imagegen.plan.request import Request

__all__ = ["ClusterBackend"]


class ClusterBackend(Backend):
    """Stands for `local`, which plans and is never asked to draw. address: of Dask's scheduler."""

    def __init__(self, local: Backend, address: str) -> None:
        self.name, self.version, self.parameters = local.name, local.version, local.parameters
        self.options, self.is_generator = local.options, local.is_generator
        self.model_option, self.default_model = local.model_option, local.default_model
        self._local, self._address = local, address
        self._run = worker.Run(uuid.uuid4().hex, local.name)
        self._opened: tuple[ClusterConnection, WorkerPool] | None = None
        self._absent: ImagegenError | GenerationError | None = None
        self._opening = threading.Lock()

    @property
    def at_once(self) -> int:
        """How many are drawn at a time, by the workers there were at the beginning."""
        return self._opened[1].count_slots(self._local.in_flight) if self._opened else self._local.in_flight

    @property
    def in_flight(self) -> int:
        """Twice as many, so that no worker waits until its last image is here and in the store."""
        return 2 * self.at_once

    def model_identity(self, request: Request) -> ModelIdentity:
        """No digest: the models are elsewhere."""
        return ModelIdentity(request.model)

    def choose_model(self, request: Request) -> str:
        """The only one at every worker that knows of one."""
        _, pool = self._open()
        found = pool.ask(worker.choose_model, pack_without_files(request), workers=pool.members)
        models = {one for one in found.values() if isinstance(one, str)}
        if len(models) == 1:
            return models.pop()
        if models:
            what = f"the job names no model, and the workers have different ones: {', '.join(sorted(models))}"
            raise GenerationError(what, "name it in the job")
        problem = next((one for one in found.values() if isinstance(one, Problem)), None)
        raise GenerationError(*((problem.what, problem.hint) if problem else pool.explain_no_worker()))

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        """What each worker's own backend finds; it is a problem where no worker can draw an image."""
        _, pool = self._open()
        found = pool.preflight(requests)
        if not found:
            return [Problem("", *pool.explain_no_worker())]
        return [problem for request in requests if not pool.can_generate(request) for problem in _wrong(request, found)]

    def prepare(self, requests: Sequence[Request], progress: Progress) -> Sequence[Problem]:
        """Tell which workers get no images; then the backend's own steps, at each of the others."""
        _, pool = self._open()
        problems = pool.prepare(requests, progress)
        lost = [request for request in requests if not pool.can_generate(request)]
        return [Problem(request.name, one.what, one.hint) for request in lost for one in problems]

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Have a worker draw it, whichever Dask takes. One that turns out to be unfit is passed over from then on."""
        connection, pool = self._open()
        pool.watch()
        bundle, attempt = pack_request(request), progress.begin_attempt()
        while True:
            answer = self._drawn(bundle, attempt, progress)
            if isinstance(answer, worker.Generated):
                return self._image(connection, pool, attempt, answer)
            if answer.cancelled:
                raise Cancelled
            if answer.unfit:
                pool.exclude_worker(answer.worker, answer.what, progress)
                if pool.workers(request):
                    continue
            kind = MayBeRunningError if answer.may_be_running else GenerationError
            raise kind(f"{answer.what} (at the worker {pool.name(answer.worker)})", answer.hint)

    def close(self) -> None:
        """The workers let go of what they keep for this run."""
        if self._opened is None:
            return
        connection, pool = self._opened
        pool.close()
        said = connection.tell(worker.close, self._run, workers=pool.members)
        connection.close()
        if wrong := [one for one in said.values() if isinstance(one, str) and one]:
            raise ImagegenError(Problem("", wrong[0]))

    def diagnose(self, requests: Sequence[Request]) -> Sequence[Diagnosis]:
        """A row for the cluster, and one or more for each worker."""
        try:
            _, pool = self._open()
            found = pool.preflight(requests)
        except ImagegenError as error:
            return [Diagnosis(False, "cluster", one.what, one.hint) for one in error.problems]
        except GenerationError as error:
            return [Diagnosis(False, "cluster", error.problem.what, error.problem.hint)]
        finally:
            self.close()
        blocks = not all(map(pool.can_generate, requests))
        rows = [Diagnosis(True, "cluster", f"{self._address} draws {self.at_once} at a time")] if found else []
        for name, problems in sorted(found.items()):
            rows += [Diagnosis(False, f"worker {name}", one.what, one.hint, blocks) for one in problems]
            rows += [] if problems else [Diagnosis(True, f"worker {name}", "finds nothing wrong")]
        for left_out, hint in (
            (pool.refused, "give it the same versions"),
            (pool.silent, "see its log, or restart it"),
        ):
            for one, why in left_out.items():
                rows.append(Diagnosis(False, f"worker {pool.name(one)}", f"gets no images: {why}", hint, blocks))
        return rows or [Diagnosis(False, "cluster", *pool.explain_no_worker())]

    def _open(self) -> tuple[ClusterConnection, WorkerPool]:
        """Return the connection of this run, and its workers. Raises the same for each job."""
        with self._opening:
            if self._absent:
                raise self._absent
            if self._opened is None:
                try:
                    connection = _linked(self._address)
                    self._opened = connection, WorkerPool(connection, self._run)
                except (ImagegenError, GenerationError) as error:
                    self._absent = error
                    raise
            return self._opened

    def _drawn(self, bundle: RequestBundle, attempt: str, progress: Progress) -> worker.Generated | worker.Failed:
        """What became of it at one of the workers, or at another where that died."""
        connection, pool = self._open()
        events = connection.listen(attempt)
        try:
            while True:
                workers = pool.wait_for_workers(bundle.request, progress)
                workers = pool.find_addresses(progress.last_server) & workers or workers  # there it may be found again
                task = connection.submit(
                    worker.generate, self._run, bundle, attempt, progress.timeout_s, workers=workers, needs=pool.needs
                )
                with contextlib.suppress(_AllLeftError):
                    return _answer(connection, pool, task, workers, events, progress)
        finally:
            connection.stop_listening(attempt)

    def _image(
        self, connection: ClusterConnection, pool: WorkerPool, attempt: str, drawn: worker.Generated
    ) -> GeneratedImage:
        on_stored: Callable[[], None] = GeneratedImage.on_stored
        if drawn.has_on_stored:

            def on_stored() -> None:
                connection.tell(worker.mark_stored, self._run, attempt, workers=[drawn.worker])

        facts = {**drawn.facts, "worker": printable(pool.name(drawn.worker))}
        return GeneratedImage(drawn.data, facts, drawn.may_be_flat, drawn.any_size, on_stored=on_stored)


class _AllLeftError(Exception):
    """All workers that could draw it are gone: Dask's task would wait for ever."""


def _answer(
    connection: ClusterConnection,
    pool: WorkerPool,
    task: Future[worker.Generated | worker.Failed],
    workers: set[str],
    events: queue.SimpleQueue[Mapping[str, Any]],
    progress: Progress,
) -> worker.Generated | worker.Failed:
    """What a worker made of it. Its time begins there. Raises _AllLeftError."""
    from distributed import KilledWorker

    is_drawn, restarted_s = False, time.monotonic()

    def check() -> None:
        nonlocal is_drawn, restarted_s
        if drawing := forward_events(events, progress):
            is_drawn = True
            progress.begin_attempt(pool.name(drawing))
        if not is_drawn and time.monotonic() - restarted_s > 1.0:
            progress.restart_clock()
            restarted_s = time.monotonic()
        progress.check()
        pool.tell(progress)
        if not workers & connection.there:
            raise _AllLeftError

    try:
        return connection.wait_for(task, check)
    except KilledWorker:
        what = "the workers that were to draw it died, one after another"
        raise GenerationError(what, "look at their logs: it may need more memory than they have") from None
    finally:
        forward_events(events, progress)


def _linked(address: str) -> ClusterConnection:
    if command := missing_package():
        what = f"cluster: {address} needs the package distributed, which is not installed"
        raise ImagegenError(Problem("", what, f"{command}; or for now without the cluster: doit cluster=none"))
    return ClusterConnection(address)


def _wrong(request: Request, found: Mapping[str, Sequence[Problem]]) -> list[Problem]:
    """What the workers have against a request that none of them can draw, each thing once. found: by their names."""
    whose: dict[Problem, list[str]] = defaultdict(list)
    for name, problems in found.items():
        for problem in problems:
            if problem.where in ("", request.name):
                whose[Problem(request.name, problem.what, problem.hint)].append(name)
    return [
        Problem(one.where, f"{one.what} ({_at(sorted(names), len(found))})", one.hint) for one, names in whose.items()
    ]


def _at(names: Sequence[str], of: int) -> str:
    if len(names) == of > 1:
        return f"at all {of} workers"
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"at the worker{'s' * (len(names) > 1)} {', '.join(names[:2])}{more}"
