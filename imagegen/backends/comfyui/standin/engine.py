"""The stand-in's queue, history and the one thread that executes: all that a restart loses."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from imagegen.backends.comfyui.standin.execution import Execution, Result
from imagegen.backends.comfyui.standin.sockets import Sockets
from imagegen.backends.comfyui.standin.world import Fault, World

__all__ = ["Engine", "Job"]


@dataclass(order=True)
class Job:
    """A prompt that was accepted. Lowest number first, then by ID."""

    number: float
    id: str
    graph: dict[str, Any] = field(compare=False)
    extra_data: dict[str, Any] = field(compare=False)
    outputs: list[str] = field(compare=False)
    fault: Fault | None = field(compare=False, default=None)

    @property
    def entry(self) -> list[Any]:
        """As queue and history show it."""
        return [self.number, self.id, self.graph, self.extra_data, self.outputs]

    def struck(self, kind: str) -> bool:
        """Whether it has this fault."""
        return self.fault is not None and self.fault.kind == kind


class Engine:
    """One life of the server. `changed` guards queue and history."""

    def __init__(self, world: World, sockets: Sockets) -> None:
        self.world, self.sockets = world, sockets
        self.changed = threading.Condition(threading.RLock())
        self.pending: list[Job] = []
        self.running: Job | None = None
        self.history: dict[str, dict[str, Any]] = {}
        self.pages: set[tuple[str, str]] = set()
        self._cache: dict[str, Result] = {}
        self._numbers = itertools.count()
        self._interrupt = threading.Event()
        self._free = False
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="stand-in", daemon=True)
        self._thread.start()

    def next_number(self) -> int:
        """How many prompts came before."""
        return next(self._numbers)

    def put(self, job: Job) -> bool:
        """Queue it; False where one of the same number and ID was there, which is queued all the same."""
        with self.changed:
            alone = not any((job.number, job.id) == (other.number, other.id) for other in self.pending)
            heapq.heappush(self.pending, job)
            self.changed.notify_all()
        self._status()
        return alone

    def remaining(self) -> dict[str, Any]:
        """The status that sockets and GET /prompt tell."""
        with self.changed:
            return {"exec_info": {"queue_remaining": len(self.pending) + (self.running is not None)}}

    def delete(self, ids: set[str] | None) -> bool:
        """Take these (None: all) off the queue, where they have not begun; whether there were any."""
        with self.changed:
            kept = [] if ids is None else [job for job in self.pending if job.id not in ids]
            deleted = len(kept) != len(self.pending)
            self.pending = kept
            heapq.heapify(self.pending)
        if deleted:
            self._status()
        return deleted

    def interrupt(self, id_: str | None) -> bool:
        """Stop what runs if it is this one (None: whatever it is); whether it is."""
        with self.changed:
            hit = self.running is not None and id_ in (None, self.running.id)
            if hit:
                self._interrupt.set()
            return hit

    def free(self) -> None:
        """Forget what is cached, as soon as nothing runs."""
        with self.changed:
            self._free = True
            self.changed.notify_all()

    def stop(self) -> None:
        """End at once, whatever runs."""
        with self.changed:
            self._stopping = True
            self._interrupt.set()
            self.changed.notify_all()
        self._thread.join()

    def _status(self) -> None:
        self.sockets.send("status", {"status": self.remaining()}, None)

    def _work(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.pending or self._free or self._stopping)
                if self._stopping:
                    return
                job = self.running = heapq.heappop(self.pending) if self.pending else None
                self._interrupt.clear()
            if job:
                self._run(job)
            with self.changed:
                if self._free:
                    self._cache.clear()
                    self._free = False

    def _run(self, job: Job) -> None:
        self._status()
        if job.struck("lost"):
            with self.changed:
                self.running = None
            self._status()
            return
        with self.world.mutex:
            self.world.executions.append(job.id)
        client_id = job.extra_data.get("client_id")
        execution = Execution(self.world, self.sockets, self._interrupt, self._cache)
        outcome = execution.run(job.id, job.graph, job.outputs, job.extra_data, job.fault)
        if outcome.page:
            self.pages |= {(image["filename"], image["subfolder"]) for image in outcome.images}
        time.sleep(0 if self._stopping else self.world.history_delay)
        with self.changed:
            if self._stopping:
                return
            self.history.pop(job.id, None)
            self.history[job.id] = {"prompt": job.entry, **outcome.entry}
            self.running = None
        self._status()
        if client_id is not None:
            self.sockets.send("executing", {"node": None, "prompt_id": job.id}, client_id)
