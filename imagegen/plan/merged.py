"""Two branches each decided about one image, and were merged: which of the decisions counts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from imagegen.plan.output import Output
from imagegen.plan.record import ACCEPT, PICK, REROLL, SEED, Decision, OutputLine

__all__ = ["MOST_BEFORE", "Shown", "before", "counting", "rivals"]

Shown = Callable[[Output], tuple[str | None, OutputLine | None]]
"""Of an output's path: the sha256 of the file there, and the line that says what made it, where one does."""

MOST_BEFORE = 50
"""Decisions that one knows to have been before it: two branches that are merged do not differ by more."""
_OF_IMAGES = (SEED, REROLL, PICK, ACCEPT)


def before(decisions: Collection[Decision]) -> tuple[str, ...]:
    """The times of these decisions, and of those that were before them: what the next one comes after."""
    times = {one.time for one in decisions}.union(*(one.after or () for one in decisions))
    return tuple(sorted(times)[-MOST_BEFORE:])


def rivals(decisions: Iterable[Decision]) -> list[Decision]:
    """Of all decisions of one kind about one output, those that none came after, each value once; the latest is last.

    Lines of releases that did not say what they come after come after one another. Of a kind that is not about an
    image there is no file to say which counts: it is the latest.
    """
    decisions = sorted(decisions, key=lambda one: one.time)  # of those that are equally late, as in the file
    if decisions[-1].kind not in _OF_IMAGES:
        return decisions[-1:]
    replaced = {time for one in decisions for time in one.after or ()}
    replaced.update([one.time for one in decisions if one.after is None][:-1])
    heads = [one for one in decisions if one.time not in replaced] or decisions[-1:]
    return [one for at, one in enumerate(heads) if all(one.value != later.value for later in heads[at + 1 :])]


def counting(decisions: Sequence[Decision], outputs: Sequence[Collection[Output]], shown: Shown) -> Decision:
    """The rival whose image is in place: whoever merged chose that one. Where none is, one that fits, or the latest.

    decisions: as `rivals` has them. outputs: what each is about, planned with it. Raises what `shown` does.
    """
    pairs = [pair for pair in zip(decisions, outputs, strict=True) if pair[1]][::-1]
    # that nothing is accepted any more says less than that this very file is
    pairs.sort(key=lambda pair: pair[0].kind == ACCEPT and pair[0].value is None)
    for decision, concerned in pairs:
        if all(_is_of(decision, output, *shown(output)) for output in concerned):
            return decision
    for decision, concerned in pairs:
        if decision.kind == ACCEPT and all(_fits(decision, output) for output in concerned):
            return decision
    return decisions[-1]


def _is_of(decision: Decision, output: Output, sha256: str | None, line: OutputLine | None) -> bool:
    """Whether the file in the output's place is the one that was decided on."""
    if decision.kind != ACCEPT:
        return line is not None and line.request.get("seed") == output.request.seed
    if decision.value is None:
        return line is not None and line.fingerprint == output.fingerprint
    return bool(decision.value["sha256"] == sha256) and _fits(decision, output)


def _fits(decision: Decision, output: Output) -> bool:
    """Whether what was accepted was accepted for what is asked for now."""
    return decision.value is not None and bool(decision.value["fingerprint"] == output.fingerprint)
