"""Images besides the outputs of jobs, as data: `doit image` and `preview`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from imagegen.errors import FailureKind, Problem
from imagegen.report.forecast_summary import ForecastTotal
from imagegen.report.run_summary import Cost, ImageOutcome, Source

__all__ = ["OneOffImages", "PreviewOutcome", "PreviewState", "PreviewSummary"]

PreviewState = Literal["planned", "generated", "derived", "restored", "fresh", "kept", "failed", "cancelled"]


@dataclass(frozen=True)
class OneOffImages:
    """What became of one-off images.

    Attributes:
        images: all the images, the fresh ones too.
        cost: cost of the generated images.
        saved_to: job file named by `--save`; null if nothing was saved.
        saved: names of the items added to that file.
        notes: further remarks, one line each.
    """

    images: tuple[ImageOutcome, ...]
    cost: Cost
    saved_to: str | None
    saved: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class PreviewOutcome:
    """What became of the preview of one image.

    Attributes:
        task: name of the preview in events, such as `preview/portraits:mallsing`.
        image: name of the image that it is a preview of, such as `portraits:mallsing`.
        source: place of the image's item.
        path: path of the preview, relative to the project.
        state: what became of the preview; `planned`: nothing was generated, because of `--dry-run`; `fresh`: it was
            there already.
        failure: what kept a failed preview from being generated, as of an image; null unless it failed.
        width: width of the preview in pixels; null if the job does not decide it.
        height: height of the preview in pixels; null if the job does not decide it.
        steps: number of sampling steps; null if the backend does not use any.
        seed: seed that decides the preview, the same as the image's; null if none does, or none is chosen yet.
        seconds: time the preview took, in seconds.
        price: US dollars that were charged for it, or may have been; null if the price is not known.
        problems: reasons why the preview failed.
    """

    task: str
    image: str
    source: Source | None
    path: str
    state: PreviewState
    failure: FailureKind | None
    width: int | None
    height: int | None
    steps: int | None
    seed: int | None
    seconds: float
    price: float | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class PreviewSummary:
    """What was previewed.

    Attributes:
        images: previews that were asked for.
        forecast: what the previews were expected to come to.
        cost: cost of the previews.
        left: number of images without a fresh preview, because of the limit.
        notes: further remarks, one line each.
    """

    images: tuple[PreviewOutcome, ...]
    forecast: ForecastTotal
    cost: Cost
    left: int
    notes: tuple[str, ...]
