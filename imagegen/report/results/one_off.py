"""Images that are no outputs of jobs, as data: `doit image` and `preview`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from imagegen.errors import Problem
from imagegen.report.forecast_summary import ForecastTotal
from imagegen.report.run_summary import Cost, ImageOutcome

__all__ = ["OneOffImages", "PreviewOutcome", "PreviewState", "PreviewSummary"]

PreviewState = Literal["planned", "generated", "derived", "restored", "fresh", "kept", "failed", "cancelled"]


@dataclass(frozen=True)
class OneOffImages:
    """What became of one-off images.

    Attributes:
        images: each of them, those that were fresh too.
        cost: of them.
        saved_to: the job file that `--save` named; null if there is none, or if nothing was saved.
        saved: the names of the items that are new in it.
        notes: what else there is to say, a line each.
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
        task: the image, `portraits:mallsing`.
        path: the file of its preview, in the project.
        state: planned: only with --dry-run; fresh: it is there already.
        width: of the preview, in pixels; null if the job does not decide it.
        height: the same.
        steps: of sampling; null if the backend does not use them.
        seed: that decided it, the image's own; null if none does, or none is chosen yet.
        seconds: that it took.
        problems: why it failed.
    """

    task: str
    path: str
    state: PreviewState
    width: int | None
    height: int | None
    steps: int | None
    seed: int | None
    seconds: float
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class PreviewSummary:
    """What was previewed.

    Attributes:
        images: each that was to be previewed.
        forecast: what it was expected to come to.
        cost: what it cost.
        left: images without a fresh preview, because of the limit.
        notes: what there is to say besides, a line each.
    """

    images: tuple[PreviewOutcome, ...]
    forecast: ForecastTotal
    cost: Cost
    left: int
    notes: tuple[str, ...]
