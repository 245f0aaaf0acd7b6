"""A job's section `sd`: its options, and what they resolve to. Contacts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagegen.backends.base import Context, Resolved
from imagegen.backends.options import (
    INIT_STRENGTH,
    LORAS,
    NAME,
    address,
    normalise,
    option,
    recover_options,
    resolve_loras,
)
from imagegen.backends.reference_image import resolve_images
from imagegen.backends.sd.files import name_here
from imagegen.backends.sd.known_models import KNOWN_MODELS, KnownModel
from imagegen.config.settings import Settings
from imagegen.errors import InputError, Problem

__all__ = ["LOCAL_OPTIONS", "OPTIONS", "PARAMETERS", "PARTS", "recover_section", "resolve"]

_IMAGE_KEY = {
    "type": "text",
    "regex": "(init|ref[1-9])",
    "meta": {"expected": "init (the image to start from) or ref1 to ref9 (images to edit or to follow)"},
}


PARTS: Mapping[str, str] = {
    "model": "--model",
    "diffusion_model": "--diffusion-model",
    "vae": "--vae",
    "llm": "--llm",
    "clip_l": "--clip_l",
    "clip_g": "--clip_g",
    "t5xxl": "--t5xxl",
}
"""The options that name a model file → the server's argument for it."""

OPTIONS: Mapping[str, Any] = {
    "model": option(
        "A model that sd:setup knows, or a checkpoint's file: its name or its path.",
        **NAME,
        meta={"instead_of": ("diffusion_model", *PARTS)},
    ),
    "diffusion_model": option(
        "The diffusion model's file, if the model is in several files.",
        **NAME,
        meta={"instead_of": ("model", *PARTS)},
    ),
    "vae": option("A VAE's file; without it, the model's own is used.", **NAME),
    "llm": option("The file of the language model that reads the prompt (FLUX.2, Z-Image, Qwen-Image).", **NAME),
    "clip_l": option("The file of the text encoder CLIP-L.", **NAME),
    "clip_g": option("The file of the text encoder CLIP-G.", **NAME),
    "t5xxl": option("The file of the text encoder T5-XXL.", **NAME),
    "loras": LORAS,
    "images": option(
        "Reference images, each a file, or another output as JOB:ITEM. init: the image to start from; ref1 to ref9: "
        "images to edit or to follow, for models that take them.",
        type="mapping",
        keysrules=_IMAGE_KEY,
        valuesrules=NAME,
    ),
    "strength": INIT_STRENGTH,
    "guidance": option("Distilled guidance, for models such as FLUX.1 dev.", type="number", min=0, max=100),
    "rng": option(
        "Whose random numbers: cpu gives ComfyUI's noise, cuda A1111's.", type="text", allowed=["cpu", "cuda"]
    ),
    "offload": option(
        "Whether the model waits in main memory, and only what is needed is in the GPU's. Doesn't affect the picture.",
        type="boolean",
    ),
    "server": option(
        "A server of your own for this job's images.",
        type="mapping",
        schema={"url": option("Its address.", **address("http://127.0.0.1:1234"))},
    ),
}
LOCAL_OPTIONS = ("server", "offload")
"""Options that are about the machine of the job's author."""
PARAMETERS = frozenset({*PARTS, "loras", "images", "strength", "guidance", "rng"}) - {"model"}
"""Options that decide the pixels; of reference images it is their content that counts."""


def resolve(section: Mapping[str, Any], context: Context) -> Resolved:
    """Resolve a checked section.

    Besides the options that decide the pixels, `extra` holds `files`, the name of each model file by its option, and
    what the job says of its machine (LOCAL_OPTIONS).

    Raises:
        ImagegenError: each problem's `where` is the key in the section.
    """
    problems: list[Problem] = []
    section = {key: normalise(value) if key in PARTS else value for key, value in section.items()}
    known, files = _name_files(section, context.settings, problems)
    extra: dict[str, Any] = {key: section[key] for key in (*PARAMETERS, *LOCAL_OPTIONS) if key in section}
    if "guidance" in extra:
        extra["guidance"] = float(extra["guidance"])
    extra.pop("images", None)
    images, origins, sources = resolve_images(section, context, problems, "sd-server")
    extra |= resolve_loras(section) | images
    if problems:
        raise InputError(*problems)
    extra["files"] = files
    return Resolved(
        extra,
        model=known.name if known else files.get("diffusion_model") or files.get("model"),
        only_if_given=frozenset({"sampler", "scheduler"} | ({"steps", "cfg", "width", "height"} if known else set())),
        origins=origins,
        files=sources,
        unused=frozenset({"cfg", "negative"} if known and known.is_distilled else ()),
    )


def _name_files(
    section: Mapping[str, Any], settings: Settings, problems: list[Problem]
) -> tuple[KnownModel | None, dict[str, str]]:
    """Return the known model that is meant, if it is one, and the name of each file by its option."""
    files = {part: section[part] for part in PARTS if part in section}
    named = files.pop("model", "")
    if "diffusion_model" in files:
        if named not in ("", files["diffusion_model"]):  # the same if the section was recovered
            hint = "keep model for a single file, or diffusion_model for several"
            problems.append(Problem("diffusion_model", "is given beside model", hint))
        return None, files
    named = named or normalise(settings.sd_model)
    if known := KNOWN_MODELS.get(named):
        return known, {part: name_here(settings, part, file) for part, file in known.parts.items()} | files
    return None, {"model": named, **files} if named else files


def recover_section(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section that gives these recorded fields. Raises ImagegenError for reference images."""
    return recover_options(fields, PARAMETERS)
