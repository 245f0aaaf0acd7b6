"""How far a run is, from its events: a number that only grows, as MCP wants it, of a total."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.report.console import plural

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
        self._ended = 0
        self._total = 0
        self._parts: dict[str, float] = {}
        self._said = -1.0

    def take(self, event: Mapping[str, Any]) -> Step | None:
        """Take notice of an event. Return what there is to say; None if that is nothing new."""
        kind, task = event.get("event"), str(event.get("task", ""))
        text = str(event.get("text") or "")
        if kind == "run":  # a command may have several, one after another
            coming = int(event.get("total") or 0)
            self._total = self._ended + coming
            text = f"{plural(coming, 'image')} to build"
        elif kind == "outcome":
            self._ended += 1
            self._parts.pop(task, None)
            text = f"{event.get('state')} {task}"
        elif kind == "steps" and event.get("total"):
            done, total = float(event["done"]), float(event["total"])
            self._parts[task] = min(done / total, 1.0)
            text = f"{task}: {done:g} of {total:g} steps"
        elif not text:
            return None
        done = self._ended + sum(self._parts.values())
        if done <= self._said and not (text and kind != "steps"):
            return None
        # each has to be greater than the one before, also where only its text is new
        self._said = done if done > self._said else self._said + 1e-6
        return Step(self._said, max(self._total, self._said) if self._total else None, text)
