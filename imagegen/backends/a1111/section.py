"""A job's section `a1111`: its options, and what they resolve to. Contacts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagegen.backends.base import Context, Resolved
from imagegen.backends.options import INIT_STRENGTH, LORAS, NAME, address, normalise, option, resolve_loras
from imagegen.backends.reference_image import FIRST_IMAGE, resolve_images
from imagegen.errors import InputError, Problem

__all__ = ["OPTIONS", "PARAMETERS", "resolve"]

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
    "loras": LORAS,
    "images": option("Reference images.", type="mapping", schema={FIRST_IMAGE: _INIT}),
    "strength": INIT_STRENGTH,
    "server": option("The server of this job's images.", type="mapping", schema=_SERVER),
}
PARAMETERS = frozenset({"loras", "images", "strength"})
"""Options that decide the pixels; of the reference image it is its content that counts."""


def resolve(section: Mapping[str, Any], context: Context) -> Resolved:
    """Resolve a checked section. Raises ImagegenError: each problem's `where` is the key in the section."""
    problems: list[Problem] = []
    images, origins, files = resolve_images(section, context, problems, "every server")
    if problems:
        raise InputError(*problems)
    settings = context.settings
    checkpoint = normalise(settings.forced_checkpoint or section.get("checkpoint", settings.a1111_checkpoint))
    named = {"checkpoint": checkpoint} if checkpoint else {}
    return Resolved(
        named | {key: section[key] for key in ("server",) if key in section} | resolve_loras(section) | images,
        model=checkpoint or None,
        only_if_given=frozenset({"sampler", "scheduler"}),
        origins=origins,
        files=files,
    )
