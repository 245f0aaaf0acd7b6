"""`doit reroll`: regenerate images with a new seed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imagegen.commands.build import Build, build_now, select, select_images
from imagegen.commands.command import YES, command, option, require
from imagegen.errors import ImagegenError, InputError, NotBegunError, Problem

if TYPE_CHECKING:
    from imagegen.execute.budget import Budget
    from imagegen.plan.output import Output

__all__ = ["build_or_fail", "reroll"]


@command(
    "reroll",
    "Regenerate images with a new seed.",
    {
        "doit reroll portraits:mallsing": "another seed for this image",
        "doit reroll portraits:mallsing --count 4": "four pictures, each with a seed of its own; the last is the image",
        "doit reroll portraits": "for all images of a job (asks first)",
    },
    [option("count", int, 1, "pictures of each image, one after another [default: 1]", "c"), YES],
    words="IMAGE|JOB...",
)
def reroll(build: Build, words: list[str], *, count: int, yes: bool) -> None:
    """Choose new seeds, record them, and build the images; so often."""
    from imagegen.execute.budget import Budget
    from imagegen.execute.curation import reroll

    if not words:
        raise InputError(Problem("", "name an image", "doit reroll JOB:IMAGE"))
    if count < 1:
        raise InputError(Problem("", f"--count is {count}, and must be at least 1", "doit reroll JOB:IMAGE --count 4"))
    if not yes:
        _ask_for_many(build, words, _select(build, words), count)
    budget = Budget(build.settings.budget)
    for number in range(1, count + 1):
        with build.lock():
            before = _select(build, words)
            after = reroll(build.project, before)
        origins = [] if number > 1 else _stale_origins(build, after)
        try:
            unbuilt, is_stopped = _build(build, [*origins, *after], budget)
        except NotBegunError:  # another one began in between
            _explain_unbuilt(build, after)
            raise
        waiting = [(old, new) for old, new in zip(before, after, strict=True) if new.task in unbuilt]
        if waiting and number == 1:
            _explain_unbuilt(build, [new for _, new in waiting])
        elif waiting:
            _take_seeds_back(build, [old for old, _ in waiting])
        if count > 1 and (number == count or is_stopped or unbuilt):
            print(_count_pictures(number - bool(waiting), count, [output.task for output in after]), flush=True)
        if is_stopped:
            raise SystemExit(130)
        if unbuilt:
            raise ImagegenError


def _take_seeds_back(build: Build, outputs: Sequence[Output]) -> None:
    """Have the picture that was generated last be the image, and no other seed asked for.

    outputs: as they were with its seed.
    """
    from imagegen.execute.decisions import record_decision
    from imagegen.plan.record import REROLL

    with build.lock():
        for output in outputs:
            record_decision(build.project, output.job, REROLL, output.full_slug, output.request.seed)


def _count_pictures(done: int, count: int, tasks: Sequence[str]) -> str:
    """Return how many pictures of each image there are now, and how to see them."""
    each = " of each" if len(tasks) > 1 else ""
    if not done:
        return f"0 of {count} pictures{each}"
    number = f"{done} of {count}" if done < count else str(count)
    return f"{number} pictures{each}; the last is the image: doit restore {tasks[0]} --list shows all"


def _select(build: Build, words: list[str]) -> list[Output]:
    """Return the images that words name; derived files follow theirs, unless each has a word of its own."""
    named = select(build, words).one_by_one
    return [
        build.project.with_decisions(planned.output)
        for planned in select_images(build, words)
        if planned.output.task in named or not planned.output.is_derived
    ]


def _ask_for_many(build: Build, words: list[str], outputs: list[Output], count: int) -> None:
    """Ask first if a job or a pattern stands for more than one picture. Raises ImagegenError if nobody agrees."""
    from imagegen.execute.forecast import forecast_pictures
    from imagegen.report.console import duration, plural, price_text

    each = select(build, words).one_by_one.union(*(build.items.get(word, []) for word in words))
    if count * sum(output.task not in each for output in outputs) > 1:
        known = {task: planned.output for task, planned in build.planned.items()}
        cost = forecast_pictures(build.project, known, outputs, count)
        takes = "; ".join(filter(None, [duration(cost.seconds), price_text(cost.price, cost.unpriced)]))
        rounds = f", {count} times" if count > 1 else ""
        print(f"{plural(len(outputs), 'image')} get a new seed and are generated again{rounds} ({takes})", flush=True)
        counted = f" --count {count}" if count > 1 else ""
        require("Reroll all of them?", "nothing was rerolled", f"doit reroll {shlex.join(words)}{counted} --yes")


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


def build_or_fail(build: Build, outputs: list[Output]) -> None:
    """Build these within a command.

    Raises ImagegenError if any could not be built, which has been printed; SystemExit if the user stopped it.
    """
    unbuilt, is_stopped = _build(build, outputs)
    if is_stopped:
        raise SystemExit(130)
    if unbuilt:
        raise ImagegenError


def _build(build: Build, outputs: Sequence[Output], budget: Budget | None = None) -> tuple[set[str], bool]:
    """Return the tasks of those that could not be built, which has been printed, and whether the user stopped it."""
    outcomes, is_stopped = build_now(build, outputs, budget=budget)
    return {one.output.task for one in outcomes if one.state in ("failed", "cancelled")}, is_stopped


def _explain_unbuilt(build: Build, waiting: Sequence[Output]) -> None:
    """Say what stays of a reroll that could not be built."""
    from imagegen.backends.text import list_first

    seeds = "new seed is" if len(waiting) == 1 else "new seeds are"
    said = f"the {seeds} recorded: the next doit generates {list_first([one.task for one in waiting])}"
    earlier = next((one.task for one in waiting if (build.root / one.path).exists()), "")
    print(said + (f"; to go back to the earlier image: doit restore {earlier}" if earlier else ""), flush=True)
