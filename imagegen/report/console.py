"""Outcomes in plain lines for a console: one an event, failures gathered by their cause, one closing line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, TextIO

from imagegen.errors import Problem, printable

if TYPE_CHECKING:
    from imagegen.execute.events import Outcome, ProgressEvent
    from imagegen.plan.freshness import Reason

__all__ = [
    "STYLES",
    "Piece",
    "closing_line",
    "counted",
    "duration",
    "failures",
    "note_line",
    "orphan_lines",
    "outcome_line",
    "printable",
    "reasons",
    "same_seed_lines",
    "saved_line",
    "show",
    "shown_line",
    "table",
    "word_diff",
]


STATES = ("generated", "derived", "restored", "kept", "fresh", "failed", "cancelled")
_NAMES_SHOWN = 3
_REASONS_SHOWN = 4


def outcome_line(outcome: Outcome) -> str:
    """One output's line, for example `generated  portraits:mallsing  assets/…/mallsing.png  0.1 s (steps 20 → 30)`."""
    output = outcome.output
    said = [f"{outcome.state:<10} {output.task}  {output.path}"]
    if outcome.state == "generated":
        said.append(f"{outcome.seconds:.1f} s")
    if outcome.state == "kept":
        return printable(f"{said[0]}: {outcome.note}")
    detail = "; ".join(filter(None, [reasons(outcome.reasons), outcome.note]))
    if detail and outcome.state != "failed":
        said.append(f"({detail})")
    return printable("  ".join(said))


def reasons(found: Sequence[Reason]) -> str:
    """Reasons of staleness in one line, the first of many."""
    why = ", ".join(map(str, found[:_REASONS_SHOWN]))
    return f"{why} and {len(found) - _REASONS_SHOWN} more" if len(found) > _REASONS_SHOWN else why


def shown_line(outcome: Outcome) -> str:
    """The same, empty for one that was fresh: nothing became of it."""
    return "" if outcome.state == "fresh" else outcome_line(outcome)


def note_line(event: ProgressEvent) -> str:
    """A line of what happened within a run, with the image that it is about."""
    of = f"{event.output.task}: " if event.output else ""
    return printable(f"{of}{event.facts['text']}")


def failures(outcomes: Iterable[Outcome]) -> list[str]:
    """Each cause once, with whom it hit and how to fix it."""
    by_cause: dict[tuple[str, str], list[str]] = defaultdict(list)
    for outcome in outcomes:
        for problem in (*filter(None, [outcome.problem]), *outcome.also):
            by_cause[problem.what, problem.hint].append(outcome.output.task)
    return [str(Problem(_names(tasks), what, hint)) for (what, hint), tasks in by_cause.items()]


def saved_line(file: str, names: Sequence[str]) -> str:
    """What became of a job file that one-off images are saved in. names: of the items that it got."""
    return printable(f"added to {file}: {', '.join(names)}" if names else f"{file} has it already")


def same_seed_lines(outcomes: Iterable[Outcome]) -> list[str]:
    """What to say after `doit -a` of images that kept their seeds, and so show what they showed."""
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
    hint = f"doit reroll {free[0]}" if free else f"write another 'seed' of {kept[0].task} in its job file"
    seeds = "its seed" if len(kept) == 1 else "their seeds"
    return [f"{counted(len(kept), 'image')} kept {seeds}, which gives the same picture; for another one: {hint}"]


def orphan_lines(paths: Sequence[str]) -> list[str]:
    """What to say of files that belong to no item any more."""
    if not paths:
        return []
    verb = "belongs" if len(paths) == 1 else "belong"
    what = f"{counted(len(paths), 'earlier image')} {verb} to no item any more and {_stays(paths)}: {_names(paths)}"
    return [f"{what}  (doit prune)"]


def _stays(paths: Sequence[str]) -> str:
    return "stays" if len(paths) == 1 else "stay"


def closing_line(counts: Mapping[str, int], broken_jobs: int, seconds: float) -> str:
    """What the run did: `3 generated, 1 restored, 22 fresh (1.2 s)`. counts: of images, by state."""
    said = [f"{counts[state]} {_STATE_WORDS.get(state, state)}" for state in STATES if counts.get(state)]
    if broken_jobs:
        said.append(counted(broken_jobs, "broken job"))
    if list(counts) == ["fresh"] and not broken_jobs:
        said.append("nothing to do")
    return f"{', '.join(said) or 'nothing to do'} ({seconds:.1f} s)"


_STATE_WORDS = {"cancelled": "not made"}


def counted(number: int, thing: str) -> str:
    """`1 image`, `2 images`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def duration(seconds: float | None) -> str:
    """Of what was estimated: `under 1 s`, `about 12 s`, `about 5 min`, `about 1 h 20 min`, `time unknown`."""
    if seconds is None:
        return "time unknown"
    if seconds < 1:
        return "under 1 s"
    if seconds < 120:
        return f"about {seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"about {hours} h {minutes} min" if hours else f"about {minutes} min"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text in columns that line up, safe for a terminal; the last column is as wide as it is."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)] if rows else []
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    ]


def _names(tasks: Sequence[str]) -> str:
    shown = ", ".join(tasks[:_NAMES_SHOWN])
    return shown if len(tasks) <= _NAMES_SHOWN else f"{shown} and {len(tasks) - _NAMES_SHOWN} more"


STYLES = {
    "generate": "green",
    "derive": "green",
    "follow": "cyan",
    "restore": "cyan",
    "keep": "yellow",
    "fail": "bold red",
    "ignore": "yellow",
    "old": "red",
    "new": "green",
}


def show(lines: Iterable[Iterable[Piece]], stream: TextIO) -> None:
    """Print them; the terminal wraps what is longer than it is wide."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False, soft_wrap=True)
    for line in lines:
        console.print(Text.assemble(*((text, STYLES.get(style, "")) for text, style in line)))


Piece = tuple[str, str]
"""Text, and its style: `old`, `new`, or none."""
_AROUND = 8
"""Words that are shown of what stayed, before and after a change."""


def word_diff(old: str, new: str) -> list[Piece]:
    """The words that went as `[-…-]`, those that came as `{+…+}`, between them what stayed, the long middle as `…`."""
    before, after = old.split(), new.split()
    if before == after:
        return [("only its white space changed", "")]
    pieces: list[Piece] = []
    for what, i, j, k, m in SequenceMatcher(None, before, after).get_opcodes():
        if what == "equal":
            pieces.append((_stayed(before[i:j], is_first=i == 0, is_last=j == len(before) and m == len(after)), ""))
            continue
        if i < j:
            pieces.append((f"[-{' '.join(before[i:j])}-]", "old"))
        if k < m:
            pieces.append((f"{{+{' '.join(after[k:m])}+}}", "new"))
    return [(f"{' ' if index else ''}{text}", style) for index, (text, style) in enumerate(pieces)]


def _stayed(words: Sequence[str], *, is_first: bool, is_last: bool) -> str:
    head = [] if is_first else list(words[:_AROUND])
    tail = [] if is_last else list(words[len(words) - _AROUND :])
    if len(words) <= len(head) + len(tail) + 3:  # to leave out so few would save nobody anything
        return " ".join(words)
    return " ".join([*head, "…", *tail])
