"""What happens during a run as lines of JSON for another program: alone (`--json`), or among the lines for a person.

There, each follows a record separator, as in JSON text sequences (RFC 7464), which no line for a person has in it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from imagegen.execute.events import Arrived, Event, Outcome, ProgressEvent, Started
from imagegen.plan.record import Estimate
from imagegen.report.event_types import (
    ImageArrived,
    ImageOutcomeEvent,
    ImageStarted,
    ImageSteps,
    ImageText,
    ImageTimeRestarted,
    RunBegun,
    RunEnded,
    event_data,
)
from imagegen.report.json_output import as_data
from imagegen.report.progress import InFlight, PlainReport
from imagegen.report.run_summary import FindPlace, summarise_images

__all__ = ["SEPARATOR", "EventLines", "write_among_lines"]

SEPARATOR = "\x1e"
_EVERY_S = 0.5
"""Seconds between two estimates of the time that is left."""


class EventLines:
    """A report that writes each event as JSON, and has another one write the lines for a person."""

    def __init__(
        self,
        write: Callable[[Mapping[str, Any]], None],
        report: PlainReport | None,
        total: int,
        expected: Mapping[str, Estimate],
        find_place: FindPlace | None = None,
    ) -> None:
        """Write that a run begins.

        Args:
            write: takes an event.
            report: that writes the lines for a person, if there are to be any.
            total: images that the run has to do with.
            expected: the time that generating takes, by task.
            find_place: finds where each image comes from, if a program asks.

        """
        self._write = write
        self._report = report
        self._find_place = find_place
        from imagegen.report.live import Remaining  # it loads rich

        self._expected = expected
        self._remaining = Remaining(expected)
        self._in_flight = InFlight()
        self._said_s = self._in_flight.now_s()
        self._write(event_data("run", RunBegun(total=total, seconds_left=_round(self._remaining.seconds({})))))

    def on_event(self, event: Event) -> None:
        """Write the event."""
        self._in_flight.on_event(event)
        if isinstance(event, Outcome):
            self._remaining.take_off(event)
        if said := self._fields(event):
            self._write(said)
        if self._report:
            self._report.on_event(event)

    def stop(self) -> None:
        """Write that the run has ended."""
        if self._report:
            self._report.stop()
        self._write(event_data("end", RunEnded()))

    def _left(self) -> float | None:
        """Return the seconds that are left, now and then: with thousands of images, that takes milliseconds."""
        now_s = self._in_flight.now_s()
        if now_s - self._said_s < _EVERY_S:
            return None
        self._said_s = now_s
        flights = self._in_flight.flights.values()
        passed = {
            **{one.name: now_s - one.own_s for one in flights},
            **dict.fromkeys(self._in_flight.arrived, math.inf),
        }
        return _round(self._remaining.seconds(passed))

    def _fields(self, event: Event) -> dict[str, Any]:
        """Return what is written of an event; nothing of one that only a backend understands."""
        left = self._left()
        if isinstance(event, ProgressEvent):
            return _progress_fields(event, left)
        task = event.output.task
        if isinstance(event, Started):
            expected = self._expected.get(task)
            seconds = _round(expected.seconds) if expected else None
            return event_data("started", ImageStarted(task=task, expected_seconds=seconds, seconds_left=left))
        if isinstance(event, Arrived):
            return event_data("arrived", ImageArrived(task=task, seconds_left=left))
        (outcome,) = summarise_images([event], self._find_place, with_fresh=True)
        return event_data("outcome", ImageOutcomeEvent(**vars(outcome), seconds_left=left))


def _progress_fields(event: ProgressEvent, left: float | None) -> dict[str, Any]:
    task, facts = event.output.task if event.output else "", event.facts
    if event.name == "steps":
        done, total = facts.get("done", 0), facts.get("total", 0)
        return event_data("steps", ImageSteps(task=task, job=event.job, done=done, total=total, seconds_left=left))
    if event.name in ("waiting", "note"):
        text = str(facts.get("text", ""))
        return event_data(event.name, ImageText(task=task, job=event.job, text=text, seconds_left=left))
    if event.name == "restarted":
        return event_data("restarted", ImageTimeRestarted(task=task, job=event.job, seconds_left=left))
    return {}


def _round(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def write_among_lines(stream: TextIO) -> Callable[[Mapping[str, Any]], None]:
    """Return what writes an event to a stream that has lines for a person too."""

    def write(fields: Mapping[str, Any]) -> None:
        stream.write(f"{SEPARATOR}{json.dumps(as_data(fields), ensure_ascii=False)}\n")
        stream.flush()

    return write
