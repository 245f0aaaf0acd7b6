"""What goes on in a run at this moment: the images that are being made, and the jobs that are being prepared."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from imagegen.execute.events import Event, Happened, Started
from imagegen.report.console import printable

__all__ = ["Flight", "InFlight", "clock"]

_BAR = re.compile(r"\s*[━╌]+\s*")


@dataclass
class Flight:
    """name: an image's task, or the job that is being prepared. since_s: when it began, by the clock of `InFlight`.

    own_s: when its own time began, which is later where others were waited for. done, total: steps, 0 of 0 before the
    first. waits: what it waits for, and how far that is.
    """

    name: str
    since_s: float
    own_s: float
    done: int = 0
    total: int = 0
    waits: str = ""

    @property
    def wait(self) -> str:
        """What it waits for, without how far that is: its first words."""
        return " ".join(self.waits.split()[:2])


class InFlight:
    """Follows the events of a run. now_s: a clock that never goes back, in seconds."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self.now_s = now_s
        self.flights: dict[str, Flight] = {}
        """By name, in the order in which they began."""

    def tell(self, event: Event) -> Flight | None:
        """Something happened; the flight that it is about, if it is still going on."""
        if isinstance(event, Happened):
            return self._happened(event)
        output = event.output
        self.flights.pop(output.job, None)  # it is prepared, if it was to be
        if isinstance(event, Started):
            self.flights[output.task] = Flight(output.task, self.now_s(), self.now_s())
            return self.flights[output.task]
        self.flights.pop(output.task, None)
        return None

    def _happened(self, event: Happened) -> Flight | None:
        name = event.output.task if event.output else event.job
        text = ""
        if event.name == "waiting":
            # how far it is, is said in numbers too
            text = printable(_BAR.sub(" ", str(event.facts.get("text", "")))).strip()
        if event.output is None and text:
            self.flights.setdefault(name, Flight(name, self.now_s(), self.now_s()))
        elif event.output is None and event.name == "waiting":
            self.flights.pop(name, None)
        flight = self.flights.get(name)
        if flight and event.name == "restarted":
            flight.own_s = self.now_s()
        if flight is None or event.name not in ("steps", "waiting"):
            return flight
        flight.waits = text
        if event.name == "steps":
            flight.done, flight.total = event.facts["done"], event.facts["total"]
        return flight


def clock(seconds: float) -> str:
    """`0:34`, `1:02:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
