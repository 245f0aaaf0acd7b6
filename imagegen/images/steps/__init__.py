"""The steps of derived files, carried out: each takes a picture (L, RGB or RGBA) and returns one.

`config.steps` declares them. Equal inputs give equal pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imagegen.config.steps import step_file
from imagegen.images.formats import BadImage
from imagegen.images.image_file import verify
from imagegen.images.steps.arrange import resize
from imagegen.images.steps.frame import frame
from imagegen.images.steps.transparency import mask, trim

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["STEP_FUNCTIONS", "apply_steps", "check_file", "list_files"]

STEP_FUNCTIONS: Mapping[str, Callable[..., Image]] = {"trim": trim, "mask": mask, "frame": frame, "resize": resize}
"""By the name of the step. Their parameters are those of `config.steps.STEPS`; that of a file is what it holds."""

_Steps = Sequence[tuple[str, Mapping[str, Any]]]


def apply_steps(picture: Image, steps: _Steps, files: Mapping[str, bytes]) -> Image:
    """Return the picture after these steps.

    Args:
        picture: L, RGB or RGBA.
        steps: names and parameters, in order; the parameter of a file is its sha256.
        files: the files, by their sha256.

    Raises:
        BadImage: a step is not possible with this picture.
    """
    for number, (name, parameters) in enumerate(steps, 1):
        file = step_file(name, parameters)
        loaded = {file: files[parameters[file]]} if file else {}
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
