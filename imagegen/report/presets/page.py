"""The page of all presets, with all that it needs in it."""

from __future__ import annotations

import base64
import sys
from collections.abc import Sequence
from pathlib import Path

from imagegen.errors import NotBegunError, Problem
from imagegen.images.formats import format_of
from imagegen.report.presets.pictures import ShownPreset

__all__ = ["check_package", "render"]

_TEMPLATE = Path(__file__).with_name("page.html")


def check_package() -> None:
    """Raise ImagegenError if there is no jinja2."""
    try:
        import jinja2  # noqa: F401 - only whether it is there
    except ImportError:
        what = "the page with a picture of each preset is written with jinja2, which is not installed"
        raise NotBegunError(Problem("", what, f"{sys.executable} -m pip install jinja2")) from None


def render(presets: Sequence[ShownPreset]) -> str:
    """Return the page as HTML; it takes jinja2."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["address"] = _address
    return environment.from_string(_TEMPLATE.read_text("utf-8")).render(presets=presets)


def _address(image: bytes) -> str:
    return f"data:image/{format_of(image)};base64,{base64.b64encode(image).decode()}"
