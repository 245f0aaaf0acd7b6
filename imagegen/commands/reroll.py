"""`doit reroll`: regenerate images with a new seed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from imagegen.commands.build import Build, build_now, exit_code_of, select, select_images, summarise
from imagegen.commands.command import YES, Answer, answer_even_if_it_fails, command, option, require
from imagegen.errors import InputError, NotBegunError, Problem

if TYPE_CHECKING:
    from imagegen.execute.budget import Budget
    from imagegen.execute.events import Outcome
    from imagegen.execute.forecast import Cost
    from imagegen.execute.run import RunResult
    from imagegen.plan.output import Output
    from imagegen.report.results.versions import Rerolled

__all__ = ["reroll"]


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
    result="imagegen.report.results.versions:Rerolled",
)
def reroll(build: Build, words: list[str], *, count: int, yes: bool) -> Answer:
    """Choose new seeds, record them, and build the images; so often."""
    if not words:
        raise InputError(Problem("", "name an image", "doit reroll JOB:IMAGE"))
    if count < 1:
        raise InputError(Problem("", f"--count is {count}, and must be at least 1", "doit reroll JOB:IMAGE --count 4"))
    outputs = _select(build, words)
    _refuse_over_budget(build, outputs)
    if not yes:
        _ask_for_many(build, words, outputs, count)
    return _reroll(build, words, count)


def _reroll(build: Build, words: list[str], count: int) -> Answer:
    from imagegen.execute.budget import Budget
    from imagegen.execute.curation import reroll
    from imagegen.report.results.versions import Rerolled
    from imagegen.report.run_summary import image_problems, summarise_cost

    budget = Budget(build.settings.budget)
    result: Rerolled | None = None
    problems: list[Problem] = []
    with answer_even_if_it_fails(lambda: result):
        while True:
            with build.lock():
                before = _select(build, words)
                after = reroll(build.project, before)
            is_first = result is None
            result = replace(result or Rerolled(), waiting=tuple(output.task for output in after))
            outcomes, ending = _build(build, after, budget, is_first=is_first)
            problems += ending.problems
            unbuilt = {one.output.task for one in outcomes if one.state in ("failed", "cancelled")}
            waiting = [(old, new) for old, new in zip(before, after, strict=True) if new.task in unbuilt]
            result = Rerolled(
                (*result.images, *summarise(build, outcomes)),
                result.pictures + (not waiting),
                tuple(new.task for _, new in waiting),
                summarise_cost(ending.costs),
            )
            if waiting and not is_first:
                _take_seeds_back(build, [old for old, _ in waiting])
                result = replace(result, waiting=())
            if unbuilt or ending.stopped or result.pictures == count:
                lines = list(_lines(build, result, count, after))
                code = exit_code_of(outcomes, ending)
                return Answer(result, lines, code, problems, image_problems(result.images))


def _build(
    build: Build, outputs: Sequence[Output], budget: Budget, *, is_first: bool
) -> tuple[Sequence[Outcome], RunResult]:
    """Build these images, with what they are made from if they are the first. Raises ImagegenError."""
    origins = _stale_origins(build, outputs) if is_first else []
    try:
        return build_now(build, [*origins, *outputs], budget=budget)
    except NotBegunError:  # another one began in between
        print(_explain_unbuilt(build, outputs), flush=True)
        raise


def _lines(build: Build, result: Rerolled, count: int, outputs: Sequence[Output]) -> Iterator[str]:
    if result.waiting:
        yield _explain_unbuilt(build, [output for output in outputs if output.task in result.waiting])
    if count > 1:
        yield _count_pictures(result.pictures, count, [output.task for output in outputs])


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


def _refuse_over_budget(build: Build, outputs: Sequence[Output]) -> None:
    """Record no seed that the budget does not pay for: the next doit would go by it. Raises NotBegunError."""
    if (budget := build.settings.budget) is None:
        return
    from imagegen.config.money import dollars
    from imagegen.report.console import price_text

    cost = _forecast(build, outputs, 1)
    if cost.unpriced or cost.price > budget:
        from imagegen.execute.budget import RAISE_BUDGET

        what = f"nothing was rerolled: {price_text(cost.price, cost.unpriced)}, and the budget is {dollars(budget)}"
        raise NotBegunError(Problem("", what, RAISE_BUDGET))


def _forecast(build: Build, outputs: Sequence[Output], count: int) -> Cost:
    from imagegen.execute.forecast import forecast_pictures

    known = {task: planned.output for task, planned in build.planned.items()}
    return forecast_pictures(build.project, known, outputs, count)


def _ask_for_many(build: Build, words: list[str], outputs: list[Output], count: int) -> None:
    """Ask first if a word stands for more than one picture. Raises ImagegenError if nobody agrees."""
    from imagegen.report.console import duration, plural, price_text
    from imagegen.report.results.versions import Rerolled, RerollForecast

    each = select(build, words).one_by_one
    if count * sum(output.task not in each for output in outputs) > 1:
        cost = _forecast(build, outputs, count)
        takes = "; ".join(filter(None, [duration(cost.seconds), price_text(cost.price, cost.unpriced)]))
        rounds = f", {count} times" if count > 1 else ""
        print(f"{plural(len(outputs), 'image')} get a new seed and are generated again{rounds} ({takes})", flush=True)
        counted = f" --count {count}" if count > 1 else ""
        result = Rerolled(forecast=RerollForecast(cost.pictures, cost.seconds, float(cost.price), cost.unpriced))
        with answer_even_if_it_fails(lambda: result):
            require("Reroll all of them?", "nothing was rerolled", f"doit reroll {shlex.join(words)}{counted} --yes")


def _stale_origins(build: Build, outputs: Sequence[Output]) -> list[Output]:
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


def _explain_unbuilt(build: Build, waiting: Sequence[Output]) -> str:
    """Return what stays of a reroll that could not be built."""
    from imagegen.backends.text import list_first

    seeds = "new seed is" if len(waiting) == 1 else "new seeds are"
    said = f"the {seeds} recorded: the next doit generates {list_first([one.task for one in waiting])}"
    earlier = next((one.task for one in waiting if (build.root / one.path).exists()), "")
    return said + (f"; to go back to the earlier image: doit restore {earlier}" if earlier else "")
