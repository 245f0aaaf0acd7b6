"""What an action would cost: how many images it generates, how long that takes, and what is to be paid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imagegen.execute.forecast import Cost, check_with_origins, forecast, forecast_pictures, sum_up
from imagegen.project import JobPlan, Project
from imagegen.report.console import duration, plural, price_text

__all__ = ["forecast_action"]

_LONG_S = 60.0
"""An action that takes longer is asked about first; so is one of several pictures that may take any time."""


def forecast_action(project: Project, plans: Sequence[JobPlan], body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an action would cost, as JSON values. Raises ImagegenError and OSError.

    body: as for `read_command`, by which it is valid.
    """
    names = frozenset(body["images"])
    known = {output.task: output for plan in plans for output in plan.outputs}
    wanted = [output for output in known.values() if not names or output.task in names or output.job in names]
    if body["command"] == "reroll" or body.get("always"):
        images = [project.with_decisions(output) for output in wanted if not output.is_derived]
        cost = forecast_pictures(project, known, images, body.get("count") or 1)
    elif body["command"] == "build":
        standing = check_with_origins(project, known, [output.task for output in wanted])
        found = forecast(project, standing, ()).images
        cost = sum_up(project, [one.output for one in found if one.act == "generate"])
    else:
        cost = sum_up(project, [])
    return _describe(cost)


def _describe(cost: Cost) -> dict[str, Any]:
    """Return numbers, and the words that the page shows. needs_question: whether it asks first."""
    price = price_text(cost.price, cost.unpriced)
    takes = ", ".join(filter(None, [duration(cost.seconds), price]))
    is_long = cost.pictures > 1 if cost.seconds is None else cost.seconds > _LONG_S
    return {
        "pictures": cost.pictures,
        "seconds": cost.seconds,
        "cost": price,
        "text": f"{plural(cost.pictures, 'picture')} to generate: {takes}" if cost.pictures else "nothing to generate",
        "needs_question": bool(price) or is_long,
    }
