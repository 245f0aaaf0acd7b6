"""What was used, as data: for `doit disclosure --json`, and for its other formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from imagegen.execute.disclosure import DisclosedImage, Disclosure, UsedModel

__all__ = ["ImageStatement", "ModelStatement", "Statement", "make_statement", "summarise"]


@dataclass(frozen=True)
class ModelStatement:
    """A trained model that took part.

    Attributes:
        role: what the model did.
        backend: backend that generated with it; `derive` for the model of a step.
        model: name of the model; null if it was not recorded.
        digest: sha256 of its file, perhaps followed by those of its other files, or the service's own name for it; null
            if it is not known.
        licence: name of its licence, as listed; null if it is not known.
        licence_page: address of its licence; null if it is not known.
        images: number of images it took part in.
    """

    role: Literal["model", "lora", "cutout"]
    backend: str
    model: str | None
    digest: str | None
    licence: str | None
    licence_page: str | None
    images: int


@dataclass(frozen=True)
class ImageStatement:
    """How an image came about, and what its file is.

    Attributes:
        task: name of the task, such as `portraits:mallsing`.
        path: path of the file, relative to the project; null if it was not recorded.
        kind: how the image came about.
        file: what its file is now.
        backend: backend that generated the image; null if none did.
        by_ai: whether a trained model generated any of its content; null if that is not known.
        by_hand: whether its file is somebody's work, at least in part.
        from_files: whether it was derived from somebody's work, or from a file that was there before.
        marked: whether its file says that a model made it; null if another program wrote the file.
        models: models that took part, as positions in the list of models, from 0.
        references: number of reference images it was generated from.
        origins: tasks it was derived from.
        time: time at which it was generated or derived, in UTC; null if it is not known.
    """

    task: str
    path: str | None
    kind: Literal["generated", "placeholder", "derived", "supplied", "unrecorded"]
    file: Literal["recorded", "accepted", "changed", "missing", "unrecorded"]
    backend: str | None
    by_ai: bool | None
    by_hand: bool
    from_files: bool
    marked: bool | None
    models: tuple[int, ...]
    references: int
    origins: tuple[str, ...]
    time: str | None


@dataclass(frozen=True)
class Statement:
    """Which images were generated, by which models, and which were changed by hand: see docs/disclosure.md.

    Attributes:
        jobs: jobs with recorded images.
        summary: number of images by what is known of them.
        models: trained models that took part, the one with the most images first.
        images: all recorded images.
    """

    jobs: tuple[str, ...]
    summary: Mapping[str, int]
    models: tuple[ModelStatement, ...]
    images: tuple[ImageStatement, ...]


def make_statement(found: Disclosure) -> Statement:
    """Return the disclosure as data. What is not known is None."""
    numbers = {model: number for number, model in enumerate(found.models)}
    models = tuple(_state_model(model, count) for model, count in found.models.items())
    return Statement(found.jobs, summarise(found), models, tuple(_state_image(one, numbers) for one in found.images))


def summarise(found: Disclosure) -> dict[str, int]:
    """Return the numbers. The first is the sum of the next four; `by_ai` is that of the marked and the others."""
    images = found.images
    by_ai = [image for image in images if image.uses_ai]
    marks = Counter(image.is_marked for image in by_ai)
    return {
        "images": len(images),
        "generated": sum(image.kind == "generated" for image in images),
        "derived_from_generated": sum(image.kind == "derived" for image in by_ai),
        "without_ai": sum(image.uses_ai is False for image in images),
        "unknown_origin": sum(image.uses_ai is None for image in images),
        "by_ai": len(by_ai),
        "by_hand": sum(image.is_by_hand for image in images),
        "from_files": sum(image.uses_files for image in images),
        "from_references": sum(image.references > 0 for image in images),
        "missing": sum(image.file == "missing" for image in images),
        "unrecorded": sum(image.kind == "unrecorded" for image in images),
        "marked": marks[True],
        "unmarked": marks[False],
        "mark_unknown": marks[None],
        "licence_unknown": sum(not all(model.has_licence for model in image.models) for image in images),
    }


def _state_model(model: UsedModel, images: int) -> ModelStatement:
    return ModelStatement(
        role=model.role,
        backend=model.backend,
        model=model.name or None,
        digest=model.digest or None,
        licence=model.licence or None,
        licence_page=model.page or None,
        images=images,
    )


def _state_image(image: DisclosedImage, numbers: Mapping[UsedModel, int]) -> ImageStatement:
    return ImageStatement(
        task=image.task,
        path=image.path or None,
        kind=image.kind,
        file=image.file,
        backend=image.backend or None,
        by_ai=image.uses_ai,
        by_hand=image.is_by_hand,
        from_files=image.uses_files,
        marked=image.is_marked,
        models=tuple(numbers[model] for model in image.models),
        references=image.references,
        origins=tuple(image.origins),
        time=image.time or None,
    )
