"""Formats outcomes, notes and counts as plain lines for a console."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from imagegen.backends.text import list_first
from imagegen.errors import Problem, printable

if TYPE_CHECKING:
    from decimal import Decimal

    from imagegen.execute.budget import Costs
    from imagegen.execute.events import Event, Outcome, ProgressEvent
    from imagegen.plan.freshness import Reason
    from imagegen.plan.limit import Limited

__all__ = [
    "StatusLine",
    "closing_line",
    "cost_text",
    "duration",
    "failures",
    "left_lines",
    "line_with_seed",
    "note_line",
    "orphan_lines",
    "outcome_line",
    "plural",
    "price_text",
    "print_note",
    "reasons",
    "same_seed_lines",
    "shown_line",
    "table",
]

_STATES = ("generated", "derived", "restored", "kept", "ignored", "fresh", "failed", "cancelled")
"""In the order of the closing line."""
_STATE_WORDS = {"cancelled": "not built"}
"""What the closing line calls a state, if not by its name."""
_REASONS_SHOWN = 4
_STATUS_S = 10
"""Seconds between two lines of a `StatusLine` that is not on a terminal."""


def outcome_line(outcome: Outcome) -> str:
    """Return an output's line: `generated  portraits:mallsing  assets/…/mallsing.png  0.1 s (steps 20 → 30)`."""
    output = outcome.output
    said = [f"{outcome.state:<10} {output.task}  {output.path}"]
    if outcome.state == "generated":
        said.append(f"{outcome.seconds:.1f} s")
    if outcome.state == "kept":
        return printable(f"{said[0]}: {outcome.note}")
    # what is restored has no line in the lock file any more, but is not new
    known = [reason for reason in outcome.reasons if (outcome.state, reason.kind) != ("restored", "new")]
    detail = "; ".join(filter(None, [reasons(known), outcome.note]))
    if detail and outcome.state != "failed":
        said.append(f"({detail})")
    return printable("  ".join(said))


def shown_line(outcome: Outcome) -> str:
    """Return an output's line; empty for one that was fresh or was not begun: the closing line counts those."""
    return "" if outcome.state == "fresh" or _was_not_begun(outcome) else outcome_line(outcome)


def line_with_seed(outcome: Outcome) -> str:
    """Return an output's line with its seed, if that decides anything; empty for one that was not begun."""
    if _was_not_begun(outcome):
        return ""
    has_seed = outcome.output.uses_seed and outcome.state not in ("failed", "cancelled")
    return outcome_line(outcome) + (f"  seed {outcome.output.request.seed}" if has_seed else "")


def _was_not_begun(outcome: Outcome) -> bool:
    return outcome.state == "cancelled" and not outcome.was_begun


def reasons(found: Sequence[Reason]) -> str:
    """Return reasons of staleness in one line, the first of many."""
    why = ", ".join(map(str, found[:_REASONS_SHOWN]))
    return f"{why} and {len(found) - _REASONS_SHOWN} more" if len(found) > _REASONS_SHOWN else why


def note_line(event: ProgressEvent) -> str:
    """Return the line of a note, with the image that it is about."""
    of = f"{event.output.task}: " if event.output else ""
    return printable(f"{of}{event.facts['text']}")


def print_note(event: Event) -> None:
    """Print what there is to say of a run besides what becomes of its images."""
    from imagegen.execute.events import ProgressEvent

    if isinstance(event, ProgressEvent) and event.name == "note":
        print(note_line(event), flush=True)


def failures(outcomes: Iterable[Outcome]) -> list[str]:
    """Return each cause once, with the images that it hit and how to fix it.

    A cause that names the file that an output is made from is one cause for all such files.
    """
    by_cause: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for outcome in outcomes:
        origin = next(iter(outcome.output.origins), None)
        path = origin.path if origin else ""
        for problem in (*filter(None, [outcome.problem]), *outcome.also):
            what = problem.what.replace(f" {path}: ", _ORIGIN) if path else problem.what
            by_cause[what, problem.hint].append((outcome.output.task, path))
    return [
        str(Problem(list_first([task for task, _ in hit]), _name_origins(what, [path for _, path in hit]), hint))
        for (what, hint), hit in by_cause.items()
    ]


_ORIGIN = " \0: "
"""Stands for the file that an output is made from, where its problem begins with what is wrong with it."""


def _name_origins(what: str, paths: Iterable[str]) -> str:
    return what.replace(_ORIGIN, f" {list_first(list(dict.fromkeys(paths)))}: ")


def same_seed_lines(outcomes: Iterable[Outcome]) -> list[str]:
    """Return what to say after `doit -a` of images that kept their seeds, and so show what they showed."""
    kept = [
        outcome.output
        for outcome in outcomes
        if outcome.state == "generated"
        and "seed" in outcome.output.parameters
        and any(reason.kind == "forced" for reason in outcome.reasons)
    ]
    if not kept:
        return []
    free = [output.task for output in kept if not output.has_own_seed]
    hint = f"doit reroll {free[0]}" if free else f"write another 'seed' for {kept[0].task} in its job file"
    seeds = "its seed" if len(kept) == 1 else "their seeds"
    return [f"{plural(len(kept), 'image')} kept {seeds}, which gives the same picture; for another one: {hint}"]


def orphan_lines(paths: Sequence[str]) -> list[str]:
    """Return what to say of files that no longer belong to any item."""
    if not paths:
        return []
    belongs, stays = ("belongs", "stays") if len(paths) == 1 else ("belong", "stay")
    what = f"{plural(len(paths), 'earlier image')} no longer {belongs} to any item and {stays}: {list_first(paths)}"
    return [f"{what}  (doit prune)"]


def left_lines(limited: Limited, words: Sequence[str]) -> list[str]:
    """Return what to say of images that a run leaves because of its limit; words: what it was asked for, and `-a`."""
    said = [
        f"{task} waits: {plural(count, 'picture')} that it is made from {'is' if count == 1 else 'are'} not built yet"
        for task, count in limited.waiting.items()
    ]
    if limited.left:
        one = len(limited.left) == 1
        state = f"{'is' if one else 'are'} {'left' if '-a' in words else 'stale'}"
        rest = f"{shlex.join(['doit', *words])} builds {'it' if one else 'them'}"
        said.append(f"{len(limited.left)} more {state}: {rest}")
    return [printable(line) for line in said]


def closing_line(
    counts: Mapping[str, int], broken_jobs: int, seconds: float, cost: str = "", *, has_settings: bool = True
) -> str:
    """Return what the run did: `3 generated, 1 restored, 22 fresh, cost $0.12 (1.2 s)`.

    Args:
        counts: of images, by state.
        broken_jobs: of those that were to be built.
        seconds: that the run took.
        cost: of `cost_text`.
        has_settings: whether the settings are valid; else they are what breaks every job.

    """
    said = [f"{counts[state]} {_STATE_WORDS.get(state, state)}" for state in _STATES if counts.get(state)]
    if broken_jobs and not has_settings:
        said.append("nothing was built: the settings are not valid")
    elif broken_jobs:
        said.append(plural(broken_jobs, "broken job"))
    elif list(counts) == ["fresh"]:
        said.append("nothing to do")
    return f"{', '.join(filter(None, [*said, cost])) or 'nothing to do'} ({seconds:.1f} s)"


def cost_text(costs: Costs | None) -> str:
    """Return what a run cost, `cost $0.17`, and what may have been paid for in vain; empty if it cost nothing."""
    if costs is None:
        return ""
    said = [price_text(costs.spent, costs.unpriced, up_to=bool(costs.lost))]
    if lost := costs.lost + costs.lost_before:
        said.append(f"{plural(lost, 'image')} may have been paid for without arriving")
    return ", ".join(filter(None, said))


def price_text(known: Decimal, unpriced: int, *, up_to: bool = False) -> str:
    """Return `cost $0.17`; `cost $0.17 and 2 images of unknown price`; `cost unknown`; empty for nothing."""
    from imagegen.config.money import dollars

    if not known:
        return "cost unknown" if unpriced else ""
    more = f" and {plural(unpriced, 'image')} of unknown price" if unpriced else ""
    return f"cost {'up to ' if up_to else ''}{dollars(known)}{more}"


def plural(number: int, thing: str) -> str:
    """Return `1 image`, `2 images`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def duration(seconds: float | None) -> str:
    """Return an estimate: `under 1 s`, `about 12 s`, `about 5 min`, `about 1 h 20 min`, `time unknown`."""
    if seconds is None:
        return "time unknown"
    if seconds < 1:
        return "under 1 s"
    if seconds < 120:
        return f"about {seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"about {hours} h {minutes} min" if hours else f"about {minutes} min"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows in columns that line up, safe for a terminal; the last column is as wide as it is."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)] if rows else []
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    ]


class StatusLine:
    """What goes on while a command waits: in place on a terminal, a line now and then elsewhere.

    A program that asked for JSON gets the same lines as events.
    """

    def __init__(self) -> None:
        from imagegen.report.json_output import json_output  # not needed by a run with nothing to do

        self._output = json_output()
        self.is_terminal = sys.stdout.isatty() and not self._output
        self._next_s = 0.0

    def __enter__(self) -> StatusLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def clear(self) -> None:
        """Show nothing any more."""
        if self.is_terminal:
            print("\r\x1b[K", end="", flush=True)

    def show(self, text: str) -> None:
        """Show the text until the next one."""
        text = printable(text)
        if self.is_terminal:
            shown = text[: shutil.get_terminal_size().columns - 1]  # a second line could not be written over
            print(f"\r{shown}\x1b[K", end="", flush=True)
        elif text and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _STATUS_S
            self.note(text)

    def count(self, what: str, done: int, total: int) -> None:
        """Show how many there are so far, on a terminal: elsewhere nobody looks."""
        if self.is_terminal:
            self.show(f"{what}: {done:,} of {total:,}")

    def note(self, text: str) -> None:
        """Print a line that stays."""
        print(f"\r{printable(text)}\x1b[K" if self.is_terminal else printable(text), flush=True)
        if self._output:
            self._output.write({"event": "progress", "text": text})
