"""What the next build would do, for a program of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from imagegen.errors import Problem
from imagegen.execute.forecast import forecast
from imagegen.library.needed import find_needed
from imagegen.library.planned_project import PlannedProject
from imagegen.library.selection import Selection
from imagegen.report.forecast_summary import ForecastSummary, ImageForecast, summarise_forecast

__all__ = ["Plan", "make_plan"]


@dataclass(frozen=True)
class Plan(ForecastSummary):
    """What the next build would do, and why: what `doit why --json` says, of fresh images too.

    Attributes:
        is_stale: whether it would write any image, or fail at one.
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


def make_plan(project: PlannedProject, chosen: Selection) -> Plan:
    """Return what a build of what was chosen would do."""
    needed = frozenset(find_needed(project, chosen.images))
    images = [one for task, one in project.planned.items() if task in needed]
    jobs = {plan.name for plan in chosen.plans} | {one.output.job for one in images}
    found = forecast(project.project, [(one.output, one.verdict) for one in images], ())
    plans = [plan for plan in project.plans if plan.name in jobs]
    summary = summarise_forecast(found, plans, needed, project.settings.budget)
    requests = {one.output.task: dict(one.output.fields) for one in images}
    return Plan(**{one.name: getattr(summary, one.name) for one in fields(summary)}, requests=requests)
