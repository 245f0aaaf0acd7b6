"""Events of a run, for what shows them."""

from __future__ import annotations

from typing import Any

from imagegen.config.job import Encoding
from imagegen.execute.events import Arrived, Outcome, OutcomeState, ProgressEvent, Started
from imagegen.plan.output import Output
from imagegen.plan.request import Request

__all__ = ["Clock", "arrived", "happened", "image", "outcome", "prepares", "started"]


class Clock:
    """Goes where a test puts it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def image(name: str, job: str = "j") -> Output:
    path = f"assets/{job}/{name}.png"
    return Output(job, name, path, Request("b", name, "p"), frozenset(), Encoding(), "own", 600, "f")


def started(name: str) -> Started:
    return Started(image(name))


def arrived(name: str) -> Arrived:
    return Arrived(image(name))


def happened(of: str, event: str, **facts: Any) -> ProgressEvent:
    return ProgressEvent(image(of), event, facts)


def prepares(job: str, text: str) -> ProgressEvent:
    return ProgressEvent(None, "waiting", {"text": text}, job)


def outcome(name: str, state: OutcomeState = "generated") -> Outcome:
    return Outcome(image(name), state, seconds=2.0)
