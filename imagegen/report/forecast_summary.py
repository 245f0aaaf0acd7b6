"""What the next run would do, as data: for `doit why --json` and for a program that imports imagegen."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from imagegen.errors import Problem
from imagegen.report.run_summary import StaleReason, summarise_reasons

if TYPE_CHECKING:
    from decimal import Decimal

    from imagegen.execute.forecast import Forecast, ForecastImage
    from imagegen.project import JobPlan

__all__ = ["ForecastSummary", "ForecastTotal", "ImageForecast", "JobForecast", "summarise_forecast"]


@dataclass(frozen=True)
class ImageForecast:
    """What the next run would do with one image, derived file or sheet.

    Attributes:
        task: its name, `portraits:mallsing`.
        job: its job.
        path: its file, in the project.
        variant: its number; null if the job has no variants.
        act: what the run does. follow: it may be stale, which is only known once what it is made from is there; keep:
            its file is left as it is, though it is not what the job asks for; fail: its file must not be replaced, or
            it cannot be built; ignore: `doit ignore` named it.
        reasons: why it is stale.
        note: why it is kept, or why it fails; else what there is to say.
        hint: what to do about that, where it is not obvious.
        restored_from: where it is restored from; null unless it is. The store, git, another file or image, or the
            shared store, which is not asked for this.
        is_encoded_again: whether its picture stays, and only its file is written again.
        ignored_by: what `doit ignore` named, if it is left alone for that; else null.
        origins: what it is made from: tasks, or paths of files that are no outputs.
        seconds: that generating it takes; null if nothing is generated, or if that is not known.
        price: of generating it, in US dollars; null if that is not known.
        may_have_been_paid: whether an earlier run ended before the image arrived, which may have been charged for.
        backend: that generates it; `derive` if it is made from other files.
        model: that generates it; empty if none is chosen yet, or none is needed.
        seed: null if none is chosen yet, or none decides it.
        recorded_at: when the recorded image was generated or derived, in UTC; null if none is recorded.
    """

    task: str
    job: str
    path: str
    variant: int | None
    act: Literal["generate", "derive", "follow", "restore", "keep", "fail", "ignore", "fresh"]
    reasons: tuple[StaleReason, ...]
    note: str
    hint: str
    restored_from: str | None
    is_encoded_again: bool
    ignored_by: str | None
    origins: tuple[str, ...]
    seconds: float | None
    price: float | None
    may_have_been_paid: bool
    backend: str
    model: str
    seed: int | None
    recorded_at: str | None


@dataclass(frozen=True)
class JobForecast:
    """What there is to say of a job.

    Attributes:
        job: its name.
        path: its file, in the project.
        problems: with it; then none of its images is built.
        notes: what else there is to say, a line each.
    """

    job: str
    path: str
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ForecastTotal:
    """What the next run comes to.

    Attributes:
        counts: of images, by act; of each there is.
        seconds: that generating takes, as far as that is known; null if it is not known of any image.
        unknown: images to generate of which it is not known how long they take.
        price: of generating, in US dollars, as far as that is known.
        unpriced: images to generate of which it is not known what they cost.
        budget: what a run may spend, in US dollars; null if there is no limit.
        is_budget_enough: whether it is enough for everything; true if there is no limit.
        affordable: images that cost something and that the budget is enough for; null if there is no limit.
        refused_jobs: jobs that are not built, because an image of theirs is of unknown price or costs more than the
            budget.
        left: images that stay stale because of the limit.
    """

    counts: Mapping[str, int]
    seconds: float | None
    unknown: int
    price: float
    unpriced: int
    budget: float | None
    is_budget_enough: bool
    affordable: int | None
    refused_jobs: tuple[str, ...]
    left: int


@dataclass(frozen=True)
class ForecastSummary:
    """What the next run would do.

    Attributes:
        is_stale: whether it would write any image, fail at one, or leave one because of its limit.
        images: that are not fresh, or were named one by one.
        jobs: that were asked for.
        total: of all images that were asked for, those that are fresh too.
    """

    is_stale: bool
    images: tuple[ImageForecast, ...]
    jobs: tuple[JobForecast, ...]
    total: ForecastTotal


def summarise_forecast(
    forecast: Forecast, plans: Iterable[JobPlan], named: Collection[str], budget: Decimal | None, left: int = 0
) -> ForecastSummary:
    """Return a forecast as data.

    Args:
        forecast: of the images.
        plans: the jobs asked for.
        named: the tasks that were named one by one: they are in it even if they are fresh.
        budget: what the run may cost; None if there is no limit.
        left: images that it leaves stale.
    """
    shown = [one for one in forecast.images if one.act != "fresh" or one.output.task in named]
    jobs = tuple(JobForecast(one.name, one.file, tuple(one.problems), tuple(one.notes)) for one in plans)
    images, is_stale = tuple(map(_summarise_image, shown)), forecast.is_stale or left > 0
    return ForecastSummary(is_stale, images, jobs, _add_up(forecast, budget, left))


def _add_up(forecast: Forecast, budget: Decimal | None, left: int) -> ForecastTotal:
    from imagegen.execute.forecast import ACTS

    counts: dict[str, int] = {act: forecast.counts[act] for act in ACTS}
    is_known = counts["generate"] > forecast.unknown or not counts["generate"]
    costly = sum(one.price != 0 for one in forecast.images)
    affordable = None if budget is None else forecast.affordable(budget)
    return ForecastTotal(
        counts=counts,
        seconds=round(forecast.seconds, 3) if is_known else None,
        unknown=forecast.unknown,
        price=float(forecast.price),
        unpriced=forecast.unpriced,
        budget=None if budget is None else float(budget),
        is_budget_enough=affordable in (None, costly),
        affordable=affordable,
        refused_jobs=() if budget is None else tuple(forecast.refused(budget)),
        left=left,
    )


def _summarise_image(one: ForecastImage) -> ImageForecast:
    output, request, verdict = one.output, one.output.request, one.verdict
    return ImageForecast(
        task=output.task,
        job=output.job,
        path=output.path,
        variant=output.variant or None,
        act=one.act,
        reasons=summarise_reasons(verdict.reasons),
        note=verdict.note,
        hint=verdict.hint,
        restored_from=one.origin if one.act == "restore" else None,
        is_encoded_again=one.is_encoded_again,
        ignored_by=one.origin if one.act == "ignore" else None,
        origins=tuple(origin.name for origin in output.origins),
        seconds=one.seconds if one.act == "generate" else None,
        price=None if one.price is None else float(one.price),
        may_have_been_paid=one.may_be_paid,
        backend=request.backend,
        model=request.model,
        seed=request.seed if output.uses_seed else None,
        recorded_at=verdict.line.time if verdict.line else None,
    )
