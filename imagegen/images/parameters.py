"""What other generators write into a PNG of how they made it.

That is the text `parameters` of AUTOMATIC1111's web UI and its kin, and ComfyUI's `prompt`, the workflow that it ran.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from imagegen.images import png
from imagegen.images.containers import format_of

__all__ = ["Parameters", "comfyui_prompt", "read_parameters"]


@dataclass(frozen=True)
class Parameters:
    """What a `parameters` text says. fields: those that mean the same here, by our names. others: the rest, as said."""

    prompt: str
    fields: dict[str, Any] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)


_SETTING = re.compile(r'\s*([A-Za-z][^:,"]*): ("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')
_NEGATIVE = "Negative prompt:"
_NUMBERS = {"Steps": ("steps", int), "CFG scale": ("cfg", float), "Seed": ("seed", int)}


def read_parameters(data: bytes) -> Parameters | None:
    """What the PNG's `parameters` say; None where it has none. Raises BadImage for a file that cannot be read."""
    text = _text(data, "parameters")
    if not text or not text.strip():
        return None
    *lines, last = text.strip().split("\n")
    settings = dict(_SETTING.findall(last))
    if "Steps" not in settings:
        lines, settings = [*lines, last], {}
    negative = next((number for number, line in enumerate(lines) if line.startswith(_NEGATIVE)), len(lines))
    fields: dict[str, Any] = {}
    if negative < len(lines):
        fields["negative"] = "\n".join(lines[negative:]).removeprefix(_NEGATIVE).strip()
    for name, (key, kind) in _NUMBERS.items():
        try:
            fields[key] = kind(settings.get(name, ""))
        except ValueError:
            continue
        settings.pop(name)
    if size := re.fullmatch(r"(\d{1,5})x(\d{1,5})", settings.get("Size", "")):
        fields |= {"width": int(size[1]), "height": int(size[2])}
        settings.pop("Size")
    return Parameters("\n".join(lines[:negative]).strip(), fields, settings)


def comfyui_prompt(data: bytes) -> str | None:
    """The JSON of the workflow that ComfyUI ran; None where the PNG has none. Raises BadImage."""
    return _text(data, "prompt")


def _text(data: bytes, key: str) -> str | None:
    if format_of(data) != "png":
        return None
    return next((png.text(chunk) for chunk in png.read_chunks(data) if png.keyword(chunk) == key), None)
