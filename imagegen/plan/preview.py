"""Previews: an image's request as a small one with few steps, and the file in `.imagegen` that it is for."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from imagegen.config.job import Encoding
from imagegen.plan.origins import sort_by_origin
from imagegen.plan.output import PREVIEW, Output

__all__ = ["LONGEST_SIDE", "MOST_STEPS", "plan_previews", "scale_size"]

LONGEST_SIDE = 512
"""Pixels of a preview's longer side; an image that is smaller keeps its size."""
_MULTIPLE = 64
"""Of both sides: every model takes it."""
MOST_STEPS = 8
"""A model made for fewer keeps its own number."""


def plan_previews(images: Iterable[Output], unfinished: Collection[str]) -> list[Output]:
    """Return the preview of each image, after those of the images that it is made from.

    Args:
        images: as planned, with all that they are made from and that is to be previewed too.
        unfinished: tasks of images that are stale: another one that is made from such an image is made from its
            preview instead.
    """
    previews: dict[str, Output] = {}
    for image in sort_by_origin(list(images)):
        origins = [
            replace(origin, task=known.task, path=known.path, sha256="")
            if origin.task in unfinished and (known := previews.get(origin.task))
            else origin
            for origin in image.origins
        ]
        previews[image.task] = _plan_preview(image).with_decisions(origins=origins)
    return list(previews.values())


def _plan_preview(image: Output) -> Output:
    request, fields = image.request, image.parameters
    if fields >= {"width", "height"}:
        width, height = scale_size(request.width, request.height)
        request = replace(request, width=width, height=height)
    if "steps" in fields:
        request = replace(request, steps=min(request.steps, MOST_STEPS))
    job = f"{PREVIEW}/{image.job}"
    return replace(
        image,
        job=job,
        path=f".imagegen/{job}/{image.slug}.png",
        request=request,
        encoding=Encoding(format="png"),
        overwrite="always",
        base=image.slug,
        variant=0,
        # what is decided already holds for the preview too
        has_random_seed=image.has_random_seed and request.seed is None,
        has_open_model=image.has_open_model and not request.model,
    )


def scale_size(width: int, height: int) -> tuple[int, int]:
    """Return a preview's size: its proportions are kept, to the nearest multiple of 64."""
    longest = max(width, height)
    if longest <= LONGEST_SIDE:
        return width, height
    sides = (max(1, round(side * LONGEST_SIDE / longest / _MULTIPLE)) * _MULTIPLE for side in (width, height))
    return next(sides), next(sides)
