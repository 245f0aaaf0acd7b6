"""The progress bar of a terminal: how far the run is, how long it will take, what is in flight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from imagegen.execute.outcome import Event, Happened, Outcome, Started
from imagegen.report.console import note_line, outcome_line, printable

__all__ = ["LiveReport"]

_STYLES = {
    "generated": "green",
    "derived": "green",
    "restored": "cyan",
    "kept": "yellow",
    "failed": "bold red",
    "cancelled": "yellow",
}
_SHOWN = 2


class LiveReport:
    """A line for each outcome, and below them one bar. expected: seconds, by task, as far as they are known."""

    def __init__(self, stream: TextIO, total: int, expected: Mapping[str, float]) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._remaining = _Remaining(total, expected)
        self._progress = Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _Left(self._remaining.seconds),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            transient=True,
        )
        self._bar = self._progress.add_task("", total=total)
        self._in_flight: dict[str, str] = {}
        self._waiting = ""
        self._progress.start()

    def tell(self, event: Event) -> None:
        """Something happened."""
        if isinstance(event, Happened):
            self._happened(event)
            return
        task = event.output.task
        if isinstance(event, Started):
            self._in_flight[task] = ""
            self._remaining.started()
        else:
            self._in_flight.pop(task, None)
            self._remaining.ended(task, event)
            if event.state != "fresh":
                line = outcome_line(event)
                self._progress.console.print(Text(line[:10], _STYLES.get(event.state, "")).append(line[10:], "default"))
            self._progress.advance(self._bar)
        self._describe()

    def _happened(self, event: Happened) -> None:
        if event.name == "note":
            self._progress.console.print(Text(note_line(event)))
        elif event.output is None:
            self._waiting = printable(event.facts.get("text", ""))
        elif event.name == "steps" and event.output.task in self._in_flight:
            self._in_flight[event.output.task] = f" {event.facts['done']}/{event.facts['total']}"
        elif event.name == "waiting" and event.output.task in self._in_flight:
            self._in_flight[event.output.task] = f" ({printable(event.facts['text'])})"
        self._describe()

    def _describe(self) -> None:
        """What is in flight, each with its steps, and what is waited for meanwhile: a pull, a server's start."""
        names = [name + state for name, state in self._in_flight.items()]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        shown = [", ".join(names[:_SHOWN]) + more, self._waiting]
        self._progress.update(self._bar, description=" · ".join(filter(None, shown)))

    def stop(self) -> None:
        """Take the bar away; the lines stay."""
        self._progress.stop()


class _Remaining:
    """Estimates the time left: what the images that are left are expected to take, at the pace so far."""

    def __init__(self, total: int, expected: Mapping[str, float]) -> None:
        self._expected = dict(expected)
        self._left = total
        self._unknown: list[float] = []
        self._in_flight = self._most = 0

    def started(self) -> None:
        self._in_flight += 1
        self._most = max(self._most, self._in_flight)

    def ended(self, task: str, outcome: Outcome) -> None:
        self._left -= 1
        self._expected.pop(task, None)
        if outcome.state == "generated":
            self._unknown.append(outcome.seconds)
        self._in_flight = max(0, self._in_flight - 1)

    def seconds(self) -> float | None:
        known = sum(self._expected.values())
        others = self._left - len(self._expected)
        seen = self._unknown or list(self._expected.values())
        if others and not seen:
            return None
        each = sum(seen) / len(seen) if seen else 0.0
        return (known + others * each) / max(1, self._most)


class _Left(ProgressColumn):
    def __init__(self, seconds: Callable[[], float | None]) -> None:
        super().__init__()
        self._seconds = seconds

    def render(self, task: Task) -> Text:  # noqa: ARG002 - of rich's protocol
        seconds = self._seconds()
        if seconds is None:
            return Text("")
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        text = f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
        return Text(f"{text} left", "cyan")
