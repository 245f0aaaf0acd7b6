"""Preflight of a request's fields: what the engine would change, ignore or refuse. Asks nobody.

Source: stable-diffusion.cpp of July and August 2026 (examples/common/common.cpp, examples/server/routes_sdcpp.cpp,
src/stable-diffusion.cpp, src/conditioner.hpp), and a real server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imagegen.backends.choices import explain_unlisted
from imagegen.backends.sd.image import effective_fields
from imagegen.backends.sd.known_models import KNOWN_MODELS
from imagegen.backends.sd.model_kind import Contents, ModelKind
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = ["SAMPLERS", "check_choices", "check_fields", "describe_fields", "explain_size"]

_LEAST, _MOST = 64, 4096
"""Of width and height: what a server says of its limits."""
_MULTIPLES = (8, 16, 64)
"""Of width and height: what the kinds of model take."""
_MAX_SEED = 2**63 - 1
"""The server reads it as a signed number of 64 bits, and chooses one of its own if that is negative."""
_MOST_STEPS = 100
_CLIP_LAYERS = 12
SAMPLERS = (
    *("euler", "euler_a", "heun", "dpm2", "dpm++2s_a", "dpm++2m", "dpm++2mv2", "ipndm", "ipndm_v", "lcm"),
    *("ddim_trailing", "tcd", "res_multistep", "res_2s", "er_sde", "euler_cfg_pp", "euler_a_cfg_pp", "euler_ge"),
    *("dpm++2m_sde", "dpm++2m_sde_bt", "lms"),
)
"""Of the server of July and August 2026: for those who don't list them."""
_LORA = r"<lora:[^>]*>"


def check_choices(request: Request, samplers: Sequence[str], schedulers: Sequence[str]) -> Iterator[Problem]:
    """Yield the problems of a sampler and a scheduler that the job gives and the server would ignore.

    Args:
        samplers: those that it has; empty if that is unknown. The same for the schedulers.
    """
    for field, names in (("sampler", samplers), ("scheduler", schedulers)):
        given = str(getattr(request, field))
        if field in request.given and names and given not in names:
            yield explain_unlisted(field, given, "sd-server", samplers, schedulers)


def check_fields(request: Request, contents: Contents | None) -> Iterator[Problem]:
    """Yield the problems of a request's fields.

    Args:
        contents: of its model; None if they are unknown. Then nothing is checked that depends on it.
    """
    kind = contents.kind if contents else None
    fields = effective_fields(request)
    for name, value in (("width", fields.width), ("height", fields.height)):
        yield from _check_side(name, value, kind.multiple if kind else 1)
    if fields.steps > _MOST_STEPS:
        yield Problem("", f"steps {fields.steps}: sd-server does at most {_MOST_STEPS}", f"make it {_MOST_STEPS}")
    if request.seed is not None and request.seed > _MAX_SEED:
        what = f"seed {request.seed}: sd-server takes it for a random one"
        yield Problem("", what, f"give one up to 2^63 - 1 ({_MAX_SEED:,})")
    for text, field in ((request.prompt, "prompt"), (fields.negative, "negative prompt")):
        if found := re.search(_LORA, text):
            what = f"the {field} has '{found[0][:60]}', which sd-server reads as words"
            yield Problem("", what, "name the LoRA in sd.loras, with its strength, and remove it from the prompt")
    if kind and "clip_skip" in request.given:
        yield from _check_clip_skip(request.clip_skip, kind)
    if contents and kind and "guidance" in request.extra and not contents.has_guidance:
        what = f"sd.guidance: this model ({kind.name}) takes none, and the engine would ignore it"
        yield Problem("", what, "remove it")
    yield from _check_references(request, kind)


def describe_fields(request: Request, contents: Contents) -> Iterator[str]:
    """Yield what to say where a default does not suit the model, as far as its kind is known."""
    kind = contents.kind
    if kind and request.model not in KNOWN_MODELS:
        yield from filter(None, [_describe_cfg(request, contents, kind), _describe_size(request, kind)])


def _describe_cfg(request: Request, contents: Contents, kind: ModelKind) -> str:
    """Return what to say where the default of `cfg` doesn't suit the model; empty if it does.

    FLUX.1 and what has an input for distilled guidance were trained to work without CFG.
    """
    if "cfg" in request.given or not (contents.has_guidance or kind.name == "FLUX.1"):
        return ""
    what = f"this model ({kind.name}) is made for cfg 1, and the job gives none, so {request.cfg:g} is used"
    return f"{what}: write generate: {{cfg: 1}}"


def _describe_size(request: Request, kind: ModelKind) -> str:
    """Return what to say where the default of the size is larger than the model is made for; empty if it isn't."""
    sizes = _SIZES.get(kind.name)
    if sizes is None or {"width", "height"} & {*request.given} or max(request.width, request.height) <= sizes[-1]:
        return ""
    made = " or ".join(f"{size}×{size}" for size in sizes)
    what = f"this model ({kind.name}) is made for {made}, and the job gives no size"
    used, size = f"{request.width}×{request.height}", sizes[-1]
    return f"{what}, so {used} is used: write generate: {{width: {size}, height: {size}}}"


_SIZES: Mapping[str, Sequence[int]] = {"SD 1.x": (512,), "SD 2.x": (512, 768)}
"""The kinds of model that were trained on smaller images than the default → on which.

Of SD 2.x, the base model and SD-Turbo on 512, the others on 768. Source: the models' pages.
"""


def explain_size(body: Mapping[str, Any], image: bytes) -> Problem | None:
    """Return the problem of a PNG that the engine made larger than what was sent asks for; None if it did not."""
    asked = body["width"], body["height"]
    made = int.from_bytes(image[16:20], "big"), int.from_bytes(image[20:24], "big")
    for multiple in _MULTIPLES:
        if made != asked and made == tuple(side + -side % multiple for side in asked):
            size = "{}×{}".format(*made)
            what = f"sd-server made it {size}, not the {{}}×{{}} asked for: this model takes multiples of {multiple}"
            return Problem("", what.format(*asked), f"use multiples of {multiple}, such as {size}")
    return None


def _check_side(name: str, value: int, multiple: int) -> Iterator[Problem]:
    if value > _MOST:
        yield Problem("", f"{name} {value}: sd-server takes at most {_MOST}", f"use {_MOST} or less")
    elif value < _LEAST:
        yield Problem("", f"{name} {value}: sd-server takes at least {_LEAST}", f"use {_LEAST} or more")
    elif value % multiple:
        below = value // multiple * multiple
        yield Problem(
            "", f"{name} {value}: this model takes multiples of {multiple}", f"use {below} or {below + multiple}"
        )


def _check_clip_skip(clip_skip: int, kind: ModelKind) -> Iterator[Problem]:
    if not kind.has_clip and clip_skip > 1:
        what = f"clip_skip {clip_skip}: {kind.name} has no CLIP, and the engine would ignore it"
        yield Problem("", what, "remove it")
    elif kind.name == "SD 1.x" and clip_skip > _CLIP_LAYERS:
        what = f"clip_skip {clip_skip}: the CLIP of {kind.name} has {_CLIP_LAYERS} layers"
        yield Problem("", what, f"make it at most {_CLIP_LAYERS}; 1 and 2 are usual")


def _check_references(request: Request, kind: ModelKind | None) -> Iterator[Problem]:
    images: Mapping[str, str] = request.extra.get("images", {})
    known = KNOWN_MODELS.get(request.model)
    takes = known.takes_references if known else kind.takes_references if kind else None
    if takes is False:
        name = known.name if known else kind.name if kind else ""
        for key in sorted(images):
            if key != "init":
                what = f"sd.images.{key}: {name} takes no reference images, and the engine would ignore this one"
                yield Problem(
                    "", what, "take a model that edits images, such as flux2-klein-4b; or start from images.init"
                )
