"""What shows a run: plain lines, or `report.live` on a terminal that a person watches; and what is in flight."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from imagegen.errors import printable
from imagegen.execute.events import Arrived, Event, Outcome, ProgressEvent, Started
from imagegen.report.console import note_line, shown_line
from imagegen.report.json_output import json_output
from imagegen.state.mutex import ASKS

if TYPE_CHECKING:
    from imagegen.plan.record import Estimate
    from imagegen.report.live import LiveReport
    from imagegen.report.run_events import EventLines
    from imagegen.report.run_summary import FindPlace

__all__ = [
    "Flight",
    "InFlight",
    "PlainReport",
    "clock",
    "follow_run",
    "is_ci",
]

_SILENT_S = 30.0
"""Seconds after which a run that prints nothing says what goes on; a wait under CI is repeated after twice that."""
_BAR = re.compile(r"\s*[━╌]+\s*")


def follow_run(
    stream: TextIO,
    environment: Mapping[str, str],
    total: int,
    expected: Mapping[str, Estimate],
    *,
    quiet: bool = False,
    line_of: Callable[[Outcome], str] = shown_line,
    find_place: FindPlace | None = None,
) -> LiveReport | PlainReport | EventLines:
    """Return what each event of a run goes to, and what is stopped at its end.

    Args:
        stream: to write to.
        environment: says whether this is continuous integration, and whether a page wants the events besides.
        total: images that the run has to do with; with none there is nothing to watch.
        expected: the time that generating takes, by task.
        quiet: only failures are printed.
        line_of: the line of an outcome, empty for none.
        find_place: finds where each image comes from, if a program asks.

    """
    if output := json_output():
        from imagegen.report.run_events import EventLines

        return EventLines(output.write, None, total, expected, find_place)
    in_ci = is_ci(environment)
    if total and not (quiet or in_ci or ASKS in environment) and stream.isatty():
        from imagegen.report.live import LiveReport

        return LiveReport(stream, total, expected, line_of)

    def write(line: str) -> None:
        stream.write(f"{line}\n")
        stream.flush()

    report = PlainReport(write, quiet=quiet, timed=in_ci, line_of=line_of)
    if ASKS in environment:
        from imagegen.report.run_events import EventLines, write_among_lines

        return EventLines(write_among_lines(stream), report, total, expected)
    return report


def is_ci(environment: Mapping[str, str]) -> bool:
    """Whether this is continuous integration: all services that are widely used set CI."""
    return environment.get("CI", "").lower() not in ("", "0", "false")


class PlainReport:
    """A run as lines without control sequences."""

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        quiet: bool = False,
        timed: bool = False,
        line_of: Callable[[Outcome], str] = shown_line,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to follow a run.

        Args:
            write: takes a line.
            quiet: whether only failures are written.
            timed: whether there is one line per event, each with the time of day, steps left out; else there is one
                per outcome, and one with the time now and then while a run is silent for long.
            line_of: the line of an outcome, empty for none.
            now_s: a clock that never goes back, in seconds.

        """
        self._write_line = write
        self._quiet = quiet
        self._timed = timed
        self._line_of = line_of
        self._now_s = now_s
        self._in_flight = InFlight(now_s)
        self._waits: dict[str, tuple[str, float]] = {}
        """By flight, the wait that was written last, and when."""
        self._written_s = now_s()

    def on_event(self, event: Event) -> None:
        """Write what there is to say of an event."""
        flight = self._in_flight.on_event(event)
        self._waits = {name: wait for name, wait in self._waits.items() if name in self._in_flight.flights}
        if isinstance(event, Outcome):
            if (line := self._line_of(event)) and (not self._quiet or event.state == "failed"):
                self._write(line)
        elif self._quiet:
            return
        elif isinstance(event, ProgressEvent) and event.name == "note":
            self._write(note_line(event))
        elif self._timed:
            self._write_begin(event, flight)
        elif flight and self._now_s() - self._written_s > _SILENT_S:
            state = flight.waits or (f"{flight.done}/{flight.total} steps" if flight.total else "at work")
            self._write(f"{flight.name}  {state}  {clock(self._now_s() - flight.since_s)}", timed=True)

    def stop(self) -> None:
        """Do nothing: every line stays."""

    def _write_begin(self, event: Event, flight: Flight | None) -> None:
        """Write that an image begins, or a wait."""
        if isinstance(event, Started):
            self._write(f"{'started':<10} {event.output.task}  {event.output.path}")
        elif flight and flight.waits:
            before, when_s = self._waits.get(flight.name, ("", 0.0))
            if flight.wait != before or self._now_s() - when_s > 2 * _SILENT_S:
                self._waits[flight.name] = (flight.wait, self._now_s())
                self._write(f"{'waiting':<10} {flight.name}  {flight.waits}")
        elif flight:
            self._waits.pop(flight.name, None)

    def _write(self, line: str, *, timed: bool = False) -> None:
        self._written_s = self._now_s()
        self._write_line(f"{time.strftime('%H:%M:%S')}  {line}" if timed or self._timed else line)


@dataclass
class Flight:
    """An image that is being generated, or a job that is being prepared.

    Attributes:
        name: the image's task, or the job.
        since_s: when it began, by the clock of `InFlight`.
        own_s: when its own time began, which is later if others were waited for.
        done: steps.
        total: of so many; 0 before the first.
        waits: what it waits for, and how far that is.

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
    """What is going on in a run at this moment."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self.now_s = now_s
        self.flights: dict[str, Flight] = {}
        """By name, in the order in which they began."""
        self.arrived: set[str] = set()
        """Tasks of the images that have been generated, and are not in place yet."""

    def on_event(self, event: Event) -> Flight | None:
        """Take notice of an event. Returns the flight that it is about, if that is still going on."""
        if isinstance(event, ProgressEvent):
            return self._on_happened(event)
        output = event.output
        self.flights.pop(output.job, None)  # it is prepared, if it was to be
        if isinstance(event, Started):
            self.flights[output.task] = Flight(output.task, self.now_s(), self.now_s())
            return self.flights[output.task]
        self.flights.pop(output.task, None)
        if isinstance(event, Arrived):
            self.arrived.add(output.task)
        else:
            self.arrived.discard(output.task)
        return None

    def _on_happened(self, event: ProgressEvent) -> Flight | None:
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
    """Return `0:34`, `1:02:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
