"""How far runs are, from their events: what a page shows, also one that is opened in the middle of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.report.console import plural

__all__ = ["RunProgress"]


@dataclass
class _Flight:
    """An image that is being generated, or a job that is being prepared.

    own_s: when its own time began. steps: done, of how many. waits: for what. is_arrived: it is to be put in place.
    """

    own_s: float
    expected_s: float | None = None
    steps: tuple[int, int] = (0, 0)
    waits: str = ""
    is_arrived: bool = False


class RunProgress:
    """Follows the events of the runs of one command, or of several that belong together.

    Args:
        rounds: runs over the same images that there will be.
        now_s: a clock that never goes back, in seconds.

    """

    def __init__(self, rounds: int = 1, now_s: Callable[[], float] = time.monotonic) -> None:
        self.rounds, self._now_s = rounds, now_s
        self._run, self._total = 0, 0
        self._round_s: float | None = None
        self._left: tuple[float | None, float] = (None, 0.0)
        """Seconds that are left of this run, and when that was said."""
        self._flights: dict[str, _Flight] = {}
        self._states: Counter[str] = Counter()
        self._failures: dict[str, Mapping[str, str]] = {}

    def take(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Take notice of an event, and return what it changes: see `data`."""
        name, task = event.get("event"), str(event.get("task") or event.get("job") or "")
        if "seconds_left" in event:
            self._left = (event["seconds_left"], self._now_s())
        if name == "run":
            if self._run % self.rounds == 0:
                self._total += int(event.get("total", 0)) * self.rounds
            self._run += 1
            self._round_s = event.get("seconds_left")
        elif name == "started":
            self._flights.pop(task.partition(":")[0], None)
            self._flights[task] = _Flight(self._now_s(), event.get("expected_seconds"))
        elif name == "outcome":
            self._end(task, event)
        elif name == "end":
            self._flights.clear()
        else:
            self._change(str(name), task, event)
        return {**self._overall, "task": task, "flight": self._flight_data(task)}

    def _end(self, task: str, event: Mapping[str, Any]) -> None:
        self._flights.pop(task, None)
        self._states[str(event.get("state"))] += 1
        if event.get("state") == "failed" and (problems := event.get("problems")):
            self._failures[task] = {name: problems[0][name] for name in ("what", "hint")}
        elif event.get("state") != "cancelled":
            self._failures.pop(task, None)

    def _change(self, name: str, task: str, event: Mapping[str, Any]) -> None:
        """Take notice of what happens to an image in flight, or while a job is prepared."""
        flight = self._flights.get(task)
        if name == "waiting" and flight is None and event.get("text"):
            flight = self._flights[task] = _Flight(self._now_s())
        if flight is None:
            return
        if name == "steps":
            flight.steps, flight.waits = (int(event["done"]), int(event["total"])), ""
        elif name == "waiting":
            flight.waits = str(event.get("text", ""))
            if not flight.waits and not event.get("task"):
                del self._flights[task]
        elif name == "restarted":
            flight.own_s, flight.steps = self._now_s(), (0, 0)
        elif name == "arrived":
            flight.is_arrived = True

    @property
    def _overall(self) -> dict[str, Any]:
        left, said_s = self._left
        if left is not None:
            rounds_left = -self._run % self.rounds
            left = max(0.0, left - (self._now_s() - said_s)) + rounds_left * (self._round_s or 0.0)
        done = sum(number for state, number in self._states.items() if state != "cancelled")
        return {"done": min(done, self._total), "total": self._total, "left_s": left, "states": dict(self._states)}

    def _flight_data(self, task: str) -> dict[str, Any] | None:
        flight = self._flights.get(task)
        if flight is None:
            return None
        return {
            "passed_s": self._now_s() - flight.own_s,
            "expected_s": flight.expected_s,
            "steps": flight.steps,
            "waits": flight.waits,
            "is_arrived": flight.is_arrived,
        }

    @property
    def data(self) -> dict[str, Any]:
        """As JSON values.

        `done` of `total` images; the seconds that are left, if that is known; how many images came to which state;
        what is in flight, by task or job; and why images failed, by task.
        """
        flights = {task: self._flight_data(task) for task in self._flights}
        return {**self._overall, "flights": flights, "failures": dict(self._failures)}

    @property
    def has_failures(self) -> bool:
        """Whether an image could not be built."""
        return self._states["failed"] > 0

    @property
    def summary(self) -> str:
        """What became of the images, in words; empty if there was none to build."""
        said = [f"{self._states[state]} {state}" for state in _TOLD if self._states[state]]
        if said and not self._states["failed"] and list(self._states) == ["generated"]:
            return f"{plural(self._states['generated'], 'picture')} generated"
        return ", ".join(said)


_TOLD = ("generated", "derived", "restored", "kept", "failed", "cancelled")
