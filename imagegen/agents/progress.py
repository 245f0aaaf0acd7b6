"""How far a run is, from its events: a number that only grows, as MCP wants it, of a total."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.report.console import plural
from imagegen.report.run_progress import RunProgress

__all__ = ["Progress", "Step"]


@dataclass(frozen=True)
class Step:
    """What a client is sent. total: None if it is not known."""

    done: float
    total: float | None
    text: str


class Progress:
    """Of one call. Images are counted as they end, and an image by its steps before."""

    def __init__(self) -> None:
        self._run = RunProgress()
        self._said = -1.0

    def take(self, event: Mapping[str, Any]) -> Step | None:
        """Take notice of an event. Return what there is to say; None if that is nothing new."""
        self._run.take(event)
        kind, task = event.get("event"), str(event.get("task", ""))
        text = str(event.get("text") or "")
        if kind == "run":
            text = f"{plural(int(event.get('total') or 0), 'image')} to build"
        elif kind == "outcome":
            text = f"{event.get('state')} {task}"
        elif kind == "steps" and event.get("total"):
            text = f"{task}: {event['done']:g} of {event['total']:g} steps"
        elif not text:
            return None
        data = self._run.data
        steps = (flight["steps"] for flight in data["flights"].values())
        done = data["done"] + sum(min(part / whole, 1.0) for part, whole in steps if whole)
        if done <= self._said and not (text and kind != "steps"):
            return None
        # each has to be greater than the one before, also where only its text is new
        self._said = done if done > self._said else self._said + 1e-6
        return Step(self._said, max(data["total"], self._said) or None, text)
