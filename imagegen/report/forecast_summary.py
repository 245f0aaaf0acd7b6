"""What the next run would do, as data: for `doit why --json` and for a program that imports imagegen."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from imagegen.errors import FailureKind, Problem
from imagegen.report.run_summary import FindPlace, Source, StaleReason, find_source, summarise_reasons

if TYPE_CHECKING:
    from decimal import Decimal

    from imagegen.execute.forecast import Forecast, ForecastImage
    from imagegen.project import JobPlan

__all__ = ["ForecastSummary", "ForecastTotal", "ImageForecast", "JobForecast", "summarise_forecast"]


Act = Literal["generate", "derive", "follow", "restore", "keep", "fail", "ignore", "fresh"]


@dataclass(frozen=True)
class ImageForecast:
    """What the next run would do with one image, derived file or sheet.

    Attributes:
        task: name of the task, such as `portraits:mallsing`.
        job: name of its job.
        source: place of its item, or of the rule that derives it.
        path: path of the file, relative to the project.
        variant: number of the variant; null if the job has no variants.
        act: what the run does with it; `follow`: it may be stale, which is only known once what it is made from is
            there; `keep`: its file stays as it is, though it is not what the job asks for; `fail`: its file must not be
            replaced, or it cannot be built; `ignore`: `doit ignore` named it.
        failure: what will keep an image that fails from being built, as in the result of the run; null otherwise.
        reasons: reasons why it is stale.
        note: reason why it is kept or fails, or another remark; empty if there is none.
        hint: what to do about the note; empty if that is obvious.
        restored_from: where it is restored from: the store, git, another file or image, or the shared store, which is
            not asked for a forecast; null unless it is restored.
        is_encoded_again: whether its picture stays, and only its file is written again.
        ignored_by: name given to `doit ignore` that leaves it out; null unless it is ignored.
        origins: what it is made from: tasks, or paths of files that are not outputs.
        seconds: expected time to generate it, in seconds; 0 if nothing is generated; null if the time is not known.
        price: expected price of generating it, in US dollars; 0 if nothing is generated; null if it is not known.
        may_have_been_paid: whether it may have been charged for already, by a run that ended before it arrived.
        backend: backend that generates it; null if it is derived from other files, by none.
        model: model that generates it; empty if none is chosen yet, or none is needed.
        seed: seed that decides it; null if none is chosen yet, or none does.
        recorded_at: time at which the recorded image was generated or derived, in UTC; null if none is recorded.
    """

    task: str
    job: str
    source: Source | None
    path: str
    variant: int | None
    act: Act
    failure: FailureKind | None
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
    backend: str | None
    model: str
    seed: int | None
    recorded_at: str | None


@dataclass(frozen=True)
class JobForecast:
    """What there is to say of a job.

    Attributes:
        job: name of the job.
        path: path of the job file, relative to the project.
        problems: problems with the job, which keep all its images from being built.
        notes: further remarks, one line each.
    """

    job: str
    path: str
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ForecastTotal:
    """What the next run comes to.

    Attributes:
        counts: number of images by act.
        seconds: expected time for generating, in seconds, as far as it is known; null if it is not known of any image.
        unknown: number of images to generate whose time is not known.
        price: expected price in US dollars, as far as it is known.
        unpriced: number of images to generate whose price is not known.
        budget: US dollars that a run may spend; null if there is no limit.
        is_budget_enough: whether the budget is enough for everything; true if there is no limit, null if a job or a
            setting is broken, because what its images cost is not known.
        affordable: number of images that cost something and fit into the budget; null if there is no limit.
        refused_jobs: jobs that are not built because the price of one of their images is unknown or more than the
            budget.
        left: number of images that stay stale because of the limit.
    """

    counts: Mapping[Act, int]
    seconds: float | None
    unknown: int
    price: float
    unpriced: int
    budget: float | None
    is_budget_enough: bool | None
    affordable: int | None
    refused_jobs: tuple[str, ...]
    left: int


@dataclass(frozen=True)
class ForecastSummary:
    """What the next run would do.

    Attributes:
        is_stale: whether the next run would write any image, fail at one or at a broken job, or leave one because of
            its limit.
        images: images that are not fresh, or were named one by one.
        jobs: jobs that were asked for.
        total: sum over all images that were asked for, the fresh ones too.
    """

    is_stale: bool
    images: tuple[ImageForecast, ...]
    jobs: tuple[JobForecast, ...]
    total: ForecastTotal


def summarise_forecast(
    forecast: Forecast,
    plans: Iterable[JobPlan],
    named: Collection[str],
    budget: Decimal | None,
    left: int = 0,
    find_place: FindPlace | None = None,
) -> ForecastSummary:
    """Return a forecast as data.

    Args:
        forecast: of the images.
        plans: the jobs asked for.
        named: the tasks that were named one by one: they are in it even if they are fresh.
        budget: what the run may cost; None if there is no limit.
        left: images that it leaves stale.
        find_place: finds where each comes from; None if nobody asks.
    """
    shown = [one for one in forecast.images if one.act != "fresh" or one.output.task in named]
    jobs = tuple(JobForecast(one.name, one.file, tuple(one.problems), tuple(one.notes)) for one in plans)
    is_broken = any(job.problems for job in jobs)
    images = tuple(_summarise_image(one, find_place) for one in shown)
    is_stale = forecast.is_stale or left > 0 or is_broken
    return ForecastSummary(is_stale, images, jobs, _add_up(forecast, budget, left, is_broken=is_broken))


def _add_up(forecast: Forecast, budget: Decimal | None, left: int, *, is_broken: bool) -> ForecastTotal:
    from imagegen.execute.forecast import ACTS

    counts: dict[Act, int] = {act: forecast.counts[act] for act in ACTS}
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
        is_budget_enough=None if is_broken else affordable in (None, costly),
        affordable=affordable,
        refused_jobs=() if budget is None else tuple(forecast.refused(budget)),
        left=left,
    )


def _summarise_image(one: ForecastImage, find_place: FindPlace | None) -> ImageForecast:
    output, request, verdict = one.output, one.output.request, one.verdict
    return ImageForecast(
        task=output.task,
        job=output.job,
        source=find_source(find_place(output)) if find_place else None,
        path=output.path,
        variant=output.variant or None,
        act=one.act,
        failure=one.failure,
        reasons=summarise_reasons(verdict.reasons),
        note=verdict.note,
        hint=verdict.hint,
        restored_from=one.origin if one.act == "restore" else None,
        is_encoded_again=one.is_encoded_again,
        ignored_by=one.origin if one.act == "ignore" else None,
        origins=tuple(origin.name for origin in output.origins),
        seconds=one.seconds if one.act == "generate" else 0.0,
        price=None if one.price is None else float(one.price),
        may_have_been_paid=one.may_be_paid,
        backend=None if output.is_derived else request.backend,
        model=request.model,
        seed=request.seed if output.uses_seed else None,
        recorded_at=verdict.line.time if verdict.line else None,
    )
