from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len

from imagegen.plan.record import Estimate
from imagegen.report.live import LiveReport, Remaining, flight_lines
from imagegen.report.progress import InFlight, clock
from tests.report.events import Clock, arrived, happened, outcome, prepares, started

LONG = "mallsing-of-the-long-and-winding-northern-river-valley"


class Terminal(io.StringIO):
    """Takes control sequences."""

    def isatty(self) -> bool:
        return True


def shown(flights: InFlight, now_s: float = 34.0, width: int = 80, most: int = 16) -> list[str]:
    return [line.plain for line in flight_lines(list(flights.flights.values()), now_s, width, most)]


def test_each_image_has_a_line_with_its_steps_or_its_wait_and_its_time() -> None:
    flights = InFlight(Clock())
    flights.on_event(started("a"))
    flights.on_event(started("bird"))
    flights.on_event(happened("a", "steps", done=12, total=24))
    flights.on_event(happened("bird", "waiting", text="loading the model"))
    flights.on_event(prepares("k", "pulling m ━━╌╌ 26 %, 3.1 GB of 12 GB"))
    assert [" ".join(line.split()) for line in shown(flights)] == [
        "j:a ━━━━━━╌╌╌╌╌╌ 12/24 0:34",
        "j:bird loading the model 0:34",
        "k pulling m 26 %, 3.1 GB of 12 GB 0:34",
    ]


@pytest.mark.parametrize("width", [80, 50, 30, 12])
def test_eight_in_flight_with_long_names_fit_the_width_and_can_be_told_apart(width: int) -> None:
    flights = InFlight(Clock())
    for number in range(8):
        flights.on_event(started(f"{LONG}-v{number}"))
        flights.on_event(happened(f"{LONG}-v{number}", "steps", done=number, total=100))
    lines = shown(flights, width=width)
    assert len(set(lines)) == len(lines) == 8
    if width >= 30:
        assert all(cell_len(line) <= width for line in lines)
        assert all(line.endswith("0:34") and f"v{number}" in line for number, line in enumerate(lines))


def test_of_those_that_there_is_no_room_for_there_is_the_number() -> None:
    flights = InFlight(Clock())
    for number in range(8):
        flights.on_event(started(str(number)))
    assert len(shown(flights, most=8)) == 8
    assert shown(flights, most=4)[3] == "and 5 more"


def test_a_wait_ends_with_steps_and_a_flight_with_its_outcome() -> None:
    flights = InFlight(Clock())
    flights.on_event(started("a"))
    flights.on_event(happened("a", "waiting", text="the server does not answer"))
    flights.on_event(happened("a", "steps", done=1, total=2))
    assert flights.flights["j:a"].waits == ""
    flights.on_event(outcome("a"))
    flights.on_event(happened("a", "steps", done=2, total=2))
    assert flights.flights == {}


def test_a_job_is_prepared_until_it_says_so_or_its_first_image_begins() -> None:
    flights = InFlight(Clock())
    flights.on_event(prepares("j", "starting"))
    flights.on_event(prepares("k", "pulling"))
    assert list(flights.flights) == ["j", "k"]
    flights.on_event(prepares("k", ""))
    flights.on_event(started("a"))
    assert list(flights.flights) == ["j:a"]


def test_what_has_arrived_is_one_line_and_takes_no_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TERM", "xterm"), ("COLUMNS", "80"), ("LINES", "24")):
        monkeypatch.setenv(name, value)
    stream = Terminal()
    names = [str(number) for number in range(6)]
    report = LiveReport(stream, 7, {f"j:{name}": Estimate(3600, "b") for name in [*names, "a"]})
    try:
        for name in names:
            report.on_event(started(name))
            report.on_event(arrived(name))
        report.on_event(started("a"))
        report.on_event(outcome("0"))
    finally:
        report.stop()
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).rpartition("j:a ")[2].splitlines()
    assert "5 images to be put in place" in lines[1]
    assert "1/7" in lines[2]
    left = re.search(r"(?:(\d+):)?\d+:\d+ left", lines[2])
    assert left
    assert left[1] in (None, "1"), "at most an hour"


def test_nothing_that_a_backend_says_steers_the_terminal() -> None:
    flights = InFlight(Clock())
    flights.on_event(started("a"))
    flights.on_event(happened("a", "waiting", text="\x1b[2Jboo"))
    assert "\x1b" not in shown(flights)[0]


def test_the_clock() -> None:
    assert [clock(seconds) for seconds in (0.9, 34, 61, 3723)] == ["0:00", "0:34", "1:01", "1:02:03"]


def test_the_time_left_is_that_of_the_backend_that_takes_longest() -> None:
    expected = {"j:a": Estimate(10, "slow"), "j:b": Estimate(10, "slow"), "j:c": Estimate(3, "quick", 2)}
    remaining = Remaining(expected)
    assert remaining.seconds({}) == 20
    assert remaining.seconds({"j:a": 4, "j:c": 1}) == 16
    remaining.take_off(outcome("a"))
    assert remaining.seconds({"j:b": 25}) == 3


def test_what_nobody_knows_takes_what_others_of_its_backend_took() -> None:
    remaining = Remaining({f"j:{name}": Estimate(None, "b") for name in "abc"})
    assert remaining.seconds({}) is None
    remaining.take_off(outcome("a"))
    assert remaining.seconds({"j:b": 1.5}) == 2.5


def test_an_images_own_time_begins_when_it_waits_for_no_other() -> None:
    now = Clock()
    flights = InFlight(now)
    flights.on_event(started("a"))
    now.now = 5.0
    flights.on_event(happened("a", "restarted"))
    flight = flights.flights["j:a"]
    assert (flight.since_s, flight.own_s) == (0.0, 5.0)


def test_the_bar_does_not_count_what_was_not_built() -> None:
    stream = io.StringIO()
    report = LiveReport(stream, 3, {})
    try:
        report.on_event(outcome("a"))
        report.on_event(outcome("b", "cancelled"))
        report.on_event(outcome("c", "cancelled"))
        assert report.progress == (1, 3)
    finally:
        report.stop()
