"""What happens during a run as lines of JSON for another program, among the lines that a person reads.

Each follows a record separator, as in JSON text sequences (RFC 7464), which no line for a person has in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TextIO

from imagegen.execute.events import Arrived, Event, Outcome, ProgressEvent, Started
from imagegen.plan.record import Estimate
from imagegen.report.progress import PlainReport

__all__ = ["SEPARATOR", "EventLines"]

SEPARATOR = "\x1e"


class EventLines:
    """A report that writes each event as JSON, and has another one write the lines for a person."""

    def __init__(self, stream: TextIO, report: PlainReport, total: int, expected: Mapping[str, Estimate]) -> None:
        """Write that a run begins.

        Args:
            stream: to write to.
            report: that writes the lines for a person.
            total: images that the run has to do with.
            expected: the time that generating takes, by task.

        """
        self._stream = stream
        self._report = report
        self._expected = expected
        self._write({"event": "run", "total": total})

    def on_event(self, event: Event) -> None:
        """Write the event."""
        self._write(self._fields(event))
        self._report.on_event(event)

    def stop(self) -> None:
        """Write that the run has ended."""
        self._report.stop()
        self._write({"event": "end"})

    def _fields(self, event: Event) -> dict[str, Any]:
        if isinstance(event, ProgressEvent):
            task = event.output.task if event.output else ""
            facts = {name: value for name, value in event.facts.items() if isinstance(value, str | int | float)}
            return {"event": event.name, "task": task, "job": event.job, **facts}
        task = event.output.task
        if isinstance(event, Started):
            expected = self._expected.get(task)
            return {"event": "started", "task": task, "expected_s": expected.seconds if expected else None}
        if isinstance(event, Arrived):
            return {"event": "arrived", "task": task}
        assert isinstance(event, Outcome)  # noqa: S101 - there is no other event
        problem = asdict(event.problem) if event.problem else None
        return {
            "event": "outcome",
            "task": task,
            "state": event.state,
            "seconds": event.seconds,
            "note": event.note,
            "problem": problem,
        }

    def _write(self, fields: Mapping[str, Any]) -> None:
        self._stream.write(f"{SEPARATOR}{json.dumps(fields, ensure_ascii=False)}\n")
        self._stream.flush()
