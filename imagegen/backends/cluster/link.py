"""The connection to a Dask cluster. What Dask raises becomes one line here, and no question waits for ever."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import queue
import threading
import time
import warnings
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from imagegen import __version__
from imagegen.backends.base import UnsettledError
from imagegen.backends.cluster.progress import TOPIC
from imagegen.backends.cluster.worker import Member, hello
from imagegen.errors import ImagegenError, Problem

__all__ = ["ANSWER_S", "Link", "missing_package"]

ANSWER_S = 10.0
"""Seconds to connect, for the first worker to be there, and for each question that needs no work."""

_Answer = TypeVar("_Answer")


def missing_package() -> str:
    """The command that installs what is missing; empty where nothing is."""
    return "" if importlib.util.find_spec("distributed") else "pip install 'imagegen[cluster]'"


class Link:
    """One run's. members: the workers that can draw, by their address. refused: why others get no image, by theirs."""

    def __init__(self, address: str) -> None:
        """Raises ImagegenError."""
        self.address = address
        self.members: dict[str, Member] = {}
        self.refused: dict[str, str] = {}
        self._heard: dict[str, queue.SimpleQueue[Mapping[str, Any]]] = {}
        self._client = self._connected()
        try:
            self._ask(lambda: self._client.wait_for_workers(1, timeout=ANSWER_S), 2 * ANSWER_S)
            self._admit()
            self._client.subscribe_topic(TOPIC, self._told)
        except Exception as error:
            self.close()
            if "workers" in str(error):
                mend = f"start some, each where it is to draw: dask worker {address}"
                raise ImagegenError(Problem("", f"the Dask cluster at {address} has no workers", mend)) from None
            raise ImagegenError(self._absence(error)) from None

    @property
    def needs(self) -> dict[str, float]:
        """What an image asks for of a worker's resources: a GPU, where any of the cluster has that."""
        return {"GPU": 1} if any(member.gpus for member in self.members.values()) else {}

    def slots(self, each: int) -> int:
        """How many images the workers draw at a time. each: how many one worker does, at most."""
        gpus = bool(self.needs)
        of = (min(each, one.threads, int(one.gpus) if gpus else each) for one in self.members.values())
        return max(1, sum(of))

    def name(self, worker: str) -> str:
        """Of a worker, for a person."""
        return self.members[worker].name if worker in self.members else worker.partition("://")[2]

    def run(
        self, function: Callable[..., Any], *arguments: Any, workers: Collection[str], check: Callable[[], None]
    ) -> dict[str, Any]:
        """What the function returns, or raises, at each of these workers, beside their tasks. check: may raise.

        Raises UnsettledError where the cluster is gone.
        """
        try:
            found: dict[str, Any] = self._ask(
                lambda: self._client.run(function, *arguments, workers=list(workers), on_error="return"), None, check
            )
        except OSError as error:
            raise self.gone(error) from None
        return found

    def tell(self, function: Callable[..., Any], *arguments: Any, workers: Collection[str]) -> dict[str, Any]:
        """The same, waited for only a little, at those of them that are alive; empty where nobody answered."""

        def ask() -> dict[str, Any]:
            alive = [one for one in self._client.nthreads() if one in workers]  # a dead one is called for long
            found: dict[str, Any] = self._client.run(function, *arguments, workers=alive, on_error="return")
            return found

        with contextlib.suppress(Exception):
            return self._ask(ask, ANSWER_S)
        return {}

    def submit(self, function: Callable[..., Any], *arguments: Any, workers: Collection[str]) -> Any:
        """Dask's future of a task. It runs again elsewhere where its worker dies; Dask counts how often."""
        try:
            return self._client.submit(
                function, *arguments, pure=False, workers=list(workers), resources=self.needs or None
            )
        except Exception as error:  # it closes itself when its scheduler is gone
            raise self.gone(error) from None

    def listen(self, to: str) -> queue.SimpleQueue[Mapping[str, Any]]:
        """What workers tell of an attempt, from now until `forget`."""
        return self._heard.setdefault(to, queue.SimpleQueue())

    def forget(self, to: str) -> None:
        """Nobody listens any more."""
        self._heard.pop(to, None)

    def look(self) -> list[str]:
        """See which workers there are now; those that are new and can draw. Empty too where nobody answers."""
        with contextlib.suppress(Exception):  # whoever waits for an image finds out that all is over
            return self._admit()
        return []

    @property
    def is_lost(self) -> bool:
        """Whether the scheduler went away."""
        return bool(self._client.status != "running")

    def gone(self, error: object = "") -> UnsettledError:
        """What to say then: the next run may find what was being drawn."""
        why = f": {error}" if error and str(error) else ""
        what = f"the Dask cluster at {self.address} is gone, its scheduler does not answer any more{why}"
        return UnsettledError(what, "start it, then run doit again: what was made is kept")

    def close(self) -> None:
        """The run is over."""
        with contextlib.suppress(Exception):
            self._ask(self._client.close, ANSWER_S)

    def _connected(self) -> Any:
        import dask
        from distributed import Client

        # what it says there is told in one line, or is no concern of a user's
        for name in (
            "distributed",
            "distributed.client",
            "distributed.core",
            "distributed.comm",
            "distributed.batched",
        ):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"})  # of reference images
        try:
            with warnings.catch_warnings():  # that versions differ: what matters of it is told in our words
                warnings.simplefilter("ignore")
                return Client(  # type: ignore[no-untyped-call]
                    self.address, timeout=ANSWER_S, set_as_default=False, name="imagegen"
                )
        except Exception as error:  # of TLS, of another protocol
            raise ImagegenError(self._absence(error)) from None

    def _absence(self, error: Exception) -> Problem:
        text = str(error).partition("\n")[0]
        is_silent = isinstance(error, TimeoutError) or "Timed out" in text or not text
        why = f"it does not answer within {ANSWER_S:g} s" if is_silent else text
        mend = "start its scheduler, or correct its address (cluster, IMAGEGEN_CLUSTER); without it: doit cluster=none"
        return Problem("", f"the Dask cluster at {self.address} cannot be used: {why}", mend)

    def _admit(self) -> list[str]:
        """Get to know the workers that came; forget those that left, by the scheduler's word."""
        there = set(self._ask(self._client.nthreads, ANSWER_S))
        for left in self.members.keys() - there:
            del self.members[left]
        unknown = there - self.members.keys() - self.refused.keys()
        if not unknown:
            return []
        found = self._ask(lambda: self._client.get_versions(packages=["imagegen"]), ANSWER_S)
        own, theirs = found["client"]["packages"], found["workers"]
        unknown &= theirs.keys()
        self.refused |= {one: why for one in unknown if (why := _differs(own, theirs[one]["packages"]))}
        new = unknown - self.refused.keys()
        said = self._ask(lambda: self._client.run(hello, workers=list(new), on_error="return"), ANSWER_S) if new else {}
        known = {one: member for one, member in said.items() if isinstance(member, Member)}
        self.members |= known
        return list(known)

    def _told(self, event: tuple[float, Any]) -> None:
        message = event[1]
        if isinstance(message, dict) and (heard := self._heard.get(str(message.get("to")))):
            heard.put(message)

    @staticmethod
    def _ask(ask: Callable[[], _Answer], seconds: float | None, check: Callable[[], None] = lambda: None) -> _Answer:
        """What `ask` returns or raises, in a thread of its own that may be left behind. Raises TimeoutError."""
        answer: Future[_Answer] = Future()

        def work() -> None:
            try:
                answer.set_result(ask())
            except BaseException as error:  # handed on, whatever it is
                answer.set_exception(error)

        threading.Thread(target=work, name="imagegen-cluster", daemon=True).start()
        end = None if seconds is None else time.monotonic() + seconds
        while not answer.done():
            check()
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"it does not answer within {seconds:g} s")
            wait([answer], 0.1)
        return answer.result()


def _differs(own: Mapping[str, str], theirs: Mapping[str, str | None]) -> str:
    """What keeps a worker from reading what is sent, or from drawing what would be drawn here; empty for nothing."""
    if theirs.get("imagegen") is None:
        return f"imagegen is not installed there; here it is {__version__}"
    if theirs["imagegen"] != own["imagegen"]:
        return f"it has imagegen {theirs['imagegen']}; here it is {own['imagegen']}"
    here, there = (".".join(str(one["python"]).split(".")[:2]) for one in (own, theirs))
    return f"it has Python {there}; here it is {here}" if here != there else ""
