from __future__ import annotations

import re

import pytest

from imagegen.execute.events import Event
from imagegen.report.progress import PlainReport, is_ci
from tests.report.events import Clock, happened, outcome, prepares, started

TIME = re.compile(r"^\d\d:\d\d:\d\d  ")


class RecordedReport:
    """A report, its clock, and the lines that it printed so far."""

    def __init__(self, *, timed: bool = False, quiet: bool = False) -> None:
        self.lines: list[str] = []
        self.clock = Clock()
        self.report = PlainReport(self.lines.append, timed=timed, quiet=quiet, now_s=self.clock)

    def of(self, *events: Event, after_s: float = 0.0) -> list[str]:
        """What these say, each so many seconds after the one before."""
        count = len(self.lines)
        for event in events:
            self.clock.now += after_s
            self.report.on_event(event)
        return self.lines[count:]


def test_in_a_pipe_there_is_a_line_an_outcome_and_a_line_a_note() -> None:
    message = RecordedReport()
    events: list[Event] = [
        started("a"),
        happened("a", "waiting", text="the model"),
        happened("a", "note", text="hear"),
        outcome("a"),
    ]
    assert message.of(*events, outcome("b", "fresh")) == ["j:a: hear", "generated  j:a  assets/j/a.png  2.0 s"]


def test_a_run_that_was_silent_for_long_says_what_goes_on() -> None:
    message = RecordedReport()
    message.of(started("a"))
    assert message.of(happened("a", "steps", done=1, total=9), after_s=29) == []
    (line,) = message.of(happened("a", "steps", done=2, total=9), after_s=2)
    assert TIME.match(line)
    assert TIME.sub("", line) == "j:a  2/9 steps  0:31"
    assert message.of(happened("a", "steps", done=3, total=9), after_s=5) == []
    (line,) = message.of(prepares("k", "pulling m ━━╌╌ 26 %, 3.1 GB of 12 GB"), after_s=31)
    assert TIME.sub("", line) == "k  pulling m 26 %, 3.1 GB of 12 GB  0:00"


def test_timed_each_event_has_its_line_but_steps_have_none() -> None:
    message = RecordedReport(timed=True)
    lines = message.of(started("a"), happened("a", "steps", done=1, total=2), outcome("a"))
    assert all(TIME.match(line) for line in lines)
    assert [TIME.sub("", line) for line in lines] == [
        "started    j:a  assets/j/a.png",
        "generated  j:a  assets/j/a.png  2.0 s",
    ]


def test_timed_a_wait_is_told_when_it_begins_and_once_a_minute() -> None:
    message = RecordedReport(timed=True)
    begun = message.of(*(prepares("k", f"pulling m ━╌ {percent} %") for percent in (1, 2, 3)), after_s=10)
    assert [TIME.sub("", line) for line in begun] == ["waiting    k  pulling m 1 %"]
    assert len(message.of(prepares("k", "pulling m 60 %"), after_s=50)) == 1
    assert message.of(prepares("k", "")) == []
    assert len(message.of(prepares("k", "pulling m 1 %"))) == 1, "it is another one"
    assert len(message.of(prepares("k", "starting Ollama … 3 s"))) == 1


def test_quiet_only_failures_are_told() -> None:
    for timed in (False, True):
        message = RecordedReport(timed=timed, quiet=True)
        events: list[Event] = [started("a"), happened("a", "note", text="hear"), outcome("b"), outcome("a", "failed")]
        assert len(message.of(*events, after_s=60)) == 1


@pytest.mark.parametrize(
    ("value", "is_one"), [("true", True), ("1", True), ("woodpecker", True), ("false", False), ("", False)]
)
def test_ci_is_told_by_its_variable(value: str, is_one: bool) -> None:
    assert is_ci({"CI": value}) is is_one
    assert not is_ci({})
