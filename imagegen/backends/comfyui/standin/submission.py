"""POST /prompt: what is refused, what is queued, and which answer that gets."""

from __future__ import annotations

import copy
import time
import uuid
from typing import Any

from imagegen.backends.comfyui.standin.engine import Engine, Job
from imagegen.backends.comfyui.standin.nodes import catalogue
from imagegen.backends.comfyui.standin.validation import Crash, validate

__all__ = ["submit"]


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
