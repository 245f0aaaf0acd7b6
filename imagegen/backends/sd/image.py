"""One image: the fields that it is generated with, and what is sent to `sd-server` for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagegen.backends.reference_image import encode_image
from imagegen.backends.sd.known_models import KNOWN_MODELS
from imagegen.plan.request import Request

__all__ = ["EffectiveFields", "build_body", "effective_fields"]


@dataclass(frozen=True)
class EffectiveFields:
    """The fields that a request is generated with: the job's, or what suits the model."""

    width: int
    height: int
    steps: int
    cfg: float
    negative: str
    sampler: str
    """Empty: the server's own for the model. The same for the scheduler."""
    scheduler: str


def effective_fields(request: Request) -> EffectiveFields:
    """Return the fields that the request is generated with."""
    known, given = KNOWN_MODELS.get(request.model), request.given

    def choose(name: str) -> Any:
        return getattr(request if known is None or name in given else known, name)

    is_distilled = known is not None and known.is_distilled
    return EffectiveFields(
        choose("width"),
        choose("height"),
        choose("steps"),
        known.cfg if known and is_distilled else choose("cfg"),
        "" if is_distilled else request.negative,
        request.sampler if "sampler" in given else known.sampler if known else "",
        request.scheduler if "scheduler" in given else "",
    )


def build_body(request: Request, loras: Mapping[str, str], file: Callable[[str], Path]) -> dict[str, Any]:
    """Return what is sent for a request; nothing in it is unknown to the server, which would ignore it.

    Args:
        request: with its seed.
        loras: the path of each LoRA as the server lists it, by the name that the job gives it.
        file: returns where the reference image with a sha256 is.

    Raises:
        GenerationError: a reference image is damaged.
    """
    fields, extra = effective_fields(request), request.extra
    guidance: dict[str, float] = {"txt_cfg": fields.cfg}
    if "guidance" in extra:
        guidance["distilled_guidance"] = extra["guidance"]
    sample: dict[str, Any] = {"sample_steps": fields.steps, "guidance": guidance}
    if fields.sampler:
        sample["sample_method"] = fields.sampler
    if fields.scheduler:
        sample["scheduler"] = fields.scheduler
    body: dict[str, Any] = {
        "prompt": request.prompt,
        "negative_prompt": fields.negative,
        "width": fields.width,
        "height": fields.height,
        "seed": request.seed,
        "batch_count": 1,
        "sample_params": sample,
        "output_format": "png",
    }
    if "clip_skip" in request.given:
        body["clip_skip"] = request.clip_skip
    if extra.get("loras"):
        body["lora"] = [{"path": loras[name], "multiplier": strength} for name, strength in extra["loras"].items()]
    images = {
        key: encode_image(file(sha256).read_bytes(), f"sd.images.{key}")
        for key, sha256 in extra.get("images", {}).items()
    }
    if "init" in images:
        body["init_image"] = images["init"]
        body["strength"] = extra["strength"]
    if references := [images[key] for key in sorted(images) if key != "init"]:
        body["ref_images"] = references
    return body
