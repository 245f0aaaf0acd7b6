"""The page of all presets, with all that it needs in it."""

from __future__ import annotations

import base64
import sys
from collections.abc import Sequence
from pathlib import Path

from imagegen.errors import ImagegenError, Problem
from imagegen.images.formats import format_of
from imagegen.report.presets.pictures import ShownPreset

__all__ = ["render"]

_TEMPLATE = Path(__file__).with_name("page.html")


def render(presets: Sequence[ShownPreset]) -> str:
    """Return the page as HTML. Raises ImagegenError without jinja2."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        what = "the page with a picture of each preset is written with jinja2, which is not installed"
        raise ImagegenError(Problem("", what, f"{sys.executable} -m pip install jinja2")) from None

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["address"] = _address
    return environment.from_string(_TEMPLATE.read_text("utf-8")).render(presets=presets)


def _address(image: bytes) -> str:
    return f"data:image/{format_of(image)};base64,{base64.b64encode(image).decode()}"
