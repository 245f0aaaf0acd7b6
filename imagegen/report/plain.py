"""A run as plain lines: where there is no terminal, and in CI, where each line has its time. No control sequences."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from imagegen.execute.events import Event, Happened, Outcome, Started
from imagegen.report.console import note_line, shown_line
from imagegen.report.in_flight import Flight, InFlight, clock

__all__ = ["PlainReport", "is_ci"]

SILENT_S = 30.0
"""Seconds after which a run that says nothing says what goes on; a wait under CI is said again after twice that."""


def is_ci(environment: Mapping[str, str]) -> bool:
    """Whether this is a run of continuous integration: all of its services that are widely used set CI."""
    return environment.get("CI", "").lower() not in ("", "0", "false")


class PlainReport:
    """say: takes a line. quiet: says failures only. line_of: what is said of an outcome, empty for nothing.

    timed: a line an event, each with the time of day; steps are not shown. Not timed, there is a line an outcome, and
    one with the time now and then while a run is silent for long.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        *,
        quiet: bool = False,
        timed: bool = False,
        line_of: Callable[[Outcome], str] = shown_line,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = say
        self._quiet = quiet
        self._timed = timed
        self._line_of = line_of
        self._now_s = now_s
        self._in_flight = InFlight(now_s)
        self._waits: dict[str, tuple[str, float]] = {}
        """By flight, the wait that was told last, and when."""
        self._said_s = now_s()

    def tell(self, event: Event) -> None:
        """Something happened."""
        flight = self._in_flight.tell(event)
        self._waits = {name: told for name, told in self._waits.items() if name in self._in_flight.flights}
        if isinstance(event, Outcome):
            if (line := self._line_of(event)) and (not self._quiet or event.state == "failed"):
                self._say(line)
        elif self._quiet:
            return
        elif isinstance(event, Happened) and event.name == "note":
            self._say(note_line(event))
        elif self._timed:
            self._tell(event, flight)
        elif flight and self._now_s() - self._said_s > SILENT_S:
            self._say(self._going_on(flight), timed=True)

    def stop(self) -> None:
        """Nothing is left behind."""

    def _tell(self, event: Event, flight: Flight | None) -> None:
        """The start of an image, and of what it waits for."""
        if isinstance(event, Started):
            self._say(f"{'started':<10} {event.output.task}  {event.output.path}")
        elif flight and flight.waits:
            told, when_s = self._waits.get(flight.name, ("", 0.0))
            if flight.wait != told or self._now_s() - when_s > 2 * SILENT_S:
                self._waits[flight.name] = (flight.wait, self._now_s())
                self._say(f"{'waiting':<10} {flight.name}  {flight.waits}")
        elif flight:
            self._waits.pop(flight.name, None)

    def _going_on(self, flight: Flight) -> str:
        state = flight.waits or (f"{flight.done}/{flight.total} steps" if flight.total else "at work")
        return f"{flight.name}  {state}  {clock(self._now_s() - flight.since_s)}"

    def _say(self, line: str, *, timed: bool = False) -> None:
        self._said_s = self._now_s()
        self._write(f"{time.strftime('%H:%M:%S')}  {line}" if timed or self._timed else line)
