"""The connection to a Dask cluster. What Dask raises becomes one line here, and no question waits for ever.

Dask's client lives in a thread of its own, and everybody else waits for it there: so each wait can be given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import itertools
import logging
import math
import queue
import sys
import threading
import time
import warnings
from collections.abc import Callable, Collection, Coroutine, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import CancelledError, Future, wait
from typing import Any, TypeVar

from imagegen.backends.base import MayBeRunningError, Progress
from imagegen.errors import ImagegenError, Problem

__all__ = ["ANSWER_S", "LOOK_S", "TOPIC", "ClusterConnection", "SilentError", "forward_events", "missing_package"]

ANSWER_S = 10.0
"""Seconds to connect, for the first worker to be there, and for each question that needs no work."""
LOOK_S = 2.0
"""Seconds between two looks at which workers there are."""
_LOST_S = 30.0
"""Seconds after which a scheduler that answers nothing counts as gone."""
TOPIC = "imagegen"
"""Of Dask's events. Each is a mapping: to (an attempt), worker (its address), name, facts."""

_Answer = TypeVar("_Answer")
_Life = tuple[asyncio.AbstractEventLoop, Any]
"""The client's loop, and the task in it that ends everything when it is cancelled."""


class SilentError(Exception):
    """A worker did not answer in time; its text says so."""


def missing_package() -> str:
    """Return the command that installs the package that is missing; empty if none is."""
    return "" if importlib.util.find_spec("distributed") else f"{sys.executable} -m pip install distributed"


class ClusterConnection:
    """The connection of one run."""

    def __init__(self, address: str) -> None:
        """Connect to the scheduler at this address. Raises ImagegenError."""
        self.address = address
        self.workers: AbstractSet[str] = frozenset()
        """The addresses of the workers that the scheduler has now."""
        self._events: dict[str, queue.SimpleQueue[Mapping[str, Any]]] = {}
        self._is_lost = False
        self._client: Any = None
        opened: Future[_Life] = Future()
        self._thread = threading.Thread(target=self._run_loop, args=[opened], name="imagegen-cluster", daemon=True)
        self._thread.start()
        try:
            self._loop, self._life = opened.result()  # each step of it is bounded
        except ImagegenError:
            raise
        except Exception as error:  # of TLS, of another protocol
            raise ImagegenError(_explain_no_connection(address, error)) from None

    def call(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        workers: Collection[str],
        seconds: float = math.inf,
        check: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        """Call a function at each of these workers, beside their tasks.

        Args:
            seconds: how long each may take.
            check: called often; may raise.

        Returns:
            What it returned or raised, by the worker: a SilentError if nothing came in time, or the worker does not
            answer at all.

        Raises:
            MayBeRunningError: the cluster is gone.
        """
        workers = list(workers)

        async def answers() -> list[Any]:
            return await asyncio.gather(*(self._call_one(one, seconds, function, *arguments) for one in workers))

        return dict(zip(workers, self.wait_for(self._begin(answers()), check), strict=True))

    def call_briefly(self, function: Callable[..., Any], *arguments: Any, workers: Collection[str]) -> dict[str, Any]:
        """Call it at those of the workers that are there, waiting only a little; empty if the cluster is gone."""
        with contextlib.suppress(MayBeRunningError):
            return self.call(function, *arguments, workers=self.workers & set(workers), seconds=ANSWER_S)
        return {}

    def submit(
        self, function: Callable[..., Any], *arguments: Any, workers: Collection[str], resources: Mapping[str, float]
    ) -> Future[Any]:
        """Start a task at one of the workers, again at another if that dies: Dask counts how often. Cancel gives it up.

        resources: what it takes of a worker's.
        """

        async def run_task() -> Any:
            task = self._client.submit(
                function, *arguments, pure=False, workers=list(workers), resources=dict(resources) or None
            )
            try:
                return await task
            finally:
                task.release()

        return self._begin(run_task())

    def wait_for(self, task: Future[_Answer], check: Callable[[], None]) -> _Answer:
        """Return or raise what the task does, or what `check` raises before. Raises MayBeRunningError."""
        try:
            while not wait([task], 0.1).done:
                if self.is_lost:
                    raise self.lost_error()
                check()
            try:
                return task.result()
            except (OSError, CancelledError):  # Dask's CommClosedError is an OSError
                raise self.lost_error() from None
        finally:
            task.cancel()

    def listen(self, to: str) -> queue.SimpleQueue[Mapping[str, Any]]:
        """Return the queue of what workers report to this attempt, from now until `stop_listening`."""
        return self._events.setdefault(to, queue.SimpleQueue())

    def stop_listening(self, to: str) -> None:
        """Drop what is still reported to this attempt."""
        self._events.pop(to, None)

    @property
    def is_lost(self) -> bool:
        """Whether the scheduler went away, or stopped answering. It stays so: what it was asked is forgotten."""
        self._is_lost = self._is_lost or self._client.status != "running"
        return self._is_lost

    def lost_error(self) -> MayBeRunningError:
        """Return the error of a lost cluster, the same for all images: the next run may find them."""
        what = f"the Dask cluster at {self.address} is gone, its scheduler does not answer any more"
        return MayBeRunningError(what, "start it, then run doit again: finished images are kept")

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(RuntimeError):  # its loop has ended by itself
            self._loop.call_soon_threadsafe(self._life.cancel)
        self._thread.join(ANSWER_S)

    def _begin(self, coroutine: Coroutine[Any, Any, _Answer]) -> Future[_Answer]:
        """Run a coroutine in the client's thread. Raises MayBeRunningError if the cluster is gone."""
        if not self.is_lost:
            with contextlib.suppress(RuntimeError):  # as above
                return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        coroutine.close()
        raise self.lost_error()

    async def _call_one(self, worker: str, seconds: float, *call: Any) -> Any:
        """Return what a worker answers, or SilentError. call: a function and its arguments."""
        answer = asyncio.ensure_future(self._client.run(*call, workers=[worker], on_error="return"))
        try:
            for waited_s in itertools.count(ANSWER_S, ANSWER_S):
                if (await asyncio.wait([answer], timeout=ANSWER_S))[0]:
                    return answer.result()[worker]
                if waited_s >= seconds:
                    return SilentError(f"it does not answer within {seconds:g} s")
                await asyncio.wait_for(self._client.run(int, workers=[worker], on_error="return"), ANSWER_S)
        except asyncio.TimeoutError:
            return SilentError(f"it does not answer within {ANSWER_S:g} s")
        finally:
            answer.cancel()

    def _run_loop(self, opened: Future[_Life]) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._live(opened))

    async def _live(self, opened: Future[_Life]) -> None:
        """Hold the connection from beginning to end."""
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # Dask leaves some that nobody waits for
        try:
            self._client = _create_client(self.address)
            await self._connect()
            opened.set_result((asyncio.get_running_loop(), asyncio.current_task()))
            await self._watch_workers()
        except Exception as error:
            if not opened.done():
                opened.set_exception(error)
        finally:
            if self._client is not None:
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(self._client.close(), ANSWER_S)

    async def _connect(self) -> None:
        """Check that there are workers. Raises ImagegenError if there are none, and what Dask raises."""
        await asyncio.wait_for(self._client, ANSWER_S)
        try:
            await asyncio.wait_for(self._client.wait_for_workers(1), ANSWER_S)
        except asyncio.TimeoutError:
            hint = f"start some, each on the machine that is to generate: dask worker {self.address}"
            raise ImagegenError(Problem("", f"the Dask cluster at {self.address} has no workers", hint)) from None
        self.workers = frozenset(await asyncio.wait_for(self._client.nthreads(), ANSWER_S))
        self._client.subscribe_topic(TOPIC, self._receive)

    async def _watch_workers(self) -> None:
        """See which workers there are, until the run is over or the scheduler has been silent for too long."""
        answered_s = time.monotonic()
        while not self.is_lost and time.monotonic() - answered_s < _LOST_S:
            await asyncio.sleep(LOOK_S)
            with contextlib.suppress(Exception):
                self.workers = frozenset(await asyncio.wait_for(self._client.nthreads(), _LOST_S))
                answered_s = time.monotonic()
        self._is_lost = True

    def _receive(self, event: tuple[float, Any]) -> None:
        message = event[1]
        if isinstance(message, dict) and (events := self._events.get(str(message.get("to")))):
            events.put(message)


def _create_client(address: str) -> Any:
    """Return Dask's client, not connected yet. Raises ImagegenError, and what Dask does."""
    import dask
    from distributed import Client
    from distributed.security import Security
    from distributed.versions import VersionMismatchWarning

    # what it says there is reported in one line, or does not concern a user
    for name in ("distributed", "distributed.client", "distributed.core", "distributed.comm", "distributed.batched"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    warnings.simplefilter("ignore", VersionMismatchWarning)  # what matters of it is reported in our words
    dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"})  # of reference images
    security: Any = Security()  # type: ignore[no-untyped-call]
    if address.startswith("tls:") and not security.get_connection_args("client")["ssl_context"]:
        what = f"the Dask cluster at {address} cannot be used: Dask has no certificates here"
        hint = "name the files: DASK_DISTRIBUTED__COMM__TLS__CA_FILE, …__TLS__CLIENT__CERT and …__TLS__CLIENT__KEY"
        raise ImagegenError(Problem("", what, hint))
    return Client(  # type: ignore[no-untyped-call]
        address, timeout=ANSWER_S, asynchronous=True, set_as_default=False, name="imagegen"
    )


def _explain_no_connection(address: str, error: Exception) -> Problem:
    text = str(error).partition("\n")[0]
    is_silent = isinstance(error, asyncio.TimeoutError) or "Timed out" in text or not text
    why = f"it does not answer within {ANSWER_S:g} s" if is_silent else text
    hint = "start its scheduler, or correct its address (cluster, IMAGEGEN_CLUSTER); without it: doit cluster=none"
    return Problem("", f"the Dask cluster at {address} cannot be used: {why}", hint)


def forward_events(events: queue.SimpleQueue[Mapping[str, Any]], progress: Progress) -> str:
    """Hand what workers reported to the image's progress.

    Returns the address of the last worker that began to generate, empty if none did.
    """
    began = ""
    while True:
        try:
            message = events.get_nowait()
        except queue.Empty:
            return began
        if message["name"] == "restarted":
            began = str(message["worker"])
            progress.restart_clock()
        else:
            progress.event(str(message["name"]), **message["facts"])
