"""What an action would cost: how many images it generates, how long that takes, and what is to be paid."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

from imagegen.execute.forecast import ForecastImage, estimate, forecast, price
from imagegen.plan.freshness import Verdict
from imagegen.plan.origins import sort_by_origin
from imagegen.plan.output import Output
from imagegen.plan.record import total_seconds
from imagegen.project import JobPlan, Project
from imagegen.report.console import duration, plural, price_text

__all__ = ["forecast_action"]

_LONG_S = 60.0
"""An action that takes longer is asked about first; so is one of several pictures that may take any time."""


def forecast_action(project: Project, plans: Sequence[JobPlan], body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an action would cost, as JSON values: see `_sum_up`. Raises ImagegenError and OSError.

    body: as for `read_command`, by which it is valid.
    """
    names = frozenset(body["images"])
    if body["command"] == "reroll" or body.get("always"):
        return _forecast_pictures(project, plans, names, body.get("count") or 1)
    if body["command"] == "build":
        return _forecast_build(project, plans, names)
    return _sum_up(project, [])


def _forecast_build(project: Project, plans: Sequence[JobPlan], names: Collection[str]) -> dict[str, Any]:
    """Return what `doit NAMES` would generate, as `doit why` says; without names, everything."""
    known = {output.task: output for plan in plans for output in plan.outputs}
    wanted = [task for task, output in known.items() if not names or task in names or output.job in names]
    for task in wanted:  # and what they are made from
        wanted += [one.task for one in known[task].origins if one.task in known and one.task not in wanted]
    standing: list[tuple[Output, Verdict]] = []
    unfinished: set[str] = set()
    with project.asking_for_models_once():
        for output in sort_by_origin([known[task] for task in wanted]):
            found, verdict = project.check_freshness(project.with_decisions(output), unfinished)
            standing.append((found, verdict))
            if verdict.state not in ("fresh", "kept"):
                unfinished.add(output.task)
        images = forecast(project, standing, ()).images
    return _sum_up(project, [one for one in images if one.act == "generate"])


def _forecast_pictures(
    project: Project, plans: Sequence[JobPlan], names: Collection[str], count: int
) -> dict[str, Any]:
    """Return what generating these images takes, each so often, whether they are fresh or not."""
    outputs = [output for plan in plans for output in plan.outputs if output.task in names or output.job in names]
    outputs = [project.with_decisions(output) for output in outputs if not output.is_derived]
    fresh = Verdict("fresh")
    return _sum_up(
        project, [ForecastImage(one, fresh, "generate", price=price(project, one)) for one in outputs], count
    )


def _sum_up(project: Project, images: Sequence[ForecastImage], count: int = 1) -> dict[str, Any]:
    """Return numbers, and the words that the page shows. needs_question: whether it asks first."""
    times = [*estimate(project, [one.output for one in images]).values()] * count
    seconds = None if any(one.seconds is None for one in times) else total_seconds(times)
    known = count * sum((one.price for one in images if one.price), Decimal(0))
    unpriced = count * sum(one.price is None for one in images)
    cost = price_text(known, unpriced)
    takes = ", ".join(filter(None, [duration(seconds), cost]))
    pictures = len(images) * count
    return {
        "pictures": pictures,
        "seconds": seconds,
        "cost": cost,
        "text": f"{plural(pictures, 'picture')} to generate: {takes}" if pictures else "nothing to generate",
        "needs_question": bool(cost) or (pictures > 1 if seconds is None else seconds > _LONG_S),
    }
