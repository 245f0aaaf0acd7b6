"""The lines of a run for another program: each is as its class says, and so as the schema does."""

from __future__ import annotations

from typing import Any

import pytest

from imagegen.errors import Problem
from imagegen.execute.events import Event, Outcome, ProgressEvent
from imagegen.report.event_types import EVENTS
from imagegen.report.json_output import as_data
from imagegen.report.run_events import EventLines
from tests.report.events import arrived, happened, image, started
from tests.valid_results import check_events

WRONG = Problem("jobs/j.yaml:3:5", "out of memory", "use a smaller size")


def write(*events: Event) -> list[dict[str, Any]]:
    """Return what is written of a run."""
    found: list[dict[str, Any]] = []
    lines = EventLines(lambda fields: found.append(as_data(fields)), None, 2, {})
    for event in events:
        lines.on_event(event)
    lines.stop()
    return found


def test_every_event_of_a_run_is_as_the_schema_says() -> None:
    said = write(
        ProgressEvent(None, "waiting", {"text": "loading the model"}, "j"),
        ProgressEvent(None, "note", {"text": "a server is left out"}),
        started("a"),
        happened("a", "steps", done=3, total=20),
        happened("a", "waiting", text="for the server"),
        happened("a", "restarted"),
        happened("a", "note", text="again"),
        arrived("a"),
        Outcome(image("a"), "generated", seconds=2.0),
        Outcome(image("b"), "failed", problem=WRONG, also=(WRONG,), failure="preflight"),
    )
    check_events(said)
    of_commands = {"progress", "serving", "watching", "edit", "built"}
    assert {one["event"] for one in said} == {*EVENTS} - of_commands
    failed = next(one for one in said if one.get("state") == "failed")
    assert [(one["file"], one["line"]) for one in failed["problems"]] == [("jobs/j.yaml", 3)] * 2
    assert failed["failure"] == "preflight"


@pytest.mark.parametrize("facts", [{"text": 3, "event": "end", "task": "other"}, {}])
def test_what_a_backend_reports_cannot_change_the_fields(facts: dict[str, Any]) -> None:
    said = write(ProgressEvent(image("a"), "note", facts), ProgressEvent(image("a"), "its own", facts))
    check_events(said)
    assert [(one["event"], one.get("task")) for one in said] == [
        ("run", None),
        ("note", image("a").task),
        ("end", None),
    ]
