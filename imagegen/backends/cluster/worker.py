"""What runs in a worker's process: the backend as it is on that machine, one object for each run of doit that asks.

Its project is the folder that the worker was started in; its settings are those of the pyproject.toml there and of the
worker's own environment. No secret comes from the run that asks, and none is sent back.
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
    MayBePaidError,
    MayBeRunningError,
    OverdueError,
    find_reference,
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
    "unpack_files",
]


@dataclass(frozen=True)
class Run:
    """A run of doit that asks. backend: the name of the one that generates."""

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
    """An image that was generated, without its `on_stored`. has_on_stored: `mark_stored` has something to do."""

    worker: str
    image: GeneratedImage
    has_on_stored: bool


@dataclass(frozen=True)
class Failed:
    """An image that was not generated."""

    worker: str
    what: str = ""
    hint: str = ""
    is_cancelled: bool = False
    """Whether the user cancelled it."""
    may_be_running: bool = False
    """Whether its generator may still generate it (see MayBeRunningError)."""
    may_be_paid: bool = False
    """Whether it may have been charged for, though it never arrived (see MayBePaidError)."""
    is_unfit: bool = False
    """Whether the worker cannot generate any other image either."""


@dataclass(frozen=True)
class RequestBundle:
    """A request on its way to a worker. files: the suffix and bytes of its reference images, by their sha256."""

    request: Request
    files: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)


def pack_request(request: Request, find: Callable[[str], Path]) -> RequestBundle:
    """Bundle a request with its reference images, which `find` gives by their sha256.

    Raises:
        GenerationError: a file cannot be read, or has changed.
    """
    files = {}
    for sha256 in request.extra.get("images", {}).values():
        path = find(sha256)
        try:
            data = path.read_bytes()
        except OSError as error:
            what = f"{path} cannot be read: {error.strerror}"
            raise GenerationError(what, "put it back, then run doit again") from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise GenerationError(f"{path} was changed in the middle of the run", "run doit again")
        files[sha256] = path.suffix.lower(), data
    return RequestBundle(request, files)


def unpack_files(bundle: RequestBundle, folder: Path) -> dict[str, Path]:
    """Write the bundle's files into `folder`; return their paths by their sha256. Raises OSError."""
    files = {}
    for sha256, (suffix, data) in bundle.files.items():
        files[sha256] = folder / f"{sha256}{suffix}"
        if not files[sha256].exists():
            folder.mkdir(parents=True, exist_ok=True)
            written = folder / uuid.uuid4().hex
            written.write_bytes(data)
            written.replace(files[sha256])
    return files


class WorkerProgress:
    """The `imagegen.backends.base.Progress` of an image at a worker, which Dask's events report to the run."""

    last_server = ""
    """Which of the worker's own servers had it before is not known; at which worker it was, the run knows."""

    def __init__(
        self,
        worker: Any,
        attempt: str,
        timeout_s: float,
        cancelled: threading.Event,
        files: Mapping[str, Path] | None = None,
    ) -> None:
        self.timeout_s = timeout_s
        self._attempt = attempt
        self._worker = worker  # Dask's
        self._cancelled = cancelled
        self._files = files or {}
        self._began_s = time.monotonic()

    def begin_attempt(self, server: str = "") -> str:  # noqa: ARG002 - the protocol has it
        """Return the attempt; which of the worker's own servers makes it is not reported."""
        return self._attempt

    def file(self, sha256: str) -> Path:
        """Return where the reference image with this content is. Raises GenerationError."""
        return find_reference(self._files, sha256)

    def event(self, name: str, **facts: Any) -> None:
        """Report an event."""
        self._report(name, facts)
        self.check()

    def restart_clock(self) -> None:
        """Count the time from now on, here and in the run."""
        self._began_s = time.monotonic()
        self._report("restarted", {})

    def check_cancelled(self) -> None:
        """Raise Cancelled if the user asked to stop."""
        if self._cancelled.is_set():
            raise Cancelled

    def check(self) -> None:
        """Raise Cancelled if the user asked to stop, OverdueError if the time is over."""
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

    def _report(self, name: str, facts: Mapping[str, Any]) -> None:
        event = {"to": self._attempt, "worker": self._worker.address, "name": name, "facts": facts}
        self._worker.log_event(TOPIC, event)


@dataclass
class _RunState:
    """A backend at work for one run."""

    backend: Backend
    turns: threading.Semaphore
    cancels: dict[str, threading.Event] = field(default_factory=dict)
    on_stored: dict[str, Callable[[], None]] = field(default_factory=dict)

    def cancel_event(self, attempt: str) -> threading.Event:
        """Return what is set as soon as the user wants this attempt to stop."""
        return self.cancels.setdefault(attempt, threading.Event())


_states: dict[Run, _RunState] = {}
_closed: deque[Run] = deque(maxlen=1000)
"""Runs that are over: a task of theirs may still be on its way."""
_opening = threading.Lock()


def _open_run(run: Run) -> _RunState:
    """Return the state of a run, a new one at its first question. Raises ImagegenError."""
    with _opening:
        if run not in _states:
            backend = _find_backend(run.backend)
            _states[run] = _RunState(backend, threading.Semaphore(max(1, backend.in_flight)))
        return _states[run]


def _find_backend(name: str) -> Backend:
    from imagegen.backends.registry import registry

    known = registry()
    if name not in known:
        what = f"the backend {name} is not installed"
        raise ImagegenError(Problem("", what, "install the package that brings it on that machine too"))
    backend = known[name]()
    root = Path.cwd()
    backend.context = Context(root, read_settings(root, {}, os.environ), _refuse_reading)
    return backend


def _refuse_reading(path: str) -> bytes:
    raise ImagegenError(Problem(path, "is not read at a worker"))


def describe_worker(dask_worker: Any) -> WorkerInfo:
    """Return what kind of worker this is."""
    state = dask_worker.state
    name = str(dask_worker.name)
    shown = dask_worker.address.partition("://")[2] if name == dask_worker.address else name
    return WorkerInfo(shown, state.nthreads, state.total_resources.get("GPU", 0))


async def choose_model(run: Run, bundle: RequestBundle) -> str | Problem:
    """As `Backend.choose_model`; a problem if there is none, or more than one."""

    def choose() -> str:
        state = _open_run(run)
        return state.backend.choose_model(bundle.request)

    try:
        return await asyncio.to_thread(choose)
    except (GenerationError, ImagegenError) as error:
        return _problem(error)


async def preflight(run: Run, bundles: Sequence[RequestBundle]) -> Sequence[Problem]:
    """Run the backend's own preflight, on this machine."""

    def check() -> Sequence[Problem]:
        state = _open_run(run)
        return list(state.backend.preflight([bundle.request for bundle in bundles]))

    try:
        return await asyncio.to_thread(check)
    except ImagegenError as error:
        return error.problems


async def prepare(run: Run, bundles: Sequence[RequestBundle], to: str, dask_worker: Any) -> Sequence[Problem]:
    """Run the backend's own `prepare`. to: who gets its events."""

    def work() -> Sequence[Problem]:
        state = _open_run(run)
        requests = [bundle.request for bundle in bundles]
        return list(state.backend.prepare(requests, WorkerProgress(dask_worker, to, math.inf, state.cancel_event(to))))

    try:
        return await asyncio.to_thread(work)
    except ImagegenError as error:
        return error.problems
    except (Cancelled, GenerationError) as error:
        return [_problem(error)]


def generate(run: Run, bundle: RequestBundle, attempt: str, timeout_s: float) -> Generated | Failed:
    """Have the backend generate the image; a task of Dask's.

    attempt: as `Progress.begin_attempt` returned it to the run, the same at every worker.
    """
    from distributed import get_worker

    worker = get_worker()
    if run in _closed:
        return Failed(worker.address, is_cancelled=True)
    state = _open_run(run)
    request = bundle.request
    try:
        files = unpack_files(bundle, Path(worker.local_directory) / "imagegen")
        progress = WorkerProgress(worker, attempt, timeout_s, state.cancel_event(attempt), files)
        with _turn(state, progress):
            progress.restart_clock()
            image = state.backend.generate(request, progress)
    except Cancelled as cancelled:
        return Failed(worker.address, is_cancelled=True, may_be_paid=cancelled.may_be_paid)
    except (GenerationError, ImagegenError, OSError) as error:
        problem = _problem(error)
        if isinstance(error, MayBePaidError):
            return Failed(worker.address, problem.what, problem.hint, may_be_paid=True)
        may_be_running = isinstance(error, MayBeRunningError)
        is_unfit = may_be_running or _is_unfit(run, request)
        return Failed(worker.address, problem.what, problem.hint, may_be_running=may_be_running, is_unfit=is_unfit)
    finally:
        state.cancels.pop(attempt, None)
    has_on_stored = image.on_stored is not GeneratedImage.on_stored
    if has_on_stored:
        state.on_stored[attempt] = image.on_stored
    image = replace(image, facts=dict(image.facts), server="", on_stored=_do_nothing)
    return Generated(worker.address, image, has_on_stored)


def _do_nothing() -> None:
    """Do nothing: sent in place of an `on_stored`, which stays here."""


async def mark_stored(run: Run, attempt: str) -> None:
    """Call the `GeneratedImage.on_stored` of this attempt's image."""
    if (state := _states.get(run)) and (on_stored := state.on_stored.pop(attempt, None)):
        await asyncio.to_thread(on_stored)


async def close(run: Run) -> str:
    """End the run; what went wrong then, empty if nothing did."""
    _closed.append(run)
    state = _states.pop(run, None)
    if state is None:
        return ""
    for cancel_event in list(state.cancels.values()):
        cancel_event.set()
    try:
        await asyncio.to_thread(state.backend.close)
    except Exception as error:  # no image fails by it any more
        return str(error)
    return ""


def _problem(error: Exception) -> Problem:
    if isinstance(error, GenerationError):
        return error.problem
    if isinstance(error, OSError):
        return not_written(error)
    return error.problems[0] if isinstance(error, ImagegenError) else Problem("", "it was cancelled")


def _is_unfit(run: Run, request: Request) -> bool:
    """Return whether a backend that is asked for the first time finds that it cannot generate here."""
    backend = _find_backend(run.backend)
    try:
        return bool(backend.preflight([request]))
    except Exception:  # whatever it is, it would come again
        return True
    finally:
        backend.close()


@contextmanager
def _turn(state: _RunState, progress: WorkerProgress) -> Iterator[None]:
    """Take one of the turns that the backend may have at a time: a worker may have more threads. Raises Cancelled."""
    while not state.turns.acquire(timeout=0.2):
        progress.check_cancelled()
    try:
        yield
    finally:
        state.turns.release()
