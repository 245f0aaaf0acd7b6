"""What `/api/jobs/{id}` says of a job, wherever it is."""

from __future__ import annotations

from typing import Any

from imagegen.backends.comfyui.standin.engine import Engine

__all__ = ["job"]


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
