"""A job's section `sd`: its options, and what they resolve to. Contacts nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from imagegen.backends.base import Context, Resolved
from imagegen.backends.sd.files import name_here
from imagegen.backends.sd.known_models import KNOWN_MODELS, KnownModel
from imagegen.config.document import MAX_BYTES
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, Problem
from imagegen.plan.naming import is_output_name

__all__ = ["LOCAL_OPTIONS", "OPTIONS", "PARAMETERS", "PARTS", "recover_section", "resolve"]

_NAME = {"type": "text", "minlength": 1, "maxlength": 500}
_ADDRESS = {
    "type": "text",
    "regex": r"https?://[^/\s@]+(/[^\s@]*)?",
    "meta": {"expected": "address such as http://127.0.0.1:1234, without a user or password in it"},
}
_IMAGE_KEY = {
    "type": "text",
    "regex": "(init|ref[1-9])",
    "meta": {"expected": "init (the image to start from) or ref1 to ref9 (images to edit or to follow)"},
}


def _option(description: str, **rules: Any) -> dict[str, Any]:
    return {**rules, "meta": {**rules.get("meta", {}), "description": description}}


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
    "model": _option(
        "A model that sd:setup knows, or a checkpoint's file: its name or its path.",
        **_NAME,
        meta={"instead_of": ("diffusion_model", *PARTS)},
    ),
    "diffusion_model": _option(
        "The diffusion model's file, if the model is in several files.",
        **_NAME,
        meta={"instead_of": ("model", *PARTS)},
    ),
    "vae": _option("A VAE's file; without it, the model's own is used.", **_NAME),
    "llm": _option("The file of the language model that reads the prompt (FLUX.2, Z-Image, Qwen-Image).", **_NAME),
    "clip_l": _option("The file of the text encoder CLIP-L.", **_NAME),
    "clip_g": _option("The file of the text encoder CLIP-G.", **_NAME),
    "t5xxl": _option("The file of the text encoder T5-XXL.", **_NAME),
    "loras": _option(
        "LoRAs: each file name with its strength.",
        type="mapping",
        keysrules=_NAME,
        valuesrules={"type": "number", "min": -100, "max": 100},
    ),
    "images": _option(
        "Reference images, each a file, or another output as JOB:ITEM. init: the image to start from; ref1 to ref9: "
        "images to edit or to follow, for models that take them.",
        type="mapping",
        keysrules=_IMAGE_KEY,
        valuesrules=_NAME,
    ),
    "strength": _option(
        "How far the picture may go from images.init: 0 keeps it, 1 ignores it.", type="number", min=0, max=1
    ),
    "guidance": _option("Distilled guidance, for models such as FLUX.1 dev.", type="number", min=0, max=100),
    "rng": _option(
        "Whose random numbers: cpu gives ComfyUI's noise, cuda A1111's.", type="text", allowed=["cpu", "cuda"]
    ),
    "offload": _option(
        "Whether the model waits in main memory, and only what is needed is in the GPU's. Doesn't affect the picture.",
        type="boolean",
    ),
    "server": _option(
        "A server of your own for this job's images.",
        type="mapping",
        schema={"url": _option("Its address.", **_ADDRESS)},
    ),
}
LOCAL_OPTIONS = ("server", "offload")
"""Options that are about the machine of the job's author."""
PARAMETERS = frozenset({*PARTS, "loras", "images", "strength", "guidance", "rng"}) - {"model"}
"""Options that decide the pixels; of reference images it is their content that counts."""
_DEFAULT_STRENGTH = 0.75


def resolve(section: Mapping[str, Any], context: Context) -> Resolved:
    """Resolve a checked section.

    Besides the options that decide the pixels, `extra` holds `files`, the name of each model file by its option, and
    what the job says of its machine (LOCAL_OPTIONS).

    Raises:
        ImagegenError: each problem's `where` is the key in the section.
    """
    problems: list[Problem] = []
    section = {key: _normalise(value) if key in PARTS else value for key, value in section.items()}
    known, files = _name_files(section, context.settings, problems)
    extra: dict[str, Any] = {key: section[key] for key in (*PARAMETERS, *LOCAL_OPTIONS) if key in section}
    if loras := extra.get("loras"):
        extra["loras"] = {_normalise(name): float(strength) for name, strength in loras.items()}
    if "guidance" in extra:
        extra["guidance"] = float(extra["guidance"])
    references: Mapping[str, str] = extra.pop("images", {})
    images, sources = _read_images(references, context, problems)
    if images:
        extra["images"] = images
    if "init" in references:
        extra["strength"] = float(section.get("strength", _DEFAULT_STRENGTH))
    elif "strength" in section:
        hint = "add images.init, or remove it"
        problems.append(Problem("strength", "is for images.init, and the job has none", hint))
    if problems:
        raise ImagegenError(*problems)
    extra["files"] = files
    return Resolved(
        extra,
        model=known.name if known else files.get("diffusion_model") or files.get("model"),
        only_if_given=frozenset({"sampler", "scheduler"} | ({"steps", "cfg", "width", "height"} if known else set())),
        origins={key: name for key, name in references.items() if key not in images},
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
    named = named or _normalise(settings.sd_model)
    if known := KNOWN_MODELS.get(named):
        return known, {part: name_here(settings, part, file) for part, file in known.parts.items()} | files
    return None, {"model": named, **files} if named else files


def _read_images(
    references: Mapping[str, str], context: Context, problems: list[Problem]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the sha256 of each reference image that is a file, by its key, and the file of each sha256."""
    images: dict[str, str] = {}
    for key, name in references.items():
        if not is_output_name(name):
            try:
                images[key] = _hash_image(context, name)
            except ImagegenError as error:
                problems += [Problem(f"images.{key}", f"{name}: {one.what}", one.hint) for one in error.problems]
    return images, {sha256: references[key] for key, sha256 in images.items()}


def recover_section(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section that gives these recorded fields. Raises ImagegenError for reference images."""
    if "images" in fields:
        what = "was generated from reference images, of which only the digests are recorded"
        raise ImagegenError(Problem("", what, "add an item to a job that names them, or give --backend"))
    return {key: fields[key] for key in PARAMETERS if key in fields}


def _normalise(name: str) -> str:
    """Return a file's name as it is written on every system, so that a job is the same on all of them."""
    return name.replace("\\", "/")


def _hash_image(context: Context, file: str) -> str:
    data = context.read(file)
    if len(data) > MAX_BYTES:  # only so much was read
        raise ImagegenError(Problem(file, f"it is larger than {MAX_BYTES // 1024**2} MiB", "make it smaller"))
    if not data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM")) and data[8:12] != b"WEBP":
        raise ImagegenError(Problem(file, "it is not an image that sd-server reads", "save it as PNG or JPEG"))
    return hashlib.sha256(data).hexdigest()
