"""The fake server's queue, history and the one thread that executes: all that a restart loses."""

from __future__ import annotations

import copy
import heapq
import itertools
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.backends.comfyui.fake_server.execution import Execution, Result
from tests.backends.comfyui.fake_server.nodes import Crash, catalogue, validate
from tests.backends.comfyui.fake_server.sockets import Sockets
from tests.backends.comfyui.fake_server.world import Fault, World

__all__ = [
    "Engine",
    "Job",
    "job",
    "submit",
]


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
        self._thread = threading.Thread(target=self._work, name="fake-comfyui", daemon=True)
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


def job(engine: Engine, id_: str) -> dict[str, Any] | None:
    """Its state and, where it is done, its outputs; None where there is none of this ID."""
    with engine.changed:
        if id_ in engine.history:
            return _finished(id_, engine.history[id_])
        waiting = [(engine.running, "in_progress")] if engine.running else []
        for each, status in [*waiting, *((each, "pending") for each in engine.pending)]:
            if each.id == id_:
                counts = {"outputs_count": 0, "previewable_outputs_count": 0}
                created = {"create_time": each.extra_data["create_time"]}
                return {"id": id_, "status": status, "priority": each.number, **created, **counts}
    return None


def _finished(id_: str, entry: dict[str, Any]) -> dict[str, Any]:
    number, _, graph, extra_data, _ = entry["prompt"]
    messages = dict(entry["status"]["messages"])
    last, data = entry["status"]["messages"][-1]
    failed = "cancelled" if last == "execution_interrupted" else "failed"
    images = [
        {**image, "nodeId": node, "mediaType": "images"}
        for node, output in entry["outputs"].items()
        for image in output["images"]
    ]
    found = {
        "id": id_,
        "status": "completed" if entry["status"]["completed"] else failed,
        "priority": number,
        "create_time": extra_data["create_time"],
        "execution_start_time": messages["execution_start"]["timestamp"],
        "execution_end_time": data["timestamp"],
        "execution_error": data if last == "execution_error" else None,
        "outputs_count": len(images),
        "previewable_outputs_count": len(images),
        "preview_output": next(iter(images), None),
        "outputs": entry["outputs"],
        "execution_status": entry["status"],
        "workflow": {"prompt": graph, "extra_data": extra_data},
    }
    return {name: value for name, value in found.items() if value is not None}


def submit(engine: Engine, body: Any) -> tuple[int, dict[str, Any], Job | None]:
    """The status and answer, and the job if there is one now. Raises Crash where the real server answers 500."""
    world = engine.world
    if not isinstance(body, (dict, list)):
        raise Crash("the body is neither object nor list")
    if not isinstance(body, dict) or "prompt" not in body:
        return 400, _refusal("no_prompt", "No prompt provided", "No prompt provided"), None
    number = _number(engine, body)
    id_ = body.get("prompt_id")
    if id_ is None:
        id_ = str(uuid.uuid4())
    elif world.since(0, 24) and not _canonical(id_):
        details = "prompt_id must be a UUID string in canonical lowercase hyphenated form"
        return 400, _refusal("invalid_prompt_id", "prompt_id must be a valid UUID", details), None
    graph = copy.deepcopy(body["prompt"])
    verdict = validate(graph, catalogue(world), world.folder / "input", old=not world.since(0, 4))
    extra_data = body.get("extra_data", {})
    if not isinstance(extra_data, dict):
        raise Crash("extra_data is no object")
    if verdict.error is not None:
        return 400, {"error": verdict.error, "node_errors": verdict.node_errors}, None
    extra_data = {**extra_data, **({"client_id": body["client_id"]} if "client_id" in body else {})}
    extra_data["create_time"] = int(time.time() * 1000)
    job = Job(number, id_, graph, extra_data, verdict.outputs, world.strike_prompt(graph))
    if job.struck("node errors"):
        output = verdict.outputs[0]
        missing = {"type": "required_input_missing", "message": "Required input is missing", "details": "images"}
        errors = [{**missing, "extra_info": {"input_name": "images"}}]
        entry = {"errors": errors, "dependent_outputs": [output], "class_type": graph[output]["class_type"]}
        verdict.node_errors[output] = entry
    if not engine.put(job):
        raise Crash("the queue compares two graphs")
    return 200, {"prompt_id": id_, "number": number, "node_errors": verdict.node_errors}, job


def _number(engine: Engine, body: dict[str, Any]) -> float:
    if "number" in body:
        try:
            return float(body["number"])
        except (TypeError, ValueError):
            raise Crash("number is no number") from None
    number = engine.next_number()
    return -number if body.get("front") else number


def _canonical(id_: Any) -> bool:
    try:
        return isinstance(id_, str) and str(uuid.UUID(id_)) == id_
    except ValueError:
        return False


def _refusal(type_: str, message: str, details: str) -> dict[str, Any]:
    return {"error": {"type": type_, "message": message, "details": details, "extra_info": {}}, "node_errors": {}}
