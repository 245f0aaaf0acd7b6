"""How long an image will take, from what earlier ones took."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from imagegen.plan.record import OutputLine
from imagegen.plan.request import Request

__all__ = ["Durations", "Expected", "in_all"]


class Durations:
    """Medians of recorded seconds, by backend, model, workflow and size.

    A workflow of the job's own is known by its digest; it has the size that it holds where the job gives none.
    """

    def __init__(self, lines: Iterable[OutputLine]) -> None:
        same: dict[tuple[str, str, str, int], list[float]] = defaultdict(list)
        for line in lines:
            fields = line.request
            pixels = fields.get("width", 0) * fields.get("height", 0)
            key = line.backend, str(fields.get("model", "")), str(fields.get("workflow", "")), pixels
            same[key].append(line.seconds)
        self._same = {key: statistics.median(seconds) for key, seconds in same.items()}

    def of(self, request: Request) -> float | None:
        """Seconds: the median of the same maker and size, else by the nearest size; None where unknown."""
        workflow = str(request.extra.get("workflow", ""))
        has_size = not workflow or "width" in request.given or "height" in request.given
        pixels = request.width * request.height if has_size else 0
        wanted = (request.backend, request.model, workflow)
        sizes = {size: seconds for (*maker, size), seconds in self._same.items() if tuple(maker) == wanted}
        if not sizes:
            return None
        nearest = min(sizes, key=lambda size: abs(size - pixels))
        return sizes[nearest] * (pixels / nearest if nearest and pixels else 1.0)


@dataclass(frozen=True)
class Expected:
    """What generating an image takes. seconds: None where unknown. at_once: how many its backend draws at a time."""

    seconds: float | None
    backend: str
    at_once: int = 1


def in_all(images: Iterable[Expected]) -> float:
    """Seconds that they take together, as far as known: backends work side by side, each at its own images."""
    each: dict[tuple[str, int], list[float]] = defaultdict(list)
    for one in images:
        if one.seconds is not None:
            each[one.backend, one.at_once].append(one.seconds)
    return max((max(max(of), sum(of) / max(1, at_once)) for (_, at_once), of in each.items()), default=0.0)
