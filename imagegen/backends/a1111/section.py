"""A job's section `a1111`: its options, and what they resolve to. Contacts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagegen.backends.base import Context, Resolved
from imagegen.backends.options import NAME, STRENGTH, address, normalise, option
from imagegen.backends.reference_image import FIRST_IMAGE, read_images, resolve_strength
from imagegen.errors import ImagegenError, Problem

__all__ = ["LOCAL_OPTIONS", "OPTIONS", "PARAMETERS", "resolve"]

_SERVER = {
    "url": option("Its address, without /sdapi/v1.", **address("http://127.0.0.1:7860")),
    "interrupt": option(
        "Whether cancelling stops what the server generates, even if it may be another person's image. By default, "
        "only if it is surely this job's.",
        type="boolean",
    ),
}
_INIT = option("The image to start from: a file, or another output as JOB:ITEM.", **NAME)
OPTIONS: Mapping[str, Any] = {
    "checkpoint": option("The checkpoint's name, as the server lists it.", **NAME),
    "loras": option("LoRAs: each name with its strength.", type="mapping", keysrules=NAME, valuesrules=STRENGTH),
    "images": option("Reference images.", type="mapping", schema={FIRST_IMAGE: _INIT}),
    "strength": option(
        "How far the picture may go from images.init: 0 keeps it, 1 ignores it.", type="number", min=0, max=1
    ),
    "server": option("The server of this job's images.", type="mapping", schema=_SERVER),
}
LOCAL_OPTIONS = ("server",)
"""Options that are about the machine of the job's author."""
PARAMETERS = frozenset({"loras", "images", "strength"})
"""Options that decide the pixels; of the reference image it is its content that counts."""


def resolve(section: Mapping[str, Any], context: Context) -> Resolved:
    """Resolve a checked section. Raises ImagegenError: each problem's `where` is the key in the section."""
    problems: list[Problem] = []
    extra: dict[str, Any] = {key: section[key] for key in LOCAL_OPTIONS if key in section}
    if loras := section.get("loras"):
        extra["loras"] = {normalise(name): float(strength) for name, strength in loras.items()}
    references: Mapping[str, str] = section.get("images", {})
    images, files = read_images(references, context, problems, "every server")
    extra |= ({"images": images} if images else {}) | resolve_strength(section, problems)
    if problems:
        raise ImagegenError(*problems)
    return Resolved(
        extra,
        model=normalise(section.get("checkpoint", context.settings.a1111_checkpoint)) or None,
        only_if_given=frozenset({"sampler", "scheduler"}),
        origins={key: name for key, name in references.items() if key not in images},
        files=files,
    )
