"""Two branches each decided about one image, and were merged: which of the decisions counts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from imagegen.plan.output import Output
from imagegen.plan.record import ACCEPT, PICK, REROLL, SEED, Decision, OutputLine

__all__ = ["Shown", "counting", "rivals"]

Shown = Callable[[Output], tuple[str | None, OutputLine | None]]
"""Of an output's path: the sha256 of the file there, and the line that says what made it, where one does."""


_OF_IMAGES = (SEED, REROLL, PICK, ACCEPT)


def rivals(decisions: Iterable[Decision]) -> list[Decision]:
    """Of all decisions of one kind about one output, those that none came after, each value once; the latest is last.

    Of a kind that is not about an image there is no file to say which counts: it is the latest.
    """
    decisions = sorted(decisions, key=lambda one: one.time)  # of those that are equally late, as in the file
    if decisions[-1].kind not in _OF_IMAGES:
        return decisions[-1:]
    replaced = {one.after for one in decisions if one.after}
    heads = [one for one in decisions if one.time not in replaced] or decisions[-1:]
    return [one for at, one in enumerate(heads) if all(one.value != later.value for later in heads[at + 1 :])]


def counting(
    decisions: Sequence[Decision], outputs_with: Callable[[Decision], Collection[Output]], shown: Shown
) -> Decision:
    """The rival whose image is in place: whoever merged chose that one. Where none is, the latest.

    decisions: as `rivals` has them. outputs_with: what a decision is about, planned with it.
    """
    for decision in reversed(decisions):
        outputs = outputs_with(decision)
        if outputs and all(_is_of(decision, output, *shown(output)) for output in outputs):
            return decision
    return decisions[-1]


def _is_of(decision: Decision, output: Output, sha256: str | None, line: OutputLine | None) -> bool:
    """Whether the file in the output's place is the one that was decided on."""
    if decision.kind == ACCEPT and decision.value is not None:
        return bool(decision.value["sha256"] == sha256)
    return line is not None and (decision.kind == ACCEPT or line.request.get("seed") == output.request.seed)
