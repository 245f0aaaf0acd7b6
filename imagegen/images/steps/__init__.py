"""The steps of derived files, carried out: each takes a picture (L, RGB or RGBA) and returns one.

`config.steps` declares them. Equal inputs give equal pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imagegen.config.steps import step_file, step_model
from imagegen.images.formats import BadImage
from imagegen.images.image_file import verify
from imagegen.images.steps.arrange import resize
from imagegen.images.steps.cutout import FindAlpha, cutout
from imagegen.images.steps.frame import frame
from imagegen.images.steps.transparency import mask, trim

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["STEP_FUNCTIONS", "apply_steps", "check_file", "list_files", "list_models"]

STEP_FUNCTIONS: Mapping[str, Callable[..., Image]] = {
    "trim": trim,
    "cutout": cutout,
    "mask": mask,
    "frame": frame,
    "resize": resize,
}
"""By the name of the step. Their parameters are those of `config.steps.STEPS`; that of a file is what it holds, and
that of a model what finds with it."""

_Steps = Sequence[tuple[str, Mapping[str, Any]]]
_NO_MODELS: Mapping[str, FindAlpha] = {}


def apply_steps(
    picture: Image, steps: _Steps, files: Mapping[str, bytes], models: Mapping[str, FindAlpha] = _NO_MODELS
) -> Image:
    """Return the picture after these steps.

    Args:
        picture: L, RGB or RGBA.
        steps: names and parameters, in order; that of a file is its sha256, that of a model has its name and sha256.
        files: the files, by their sha256.
        models: what finds with each model, by its name.

    Raises:
        BadImage: a step is not possible with this picture.
    """
    for number, (name, parameters) in enumerate(steps, 1):
        file = step_file(name, parameters)
        loaded: dict[str, Any] = {file: files[parameters[file]]} if file else {}
        if model := step_model(name, parameters):
            loaded[model] = models[parameters[model]["name"]]
        try:
            picture = STEP_FUNCTIONS[name](picture, **{**parameters, **loaded})
        except BadImage as error:
            raise BadImage(f"step {number}, {name}: {error.what}") from None
    return picture


def check_file(data: bytes) -> None:
    """Check that this can be the file of a step. Raises BadImage."""
    verify(data, may_be_followed=True)


def list_files(steps: _Steps) -> Iterator[str]:
    """Yield the sha256 of each file that steps name."""
    for name, parameters in steps:
        if file := step_file(name, parameters):
            yield parameters[file]


def list_models(steps: _Steps) -> Iterator[Mapping[str, str]]:
    """Yield the name and the sha256 of each model that steps name."""
    for name, parameters in steps:
        if model := step_model(name, parameters):
            yield parameters[model]
