"""`doit reroll`: regenerate images with a new seed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imagegen.commands.build import Build, build_now, select, select_images
from imagegen.commands.command import YES, command, require
from imagegen.errors import ImagegenError, Problem

if TYPE_CHECKING:
    from imagegen.plan.output import Output

__all__ = ["build_or_fail", "reroll"]


@command(
    "reroll",
    "Regenerate images with a new seed.",
    {
        "doit reroll portraits:mallsing": "another seed for this image",
        "doit reroll portraits": "for all images of a job (asks first)",
    },
    [YES],
    words="IMAGE|JOB...",
)
def reroll(build: Build, words: list[str], *, yes: bool) -> None:
    """Choose new seeds, record them, and build the images."""
    from imagegen.execute.curation import reroll

    if not words:
        raise ImagegenError(Problem("", "name an image", "doit reroll JOB:IMAGE"))
    if not yes:
        _ask_for_many(build, words, _select(build, words))
    with build.lock():
        rerolled = reroll(build.project, _select(build, words))
    build_or_fail(build, [*_stale_origins(build, rerolled), *rerolled], rerolled)


def _select(build: Build, words: list[str]) -> list[Output]:
    """Return the images that words name; derived files follow theirs, unless each has a word of its own."""
    named = select(build, words).one_by_one
    return [
        build.project.with_decisions(planned.output)
        for planned in select_images(build, words)
        if planned.output.task in named or not planned.output.is_derived
    ]


def _ask_for_many(build: Build, words: list[str], outputs: list[Output]) -> None:
    """Ask first if a job or a pattern stands for more than one image. Raises ImagegenError if nobody agrees."""
    from decimal import Decimal

    from imagegen.execute.forecast import estimate, price
    from imagegen.plan.record import total_seconds
    from imagegen.report.console import duration, price_text

    each = select(build, words).one_by_one.union(*(build.items.get(word, []) for word in words))
    if sum(output.task not in each for output in outputs) > 1:
        times = estimate(build.project, outputs).values()
        seconds = None if any(one.seconds is None for one in times) else total_seconds(times)
        prices = [price(build.project, output) for output in outputs]
        cost = price_text(sum(filter(None, prices), Decimal(0)), prices.count(None))
        takes = "; ".join(filter(None, [duration(seconds), cost]))
        print(f"{len(outputs)} images get a new seed and are generated again ({takes})", flush=True)
        require("Reroll all of them?", "nothing was rerolled", f"doit reroll {shlex.join(words)} --yes")


def _stale_origins(build: Build, outputs: list[Output]) -> list[Output]:
    """Return what these are made from that is not fresh; doit would also build it first."""
    found: dict[str, Output] = {}
    waiting = [origin.task for output in outputs for origin in output.origins]
    while waiting:
        planned = build.planned.get(waiting.pop())
        if planned is None:  # its job is broken
            continue
        if planned.output.task not in found and planned.verdict.state not in ("fresh", "kept"):
            found[planned.output.task] = build.project.with_decisions(planned.output)
        waiting += [origin.task for origin in planned.output.origins]
    named = {output.task for output in outputs}
    return [output for task, output in found.items() if task not in named]


def build_or_fail(build: Build, outputs: list[Output], rerolled: Sequence[Output] = ()) -> None:
    """Build these within a command, and say what stays of a reroll that failed.

    Raises ImagegenError if any could not be built, which has been printed; SystemExit if the user stopped it.
    """
    from imagegen.backends.text import list_first

    outcomes, is_stopped = build_now(build, outputs)
    unbuilt = {one.output.task for one in outcomes if one.state in ("failed", "cancelled")}
    if waiting := [output for output in rerolled if output.task in unbuilt]:
        seeds = "new seed is" if len(waiting) == 1 else "new seeds are"
        said = f"the {seeds} recorded: the next doit generates {list_first([one.task for one in waiting])}"
        earlier = next((one.task for one in waiting if (build.root / one.path).exists()), "")
        print(said + (f"; to go back to the earlier image: doit restore {earlier}" if earlier else ""), flush=True)
    if is_stopped:
        raise SystemExit(130)
    if unbuilt:
        raise ImagegenError
