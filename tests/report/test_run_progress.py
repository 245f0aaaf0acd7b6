"""How far runs are, from their events; and what these say."""

from __future__ import annotations

import io
import json
from typing import Any

from imagegen.errors import Problem
from imagegen.execute.events import Arrived, Event, Outcome, ProgressEvent, Started
from imagegen.plan.record import Estimate
from imagegen.report.progress import PlainReport
from imagegen.report.run_events import SEPARATOR, EventLines, write_among_lines
from imagegen.report.run_progress import RunProgress
from tests.report.events import Clock, image

__all__ = []

ONE, TWO = image("one"), image("two")


def follow(*events: Event, expected: dict[str, Estimate] | None = None, total: int = 2) -> list[dict[str, Any]]:
    """The events as a run writes them for another program."""
    stream = io.StringIO()
    lines = EventLines(write_among_lines(stream), PlainReport(lambda _: None), total, expected or {})
    for event in events:
        lines.on_event(event)
    lines.stop()
    return [json.loads(line[1:]) for line in stream.getvalue().split("\n") if line.startswith(SEPARATOR)]


def test_it_knows_what_is_in_flight_and_how_far_all_is() -> None:
    clock = Clock()
    progress = RunProgress(now_s=clock)
    estimates = {ONE.task: Estimate(30.0, "b", 1), TWO.task: Estimate(30.0, "b", 1)}
    events = follow(
        ProgressEvent(None, "waiting", {"text": "loading the model"}, ONE.job),
        Started(ONE),
        ProgressEvent(ONE, "steps", {"done": 3, "total": 20}),
        ProgressEvent(ONE, "waiting", {"text": "for the server"}),
        Arrived(ONE),
        Outcome(ONE, "generated", seconds=2.0),
        Outcome(TWO, "failed", problem=Problem(TWO.task, "out of memory", "use a smaller size")),
        expected=estimates,
    )
    run, waiting, started, steps, waits, arrived, done, failed, end = events
    assert progress.take(run)["left_s"] == 60.0
    assert progress.take(waiting)["flight"]["waits"] == "loading the model"
    assert list(progress.data["flights"]) == [ONE.job]
    clock.now += 1
    assert progress.take(started)["flight"]["expected_s"] == 30.0
    assert list(progress.data["flights"]) == [ONE.task], "the job is prepared"
    clock.now += 9
    assert progress.take(steps)["flight"] == {
        "passed_s": 9.0,
        "expected_s": 30.0,
        "steps": (3, 20),
        "waits": "",
        "is_arrived": False,
    }
    assert progress.data["left_s"] == 50.0, "it goes on without an event"
    assert progress.take(waits)["flight"]["waits"] == "for the server"
    assert progress.take(arrived)["flight"]["is_arrived"]
    assert progress.take(done)["flight"] is None
    progress.take(failed)
    progress.take(end)
    assert (progress.data["done"], progress.data["total"], progress.data["flights"]) == (2, 2, {})
    assert progress.data["failures"] == {TWO.task: {"what": "out of memory", "hint": "use a smaller size"}}
    assert progress.summary == "1 generated, 1 failed"


def test_of_a_restarted_image_only_its_own_time_counts() -> None:
    clock = Clock()
    progress = RunProgress(now_s=clock)
    run, started, restarted, *_ = follow(Started(ONE), ProgressEvent(ONE, "restarted", {}))
    progress.take(run)
    progress.take(started)
    clock.now += 50
    progress.take(restarted)
    clock.now += 2
    assert progress.data["flights"][ONE.task]["passed_s"] == 2.0


def test_several_rounds_are_one_whole() -> None:
    progress = RunProgress(rounds=3, now_s=Clock())
    estimates = {ONE.task: Estimate(10.0, "b", 1)}
    events = follow(Started(ONE), Outcome(ONE, "generated", seconds=10.0), total=1, expected=estimates)
    assert [progress.take(event)["left_s"] for event in events[:1]] == [30.0]
    for event in events[1:]:
        progress.take(event)
    assert (progress.data["done"], progress.data["total"]) == (1, 3)
    for event in [*events, *events]:
        progress.take(event)
    assert (progress.data["done"], progress.data["total"], progress.summary) == (3, 3, "3 pictures generated")


def test_an_event_of_a_later_release_does_no_harm() -> None:
    progress = RunProgress()
    progress.take({"event": "thought", "task": "portraits:one", "depth": [1, 2]})
    progress.take({"event": "steps", "task": "portraits:one", "done": 1, "total": 2})
    assert (progress.data["flights"], progress.summary) == ({}, "")
