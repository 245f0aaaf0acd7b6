"""What runs in a worker's process: the backend as it is on that machine, one object for each run that asks.

Its project is the folder that the worker was started in; its settings are those of the pyproject.toml there and of the
worker's own environment. No secret comes from whoever asks, and none is told.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imagegen.backends.base import (
    Backend,
    Cancelled,
    Context,
    GeneratedImage,
    GenerationError,
    MayBeRunningError,
    OverdueError,
)
from imagegen.backends.cluster.connection import TOPIC
from imagegen.config.settings import read_settings
from imagegen.errors import ImagegenError, Problem, not_written
from imagegen.plan.request import Request

__all__ = [
    "Failed",
    "Generated",
    "RequestBundle",
    "Run",
    "WorkerInfo",
    "WorkerProgress",
    "choose_model",
    "close",
    "describe_worker",
    "generate",
    "mark_stored",
    "pack_request",
    "preflight",
    "prepare",
    "unpack_request",
]


@dataclass(frozen=True)
class Run:
    """Whose the work is. id: of one run of doit. backend: the name of the one that draws."""

    id: str
    backend: str


@dataclass(frozen=True)
class WorkerInfo:
    """A worker. name: for a person. threads: tasks at a time. gpus: what it has of the resource GPU."""

    name: str
    threads: int
    gpus: float


@dataclass(frozen=True)
class Generated:
    """An image that was made; as `GeneratedImage`. keeps: `mark_stored` has something to do."""

    worker: str
    data: bytes
    facts: Mapping[str, Any]
    may_be_flat: bool
    any_size: bool
    has_on_stored: bool


@dataclass(frozen=True)
class Failed:
    """One that was not. cancelled: because the user asked for it. unsettled: as MayBeRunningError.

    unfit: the worker can draw no other either.
    """

    worker: str
    what: str = ""
    hint: str = ""
    cancelled: bool = False
    may_be_running: bool = False
    unfit: bool = False


class WorkerProgress:
    """As `imagegen.backends.base.Progress`. worker: Dask's. cancelled: set where the user asked to stop."""

    def __init__(self, worker: Any, attempt: str, timeout_s: float, cancelled: threading.Event) -> None:
        self.timeout_s = timeout_s
        self._attempt = attempt
        self._worker = worker
        self._cancelled = cancelled
        self._began_s = time.monotonic()

    last_server = ""
    """Where the worker itself began it before is not known; at which worker that was, whoever asks knows."""

    def begin_attempt(self, server: str = "") -> str:  # noqa: ARG002 - the protocol has it
        """Return the attempt; which of the worker's own servers makes it is not reported."""
        return self._attempt

    def event(self, name: str, **facts: Any) -> None:
        """Told to whoever asked for the image, and no reason to fail."""
        self._tell(name, facts)
        self.check()

    def restart_clock(self) -> None:
        """The time counts from now, there too."""
        self._began_s = time.monotonic()
        self._tell("restarted", {})

    def check_cancelled(self) -> None:
        """Raise Cancelled where the user asked to stop."""
        if self._cancelled.is_set():
            raise Cancelled

    def check(self) -> None:
        """Raise Cancelled where the user asked to stop, OverdueError where the time is over."""
        self.check_cancelled()
        if time.monotonic() - self._began_s > self.timeout_s:
            raise OverdueError(self.timeout_s)

    def wait(self, seconds: float) -> None:
        """Sleep that long, raising as `check` does as soon as there is cause."""
        end = time.monotonic() + seconds
        while (left := min(end, self._began_s + self.timeout_s) - time.monotonic()) > 0:
            self._cancelled.wait(min(left, 60.0))
            self.check()
        self.check()

    def _tell(self, name: str, facts: Mapping[str, Any]) -> None:
        told = {"to": self._attempt, "worker": self._worker.address, "name": name, "facts": facts}
        self._worker.log_event(TOPIC, told)


@dataclass
class _RunState:
    """A backend at work for one run."""

    backend: Backend
    context: Context
    turns: threading.Semaphore
    cancels: dict[str, threading.Event] = field(default_factory=dict)
    on_stored: dict[str, Callable[[], None]] = field(default_factory=dict)

    def localize(self, bundle: RequestBundle, folder: Path = Path()) -> Request:
        """The request as this machine draws it, its files in `folder` where they came along. Raises OSError."""
        request = unpack_request(bundle, folder)
        return self.backend.relocated(request, self.context)

    def cancel_event(self, attempt: str) -> threading.Event:
        """Set as soon as the user wants this one to stop."""
        return self.cancels.setdefault(attempt, threading.Event())


_run_states: dict[Run, _RunState] = {}
_closed: deque[Run] = deque(maxlen=1000)
"""Runs that are over: a task of theirs may still be on its way."""
_opening = threading.Lock()


def _run_state(run: Run) -> _RunState:
    """Raises ImagegenError."""
    with _opening:
        if run not in _run_states:
            root = Path.cwd()
            context = Context(root, read_settings(root, {}, os.environ), _reads_nothing)
            backend = _backend(run.backend)
            _run_states[run] = _RunState(backend, context, threading.Semaphore(max(1, backend.in_flight)))
        return _run_states[run]


def _backend(name: str) -> Backend:
    from imagegen.backends.registry import registry

    known = registry()
    if name not in known:
        what = f"the backend {name} is not installed"
        raise ImagegenError(Problem("", what, "install the package that brings it on that machine too"))
    return known[name]()


def _reads_nothing(path: str) -> bytes:
    raise ImagegenError(Problem(path, "is not read at a worker"))


def describe_worker(dask_worker: Any) -> WorkerInfo:
    """What kind of worker this is."""
    state = dask_worker.state
    name = str(dask_worker.name)
    shown = dask_worker.address.partition("://")[2] if name == dask_worker.address else name
    return WorkerInfo(shown, state.nthreads, state.total_resources.get("GPU", 0))


async def choose_model(run: Run, bundle: RequestBundle) -> str | Problem:
    """As `Backend.choose_model`; a problem where there is none."""

    def ask() -> str | Problem:
        state = _run_state(run)
        return state.backend.choose_model(state.localize(bundle))

    try:
        return await asyncio.to_thread(ask)
    except (GenerationError, ImagegenError) as error:
        return _problem(error)


async def preflight(run: Run, bundles: Sequence[RequestBundle]) -> Sequence[Problem]:
    """The backend's own preflight, on this machine."""

    def ask() -> Sequence[Problem]:
        state = _run_state(run)
        return list(state.backend.preflight([state.localize(bundle) for bundle in bundles]))

    try:
        return await asyncio.to_thread(ask)
    except ImagegenError as error:
        return error.problems


async def prepare(run: Run, bundles: Sequence[RequestBundle], to: str, dask_worker: Any) -> Sequence[Problem]:
    """The backend's own, where it has any. to: who hears of it."""

    def ask() -> Sequence[Problem]:
        state = _run_state(run)
        requests = [state.localize(bundle) for bundle in bundles]
        return list(state.backend.prepare(requests, WorkerProgress(dask_worker, to, math.inf, state.cancel_event(to))))

    try:
        return await asyncio.to_thread(ask)
    except ImagegenError as error:
        return error.problems
    except (Cancelled, GenerationError) as error:
        return [_problem(error)]


def generate(run: Run, bundle: RequestBundle, attempt: str, timeout_s: float) -> Generated | Failed:
    """Have the backend make the image; a task of Dask's. attempt: the same on every worker."""
    from distributed import get_worker

    worker = get_worker()
    if run in _closed:
        return Failed(worker.address, cancelled=True)
    state = _run_state(run)
    progress = WorkerProgress(worker, attempt, timeout_s, state.cancel_event(attempt))
    request = bundle.request
    try:
        request = state.localize(bundle, Path(worker.local_directory) / "imagegen")
        with _turn(state, progress):
            progress.restart_clock()
            made = state.backend.generate(request, progress)
    except Cancelled:
        return Failed(worker.address, cancelled=True)
    except (GenerationError, ImagegenError, OSError) as error:
        problem, may_be_running = _problem(error), isinstance(error, MayBeRunningError)
        unfit = may_be_running or _is_unfit(run, request)
        return Failed(worker.address, problem.what, problem.hint, may_be_running=may_be_running, unfit=unfit)
    finally:
        state.cancels.pop(attempt, None)
    has_on_stored = made.on_stored is not GeneratedImage.on_stored
    if has_on_stored:
        state.on_stored[attempt] = made.on_stored
    return Generated(worker.address, made.data, dict(made.facts), made.may_be_flat, made.any_size, has_on_stored)


async def mark_stored(run: Run, attempt: str) -> None:
    """As `GeneratedImage.on_stored`."""
    if (state := _run_states.get(run)) and (settled := state.on_stored.pop(attempt, None)):
        await asyncio.to_thread(settled)


async def close(run: Run) -> str:
    """The run is over; what went wrong then."""
    _closed.append(run)
    state = _run_states.pop(run, None)
    if state is None:
        return ""
    for cancel_event in list(state.cancels.values()):
        cancel_event.set()
    try:
        await asyncio.to_thread(state.backend.close)
    except Exception as error:  # it fails no image any more
        return str(error)
    return ""


def _problem(error: Exception) -> Problem:
    if isinstance(error, GenerationError):
        return error.problem
    if isinstance(error, OSError):
        return not_written(error)
    return error.problems[0] if isinstance(error, ImagegenError) else Problem("", "it was cancelled")


def _is_unfit(run: Run, request: Request) -> bool:
    """Whether a backend that is asked for the first time finds that it cannot draw here."""
    backend = _backend(run.backend)
    try:
        return bool(backend.preflight([request]))
    except Exception:  # whatever it is, it would come again
        return True
    finally:
        backend.close()


@contextmanager
def _turn(state: _RunState, progress: WorkerProgress) -> Iterator[None]:
    """One of the images that the backend may have at a time: a worker may have more threads. Raises Cancelled."""
    while not state.turns.acquire(timeout=0.2):
        progress.check_cancelled()
    try:
        yield
    finally:
        state.turns.release()


@dataclass(frozen=True)
class RequestBundle:
    """files: the bytes of its reference images, by their sha256."""

    request: Request
    files: Mapping[str, bytes] = field(default_factory=dict)


def pack_request(request: Request) -> RequestBundle:
    """With the files in `extra["files"]`, which are what `extra["images"]` says. Raises GenerationError."""
    files = {}
    for place, path in request.extra.get("files", {}).items():
        sha256 = request.extra["images"][place]
        try:
            files[sha256] = Path(path).read_bytes()
        except OSError as error:
            what = f"{path} cannot be read: {error.strerror}"
            raise GenerationError(what, "put it back, then run doit again") from None
        if hashlib.sha256(files[sha256]).hexdigest() != sha256:
            raise GenerationError(f"{path} was changed in the middle of the run", "run doit again")
    return RequestBundle(request, files)


def unpack_request(bundle: RequestBundle, folder: Path) -> Request:
    """The request, its files in `folder` by their sha256. Raises OSError."""
    request = bundle.request
    if "files" not in request.extra:
        return request
    files = {}
    for place, path in request.extra["files"].items():
        sha256 = request.extra["images"][place]
        file = folder / f"{sha256}{Path(path).suffix.lower()}"
        if sha256 in bundle.files and not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            written = file.with_name(uuid.uuid4().hex)
            written.write_bytes(bundle.files[sha256])
            written.replace(file)
        files[place] = str(file)
    return replace(request, extra={**request.extra, "files": files})
