"""The step that cuts the subject out of its background, with a model that rembg runs."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from imagegen import DISTRIBUTION
from imagegen.images.formats import BadImage

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["INSTALL", "FindAlpha", "cutout", "is_installed", "load_model"]

FindAlpha = Callable[["Image", str], "Image"]
"""Returns the transparency (L) of what a model finds in a picture. The text: the known model that it works like."""
_FAINT = 26
"""Of 255: what a model finds with less than this counts as background. Models find a little everywhere, which nobody
sees, but `trim` would leave it there."""
INSTALL = f"{sys.executable} -m pip install '{DISTRIBUTION}[cutout]'"
"""What installs rembg, in the environment that imagegen runs in."""


def cutout(picture: Image, *, model: FindAlpha, like: str = "") -> Image:
    """Make everything transparent but what the model finds; what was transparent stays so.

    Raises:
        BadImage: it finds nothing.
    """
    from PIL import ImageChops

    alpha = model(picture, like).point([max(0, value - _FAINT) * 255 // (255 - _FAINT) for value in range(256)])
    if alpha.getbbox() is None:
        raise BadImage("the model finds nothing in the image")
    result = picture.convert("RGBA")
    result.putalpha(ImageChops.multiply(result.getchannel("A"), alpha))
    return result


def is_installed() -> bool:
    """Whether rembg is, and what it runs models with. Neither is imported."""
    return all(importlib.util.find_spec(name) for name in ("rembg", "onnxruntime"))


def load_model(file: Path, like: str) -> Callable[[Image], Image]:
    """Load a model, and return what finds the transparency (L) of a picture with it. Takes seconds.

    It works on the processor, where equal pictures get equal pixels.

    Args:
        file: the model, in ONNX.
        like: the known model that pictures are prepared for it as.

    Raises:
        Exception: whatever onnxruntime raises if the file is not such a model.
    """
    import numpy
    import onnxruntime
    from rembg.sessions import sessions

    onnxruntime.disable_telemetry_events()  # it sends some on Windows
    # the class would download its own file into the home folder
    here = type("Session", (sessions[like],), {"download_models": classmethod(lambda _, *__, **___: str(file))})
    session = here(like, onnxruntime.SessionOptions(), providers=["CPUExecutionProvider"])

    def find_alpha(picture: Image) -> Image:
        with numpy.errstate(all="ignore"):  # it divides by zero where a model finds the same everywhere
            found: Image = session.predict(picture.convert("RGB"))[0]
        return found

    return find_alpha
