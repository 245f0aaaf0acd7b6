"""The steps of derived files, carried out: each takes a picture (L, RGB or RGBA) and returns one.

`config.steps` declares them. Equal inputs give equal pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imagegen.config.steps import step_file, step_model
from imagegen.images.formats import BadImage
from imagegen.images.steps.arrange import flip, resize, rotate
from imagegen.images.steps.background import background
from imagegen.images.steps.canvas import pad, trim
from imagegen.images.steps.cutout import FindAlpha, cutout
from imagegen.images.steps.effects import outline, shadow
from imagegen.images.steps.overlay import check_frame, check_mask, frame, mask
from imagegen.images.steps.palette import read_palette
from imagegen.images.steps.quantise import quantise
from imagegen.images.steps.tile import tile

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["STEP_FUNCTIONS", "StepNotPossible", "apply_steps", "check_file", "list_files", "list_models"]

STEP_FUNCTIONS: Mapping[str, Callable[..., Image]] = {
    "trim": trim,
    "background": background,
    "cutout": cutout,
    "mask": mask,
    "frame": frame,
    "resize": resize,
    "pad": pad,
    "quantise": quantise,
    "outline": outline,
    "shadow": shadow,
    "tile": tile,
    "flip": flip,
    "rotate": rotate,
}
"""By the name of the step. Their parameters are those of `config.steps.STEPS`; that of a file is what it holds, and
that of a model what finds with it."""

_Steps = Sequence[tuple[str, Mapping[str, Any]]]
_NO_MODELS: Mapping[str, FindAlpha] = {}


class StepNotPossible(BadImage):
    """A step is not possible with this picture.

    Args:
        number: of the step, from 1.
        name: of the step.
        why: what is wrong.
    """

    def __init__(self, number: int, name: str, why: BadImage) -> None:
        super().__init__(f"step {number}, {name}: {why.what}", why.hint)
        self.number, self.name, self.reason = number, name, why.what


def apply_steps(
    picture: Image, steps: _Steps, files: Mapping[str, bytes], models: Mapping[str, FindAlpha] = _NO_MODELS
) -> Image:
    """Return the picture after these steps, with its ICC profile.

    Args:
        picture: L, RGB or RGBA.
        steps: names and parameters, in order; that of a file is its sha256, beside that of a model is one.
        files: the files, by their sha256.
        models: what finds with each model, by its name.

    Raises:
        StepNotPossible: with this picture.
    """
    if not steps:
        return picture
    info = picture.info
    for number, (name, parameters) in enumerate(steps, 1):
        file = step_file(name, parameters)
        loaded: dict[str, Any] = {file: files[parameters[file]]} if file else {}
        if model := step_model(name, parameters):
            parameters = {key: value for key, value in parameters.items() if key != "sha256"}
            loaded[model] = models[parameters[model]]
        try:
            picture = STEP_FUNCTIONS[name](picture, **{**parameters, **loaded})
        except BadImage as error:
            raise StepNotPossible(number, name, error) from None
    if picture.info != info:
        picture = picture.copy()  # it may be the origin's own
        picture.info = info
    return picture


def check_file(name: str, parameters: Mapping[str, Any], data: bytes) -> None:
    """Check that this can be the file of a step with these parameters. Raises BadImage."""
    if name == "mask":
        check_mask(data)
    elif name == "frame":
        check_frame(data, parameters["place"])
    else:
        read_palette(data)


def list_files(steps: _Steps) -> Iterator[str]:
    """Yield the sha256 of each file that steps name."""
    for name, parameters in steps:
        if file := step_file(name, parameters):
            yield parameters[file]


def list_models(steps: _Steps) -> Iterator[tuple[str, str]]:
    """Yield the name and the sha256 of each model that steps name."""
    for name, parameters in steps:
        if model := step_model(name, parameters):
            yield parameters[model], parameters["sha256"]
