"""The backend that takes another one's place in a run, when the workers of a Dask cluster generate its images."""

from __future__ import annotations

import queue
import random
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from imagegen.backends.base import (
    Backend,
    Cancelled,
    Diagnosis,
    GeneratedImage,
    GenerationError,
    MayBePaidError,
    MayBeRunningError,
    ModelIdentity,
    Progress,
)
from imagegen.backends.cluster import worker
from imagegen.backends.cluster.connection import ClusterConnection, forward_events, missing_package
from imagegen.backends.cluster.worker import RequestBundle, pack_request
from imagegen.backends.cluster.worker_pool import WorkerPool
from imagegen.errors import ImagegenError, NotBegunError, Problem, printable
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["ClusterBackend"]


class ClusterBackend(Backend):
    """Takes the place of `local`, which plans and is never asked to generate. address: of Dask's scheduler."""

    def __init__(self, local: Backend, address: str) -> None:
        self.name, self.version, self.parameters = local.name, local.version, local.parameters
        self.options, self.is_generator = local.options, local.is_generator
        self.model_option, self.default_model = local.model_option, local.default_model
        self._local, self._address = local, address
        self._run = worker.Run(uuid.uuid4().hex, local.name)
        self._opened: tuple[ClusterConnection, WorkerPool] | None = None
        self._failed: ImagegenError | GenerationError | None = None
        self._opening = threading.Lock()

    @property
    def at_once(self) -> int:
        """How many images are generated at a time, by the workers there were at the beginning."""
        return self._opened[1].count_slots(self._local.in_flight) if self._opened else self._local.in_flight

    @property
    def in_flight(self) -> int:
        """Twice as many, so that no worker waits until its last image is here and in the store."""
        return 2 * self.at_once

    def model_identity(self, request: Request) -> ModelIdentity:
        """Return no digest: the models are elsewhere."""
        return ModelIdentity(request.model)

    def price(self, request: Request) -> Decimal | None:
        """Return what the backend itself says: the workers generate for the account that pays here."""
        return self._local.price(request)

    def choose_model(self, request: Request) -> str:
        """Return the only model at every worker that knows of one."""
        _, pool = self._open()
        found = pool.call(worker.choose_model, RequestBundle(self._local.strip_local(request)), workers=pool.members)
        models = {one for one in found.values() if isinstance(one, str)}
        if len(models) == 1:
            return models.pop()
        if models:
            what = f"the job names no model, and the workers have different ones: {', '.join(sorted(models))}"
            raise GenerationError(what, "name it in the job")
        problem = next((one for one in found.values() if isinstance(one, Problem)), None)
        raise GenerationError(*((problem.what, problem.hint) if problem else pool.explain_no_worker()))

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        """Run each worker's own preflight. It is a problem if no worker can generate an image."""
        _, pool = self._open()
        requests = [self._local.strip_local(one) for one in requests]
        found = pool.preflight(requests)
        if not found:
            return [Problem("", *pool.explain_no_worker())]
        lost = [request for request in requests if not pool.can_generate(request)]
        return [problem for request in lost for problem in _problems_of(request, found)]

    def prepare(self, requests: Sequence[Request], progress: Progress) -> Sequence[Problem]:
        """Report which workers get no images; then run the backend's own `prepare` at each of the others."""
        _, pool = self._open()
        requests = [self._local.strip_local(one) for one in requests]
        problems = pool.prepare(requests, progress)
        lost = [request for request in requests if not pool.can_generate(request)]
        return [Problem(request.name, one.what, one.hint) for request in lost for one in problems]

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Have a worker generate it, whichever Dask takes. One that turns out to be unfit gets no more images."""
        connection, pool = self._open()
        pool.watch()
        request = self._local.strip_local(request)
        bundle, attempt = pack_request(request, progress.file), progress.begin_attempt()
        while True:
            answer = self._run_task(bundle, attempt, progress)
            if isinstance(answer, worker.Generated):
                return self._image(connection, pool, attempt, answer)
            if answer.is_cancelled:
                raise Cancelled(may_be_paid=answer.may_be_paid)
            if answer.may_be_paid:  # another worker would be charged for it too
                raise MayBePaidError(f"{answer.what} (at the worker {pool.name(answer.worker)})", answer.hint)
            if answer.is_unfit:
                pool.exclude_worker(answer.worker, answer.what, progress)
                if pool.find_workers(request) and not (answer.may_be_running and self._costs(request)):
                    continue
            kind = MayBeRunningError if answer.may_be_running else GenerationError
            raise kind(f"{answer.what} (at the worker {pool.name(answer.worker)})", answer.hint)

    def _costs(self, request: Request) -> bool:
        """Return whether the image costs anything, and so must not be requested twice."""
        return self.price(request) != 0

    def close(self) -> None:
        """Have the workers drop what they keep for this run."""
        if self._opened is None:
            return
        connection, pool = self._opened
        pool.close()
        said = connection.call_briefly(worker.close, self._run, workers=pool.members)
        connection.close()
        if errors := [one for one in said.values() if isinstance(one, str) and one]:
            raise ImagegenError(Problem("", errors[0]))

    def diagnose(self, requests: Sequence[Request]) -> Sequence[Diagnosis]:
        """Return a row for the cluster, and one or more for each worker."""
        try:
            _, pool = self._open()
            requests = [self._local.strip_local(one) for one in requests]
            found = pool.preflight(requests)
        except ImagegenError as error:
            return [Diagnosis(False, "cluster", one.what, one.hint) for one in error.problems]
        except GenerationError as error:
            return [Diagnosis(False, "cluster", error.problem.what, error.problem.hint)]
        finally:
            self.close()
        blocks = not all(map(pool.can_generate, requests))
        rows = [Diagnosis(True, "cluster", f"{self._address} generates {self.at_once} at a time")] if found else []
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
            if self._failed:
                raise self._failed
            if self._opened is None:
                try:
                    connection = _connect(self._address)
                    self._opened = connection, WorkerPool(connection, self._run)
                except (ImagegenError, GenerationError) as error:
                    self._failed = error
                    raise
            return self._opened

    def _run_task(self, bundle: RequestBundle, attempt: str, progress: Progress) -> worker.Generated | worker.Failed:
        """Return what became of it at one of the workers, or at another if that died."""
        connection, pool = self._open()
        events = connection.listen(attempt)
        try:
            while True:
                workers = pool.wait_for_workers(bundle.request, progress)
                workers = pool.find_addresses(progress.last_server) & workers or workers  # that one may have it still
                if self._costs(bundle.request):  # if this one dies, Dask must not have another one request it again
                    workers = {random.choice(sorted(workers))}  # noqa: S311 - any will do
                arguments = self._run, bundle, attempt, progress.timeout_s
                task = connection.submit(worker.generate, *arguments, workers=workers, resources=pool.resources)
                try:
                    return _wait_for_answer(connection, pool, task, workers, events, progress)
                except _AllLeftError:
                    # also if nothing was heard of its beginning: word of that may have been lost with the worker
                    if self._costs(bundle.request):
                        what = f"the worker that generated it is gone: {', '.join(map(pool.name, workers))}"
                        raise MayBePaidError(what, "look at its log, then run doit again") from None
        finally:
            connection.stop_listening(attempt)

    def _image(
        self, connection: ClusterConnection, pool: WorkerPool, attempt: str, answer: worker.Generated
    ) -> GeneratedImage:
        def on_stored() -> None:
            if answer.has_on_stored:
                connection.call_briefly(worker.mark_stored, self._run, attempt, workers=[answer.worker])

        facts = {**answer.image.facts, "worker": printable(pool.name(answer.worker))}
        return replace(answer.image, facts=facts, on_stored=on_stored)


class _AllLeftError(Exception):
    """All workers that could generate the image are gone: the Dask task would wait forever."""


def _wait_for_answer(
    connection: ClusterConnection,
    pool: WorkerPool,
    task: Future[worker.Generated | worker.Failed],
    workers: set[str],
    events: queue.SimpleQueue[Mapping[str, Any]],
    progress: Progress,
) -> worker.Generated | worker.Failed:
    """Return what a worker made of it. Its time begins there. Raises _AllLeftError."""
    from distributed import KilledWorker

    has_begun, restarted_s = False, time.monotonic()

    def check() -> None:
        nonlocal has_begun, restarted_s
        if at := forward_events(events, progress):
            has_begun = True
            progress.begin_attempt(pool.name(at))
        if not has_begun and time.monotonic() - restarted_s > 1.0:
            progress.restart_clock()
            restarted_s = time.monotonic()
        progress.check()
        pool.report(progress)
        if not workers & connection.workers:
            raise _AllLeftError

    try:
        return connection.wait_for(task, check)
    except KilledWorker:
        what = "the workers that were to generate it died, one after another"
        raise GenerationError(what, "look at their logs: it may need more memory than they have") from None
    finally:
        forward_events(events, progress)


def _connect(address: str) -> ClusterConnection:
    if command := missing_package():
        what = f"cluster: {address} needs the package distributed, which is not installed"
        raise NotBegunError(Problem("", what, f"{command}; or for now without the cluster: doit cluster=none"))
    return ClusterConnection(address)


def _problems_of(request: Request, found: Mapping[str, Sequence[Problem]]) -> list[Problem]:
    """Return the workers' problems with a request that none of them can generate, each once.

    found: the problems by the workers' names.
    """
    workers: dict[Problem, list[str]] = defaultdict(list)
    for name, problems in found.items():
        for problem in problems:
            if problem.where in ("", request.name):
                workers[Problem(request.name, problem.what, problem.hint)].append(name)
    return [
        Problem(one.where, f"{one.what} ({_list_workers(sorted(names), len(found))})", one.hint)
        for one, names in workers.items()
    ]


def _list_workers(names: Sequence[str], total: int) -> str:
    if len(names) == total > 1:
        return f"at all {total} workers"
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"at the worker{'s' * (len(names) > 1)} {', '.join(names[:2])}{more}"
