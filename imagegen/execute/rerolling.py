"""Another seed for an image: drawn, and recorded as a decision that is stronger than the job's rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from imagegen.errors import ImagegenError, Problem
from imagegen.execute.deciding import decide, new_seed
from imagegen.execute.imaging import blocked
from imagegen.plan.output import Output
from imagegen.plan.record import REROLL
from imagegen.project import Project

__all__ = ["reroll"]


def reroll(project: Project, outputs: Sequence[Output]) -> list[Output]:
    """The outputs with new seeds, 1 … 2^32−1; they are to be made after that.

    The caller holds the mutex, and has read the lock files since. Where anything is wrong with any of them, nothing is
    decided: raises ImagegenError with all of it; OSError.
    """
    drawn = [output.decided(seed=_other_seed(output)) for output in outputs]
    problems = [problem for output in drawn if (problem := _problem(project, output))]
    if problems:
        raise ImagegenError(*problems)
    for output in drawn:
        decide(project, output.job, REROLL, output.full_slug, output.request.seed)
    return [replace(output, draws_seed=False) for output in drawn]


def _other_seed(output: Output) -> int:
    while (seed := new_seed()) == output.request.seed:
        pass
    return seed


def _problem(project: Project, output: Output) -> Problem | None:
    if output.own_seed:
        hint = "take its 'seed' out of the job file, or write another one there"
        return Problem(output.task, "its item has a seed of its own, which goes before any other", hint)
    if output.is_derived:
        what = f"it is derived from {', '.join(origin.task for origin in output.origins[:3])}, and has no seed"
        return Problem(output.task, what, f"doit reroll {output.origins[0].task}")
    if "seed" not in output.parameters:
        what = f"{output.request.backend} makes the same image whatever the seed"
        return Problem(output.task, what, f"to have it generated again: doit -a {output.task}")
    verdict = project.verdict(output)
    return None if verdict.state == "stale" else blocked(output, verdict)
