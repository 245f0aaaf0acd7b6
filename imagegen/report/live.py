"""A run on a terminal: below the lines that stay, one for each image in flight, and a bar for all of them."""

from __future__ import annotations

import math
import statistics
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from imagegen.errors import printable
from imagegen.execute.events import Event, Outcome, ProgressEvent
from imagegen.plan.record import Estimate, total_seconds
from imagegen.report.console import note_line, plural, shown_line
from imagegen.report.progress import Flight, InFlight, clock

__all__ = ["LiveReport", "Remaining", "flight_lines"]

_STYLES = {
    "generated": "green",
    "derived": "green",
    "restored": "cyan",
    "kept": "yellow",
    "failed": "bold red",
    "cancelled": "yellow",
}
_MOST = 16
"""Lines of images in flight; of more there is only the number."""
_BAR, _STEPS = 24, 12
"""Cells of the bar of all images, and of that of one's steps."""
_CLOCK = 7


class LiveReport:
    """A line for each outcome, which stays, and what goes on below. See `report.progress.follow_run`."""

    def __init__(
        self,
        stream: TextIO,
        total: int,
        expected: Mapping[str, Estimate],
        line_of: Callable[[Outcome], str] = shown_line,
    ) -> None:
        self._line_of = line_of
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._mutex = threading.Lock()
        self._in_flight = InFlight()
        self._total, self._done = total, 0
        self._remaining = Remaining(expected)
        self._live = Live(get_renderable=self._shown, console=self._console, refresh_per_second=8, transient=True)
        self._live.start()

    def on_event(self, event: Event) -> None:
        """Show what there is to say of an event."""
        with self._mutex:
            self._in_flight.on_event(event)
            if isinstance(event, Outcome):
                self._done += event.state != "cancelled"
                self._remaining.take_off(event)
        if isinstance(event, ProgressEvent) and event.name == "note":
            self._console.print(Text(note_line(event)))
        if isinstance(event, Outcome) and (line := self._line_of(event)):
            self._console.print(Text(line[:10], _STYLES.get(event.state, "")).append(line[10:], "default"))

    @property
    def progress(self) -> tuple[int, int]:
        """How many images are done, of how many."""
        return self._done, self._total

    def stop(self) -> None:
        """Take away what moves; the lines stay."""
        self._live.stop()

    def _shown(self) -> Group:
        width, height = self._console.size
        with self._mutex:
            flights, now_s = list(self._in_flight.flights.values()), self._in_flight.now_s()
            lines = flight_lines(flights, now_s, width, max(1, min(_MOST, height - 4)))
            arrived = self._in_flight.arrived.copy()
            bar = _bar(*self.progress, _BAR).append(f" {self._done}/{self._total}")
            passed = {flight.name: now_s - flight.own_s for flight in flights}
            left = self._remaining.seconds({**passed, **dict.fromkeys(arrived, math.inf)})
        if arrived:
            lines.append(Text(f"{plural(len(arrived), 'image')} to be put in place", no_wrap=True))
        if left is not None and round(left):  # what takes longer than was expected, takes nobody knows how long
            bar.append(f"  {clock(round(left))} left", "cyan")
        return Group(*lines, bar)


def flight_lines(flights: Sequence[Flight], now_s: float, width: int, most: int) -> list[Text]:
    """Return a line each, in columns: its name, its steps or what it waits for, how long it has been.

    Args:
        flights: what is going on.
        now_s: the time, by their clock.
        width: of the terminal, in cells.
        most: lines; the last one is for those that there is no room for.

    """
    shown = flights if len(flights) <= most else flights[: most - 1]
    states = [_state(flight) for flight in shown]
    room = max(0, width - _CLOCK - 4)
    wide = max((state.cell_len for state in states), default=0)
    names = min(max((cell_len(flight.name) for flight in shown), default=0), max(width * 2 // 5, room - wide))
    wide = min(wide, max(0, room - names))
    lines = []
    for flight, state in zip(shown, states, strict=True):
        state.truncate(wide, overflow="ellipsis", pad=True)
        time = f"  {clock(now_s - flight.since_s):>{_CLOCK}}"
        line = Text(f"{_fitted(printable(flight.name), names)}  ", no_wrap=True, overflow="crop")
        lines.append(line.append_text(state).append(time, "cyan"))
    if len(shown) < len(flights):
        lines.append(Text(f"and {len(flights) - len(shown)} more", no_wrap=True))
    return lines


def _state(flight: Flight) -> Text:
    if flight.waits:
        return Text().append(flight.waits, "yellow")
    return _bar(flight.done, flight.total, _STEPS).append(f" {flight.done}/{flight.total}") if flight.total else Text()


def _bar(done: int, total: int, cells: int) -> Text:
    full = cells * min(done, total) // max(1, total)
    return Text(no_wrap=True).append("━" * full, "green").append("╌" * (cells - full))


def _fitted(name: str, cells: int) -> str:
    """Without its middle if it is too long: names of one job begin alike, and end differently."""
    if cell_len(name) <= cells:
        return set_cell_size(name, cells)
    head = (cells - 1) // 2
    tail = name
    while cell_len(tail) > cells - 1 - head:
        tail = tail[1:]
    return set_cell_size(f"{set_cell_size(name, head)}…{tail}", cells)


class Remaining:
    """The time left, estimated as `doit why` does; an image of unknown time is expected to take what others took."""

    def __init__(self, expected: Mapping[str, Estimate]) -> None:
        self._expected = dict(expected)
        self._took: dict[str, list[float]] = defaultdict(list)
        for one in expected.values():
            if one.seconds is not None:
                self._took[one.backend].append(one.seconds)

    def take_off(self, outcome: Outcome) -> None:
        """Take a finished image off what remains."""
        one = self._expected.pop(outcome.output.task, None)
        if one and outcome.state == "generated":
            self._took[one.backend].append(outcome.seconds)

    def seconds(self, passed: Mapping[str, float]) -> float | None:
        """Return the time left, None if it cannot be known; passed: seconds of those in flight, by task."""
        left = []
        for task, one in self._expected.items():
            took = self._took[one.backend]
            if one.seconds is None and not took:
                return None
            seconds = one.seconds if one.seconds is not None else statistics.fmean(took)
            left.append(replace(one, seconds=max(0.0, seconds - passed.get(task, 0.0))))
        return total_seconds(left)
