"""What the next build would do, for a program of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from imagegen.errors import Problem
from imagegen.library.needed import find_limited, find_needed
from imagegen.library.planned_project import PlannedProject
from imagegen.library.selection import Selection
from imagegen.report.forecast_summary import ForecastSummary, ImageForecast, summarise_forecast

if TYPE_CHECKING:
    from imagegen.execute.forecast import Forecast
    from imagegen.plan.limit import Limited
    from imagegen.project import JobPlan

__all__ = ["Plan", "SelectionForecast", "forecast_selection", "make_plan"]


@dataclass(frozen=True)
class Plan(ForecastSummary):
    """What the next build would do, and why: what `doit why --json` says, of fresh images too.

    Attributes:
        is_stale: whether it would write any image, fail at one or at a broken job, or leave one because of its limit.
        images: that were asked for, with what they are made from.
        jobs: that were asked for, with what is wrong with those that are broken.
        total: of all these images: counts, seconds, price.
        requests: by task, what decides each picture: prompt, seed, size, …
    """

    requests: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong with the jobs that are broken; none of their images is in the plan."""
        return tuple(dict.fromkeys(problem for job in self.jobs for problem in job.problems))

    @property
    def stale(self) -> tuple[ImageForecast, ...]:
        """The images that the build would write, or fail at."""
        return tuple(one for one in self.images if one.act not in ("fresh", "keep", "ignore"))


@dataclass(frozen=True)
class SelectionForecast:
    """What a run would do with what was chosen.

    Attributes:
        forecast: of these images, and of those that they are made from.
        plans: of their jobs, and of the broken ones that were chosen.
        limited: what the run builds, and leaves because of its limit.
    """

    forecast: Forecast
    plans: tuple[JobPlan, ...]
    limited: Limited


def forecast_selection(
    project: PlannedProject, chosen: Selection, limit: int | None, is_ignored: Callable[[str], bool] = lambda _: False
) -> SelectionForecast:
    """Return what a run would do with what was chosen.

    Args:
        project: as it is planned.
        chosen: what was asked for.
        limit: stale images of each job that the run builds at most; None if there is no limit.
        is_ignored: whether `doit ignore` named a task.
    """
    from imagegen.execute.forecast import forecast
    from imagegen.plan.limit import Limited

    if limit is None:
        limited = Limited(tuple(find_needed(project, chosen.images)))
    else:
        limited = find_limited(project, chosen.images, limit, skip=is_ignored)
    needed = {*limited.tasks, *filter(is_ignored, chosen.images)}
    images = [one for task, one in project.planned.items() if task in needed]
    ignored = {one.output.task for one in images if is_ignored(one.output.task)}
    found = forecast(project.project, [(one.output, one.verdict) for one in images], ignored)
    jobs = {plan.name for plan in chosen.plans} | {one.output.job for one in images}
    return SelectionForecast(found, tuple(plan for plan in project.plans if plan.name in jobs), limited)


def make_plan(project: PlannedProject, chosen: Selection) -> Plan:
    """Return what a build of what was chosen would do."""
    found = forecast_selection(project, chosen, project.settings.limit)
    outputs = [one.output for one in found.forecast.images]
    tasks, left = [output.task for output in outputs], len(found.limited.left)
    summary = summarise_forecast(found.forecast, found.plans, tasks, project.settings.budget, left, project.find_place)
    requests = {output.task: dict(output.fields) for output in outputs}
    return Plan(**{one.name: getattr(summary, one.name) for one in fields(summary)}, requests=requests)
