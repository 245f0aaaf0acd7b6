"""One image: what is sent to a server for it, and whether what comes back is what was asked for."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from imagegen.backends.a1111.checks import fold_seed
from imagegen.backends.a1111.client import Answer
from imagegen.backends.a1111.server import Checkpoint, Server
from imagegen.backends.reference_image import FIRST_IMAGE, encode_image
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = ["build_body", "find_difference"]


def build_body(request: Request, server: Server, checkpoint: Checkpoint, file: Callable[[str], Path]) -> dict[str, Any]:
    """Return what is sent for a request: only keys that the program takes.

    Args:
        request: with its seed, after preflight.
        server: which generates it.
        checkpoint: of that server.
        file: returns where the reference image with a sha256 is.

    Raises:
        GenerationError: a reference image is damaged.
    """
    program, extra = server.program, request.extra
    body: dict[str, Any] = {
        "prompt": request.prompt,
        "negative_prompt": request.negative,
        "width": request.width,
        "height": request.height,
        "steps": request.steps,
        "cfg_scale": request.cfg,
        "seed": fold_seed(request.seed or 0, server),
        **program.always,
    }
    if "sampler" in request.given:
        body["sampler_name"] = server.samplers.get(request.sampler.lower(), request.sampler)
    if "scheduler" in request.given:
        body["scheduler"] = server.schedulers.get(request.scheduler.lower(), request.scheduler)
    if program.checkpoint == "model":
        body["model"] = checkpoint.title
    elif program.checkpoint and len(server.checkpoints) > 1:
        body["override_settings"] = {"sd_model_checkpoint": checkpoint.title}
    loras = {(server.loras or {}).get(name, name): strength for name, strength in extra.get("loras", {}).items()}
    if loras and program.loras == "prompt":
        body["prompt"] += "".join(f" <lora:{name}:{strength:g}>" for name, strength in loras.items())
    elif loras and program.loras == "lora":
        body["lora"] = [{"path": path, "multiplier": strength} for path, strength in loras.items()]
    elif loras:
        body["loras"] = [{"file": name, "weight": strength} for name, strength in loras.items()]
    if sha256 := extra.get("images", {}).get(FIRST_IMAGE):
        size = None if program.resizes_images else (request.width, request.height)
        body["init_images"] = [encode_image(file(sha256).read_bytes(), f"a1111.images.{FIRST_IMAGE}", size)]
        body["denoising_strength"] = extra["strength"]
    return body


def find_difference(answer: Answer, body: Mapping[str, Any], checkpoint: Checkpoint, server: Server) -> Problem | None:
    """Return what the server generated in place of what it was asked for; None if nothing speaks for that."""
    found = next(_compare(answer, body, checkpoint), None)
    if found is None:
        return None
    name, asked, taken = found
    hint = f"use multiples of 64, such as {_round_up(body)}" if name == "size" else _HINTS.get(name, _LIST)
    return Problem("", f"{server.program.name} took another {name}: {taken} in place of {asked}", hint)


_LIST = "see what the server has now: doit doctor; somebody may have changed it meanwhile"
_HINTS = {
    "prompt": "an extension or a setting of the server changes prompts: switch it off",
    "seed": "look at the server's scripts and settings",
}


def _compare(answer: Answer, body: Mapping[str, Any], checkpoint: Checkpoint) -> Iterator[tuple[str, str, str]]:
    """Yield what differs: its name, what was asked for, and what was taken."""
    info = answer.info
    size, asked_size = _read_size(answer.image), (body["width"], body["height"])
    if size and size != asked_size:
        yield "size", "{}×{}".format(*asked_size), "{}×{}".format(*size)
    prompts = info.get("all_prompts") or [info.get("prompt")]
    asked: dict[str, Any] = {"prompt": body["prompt"], "seed": body["seed"], "sampler": body.get("sampler_name")}
    taken = {"seed": info.get("seed"), "sampler": info.get("sampler_name")}
    taken["prompt"] = prompts[0] if isinstance(prompts, list) else None
    if "override_settings" in body:
        asked |= {"checkpoint": checkpoint.base, "checkpoint (by its hash)": checkpoint.hash}
        taken |= {"checkpoint": info.get("sd_model_name"), "checkpoint (by its hash)": info.get("sd_model_hash")}
    for name, value in asked.items():
        if value not in (None, "") and taken[name] not in (None, "") and _plain(taken[name]) != _plain(value):
            yield name, str(value), str(taken[name])
    more = info.get("extra_generation_params")
    hashes = more.get("Lora hashes") if isinstance(more, dict) else None
    if isinstance(hashes, str):
        loaded = {part.partition(":")[0].strip() for part in hashes.split(",")}
        for tag in body["prompt"].split("<lora:")[1:]:
            if (name := tag.partition(":")[0]) and name.replace(",", "") not in loaded:
                yield "list of LoRAs", name, hashes


def _plain(value: object) -> str:
    """Return it as all programs repeat it: in koboldcpp's lower case, without LoRAs, and the comma that it adds."""
    return " ".join(re.sub(r"<\w+:[^>]*>", "", str(value).lower()).split()).rstrip(", ")


def _read_size(data: bytes) -> tuple[int, int] | None:
    """Return the size of an image; None if it cannot be read, which is reported later."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            return width, height
    except Exception:  # a decoder fails on foreign bytes in more ways than Pillow documents
        return None


def _round_up(body: Mapping[str, Any]) -> str:
    return "×".join(str(body[side] + -body[side] % 64) for side in ("width", "height"))
