"""One image: what is sent to a server for it, and whether what comes back is what was asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from imagegen.backends.a1111.server import Server
from imagegen.backends.choices import simplify_name
from imagegen.backends.reference_image import FIRST_IMAGE, encode_image, read_size
from imagegen.backends.text import one_line
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = ["build_body", "find_difference"]


def build_body(request: Request, server: Server, checkpoint: str, file: Callable[[str], Path]) -> dict[str, Any]:
    """Return what is sent for a request: only keys that the program takes.

    file: returns where the reference image with a sha256 is. Raises GenerationError, if such an image is damaged.
    """
    program, extra = server.program, request.extra
    body: dict[str, Any] = {
        "prompt": request.prompt,
        "negative_prompt": request.negative,
        "width": request.width,
        "height": request.height,
        "steps": request.steps,
        "cfg_scale": request.cfg,
        "seed": program.fold_seed(request.seed or 0),
        **program.always,
    }
    if "sampler" in request.given:
        body["sampler_name"] = server.samplers.get(request.sampler.lower(), request.sampler)
    if "scheduler" in request.given:
        body["scheduler"] = server.schedulers.get(request.scheduler.lower(), request.scheduler)
    if program.checkpoint == "model":
        body["model"] = checkpoint
    elif program.checkpoint and len(server.checkpoints) > 1:
        body["override_settings"] = {"sd_model_checkpoint": server.checkpoints[checkpoint][0]}
    loras = {(server.loras or {}).get(name, name): strength for name, strength in extra.get("loras", {}).items()}
    if loras and program.loras == "prompt":
        body["prompt"] += "".join(f" <lora:{name}:{strength}>" for name, strength in loras.items())
    elif loras and program.loras == "lora":
        body["lora"] = [{"path": path, "multiplier": strength} for path, strength in loras.items()]
    elif loras:
        body["loras"] = [{"file": name, "weight": strength} for name, strength in loras.items()]
    if sha256 := extra.get("images", {}).get(FIRST_IMAGE):
        size = None if program.resizes_images else (request.width, request.height)
        body["init_images"] = [encode_image(file(sha256).read_bytes(), f"a1111.images.{FIRST_IMAGE}", size)]
        body["denoising_strength"] = extra["strength"]
    return body


def find_difference(
    body: Mapping[str, Any], server: Server, checkpoint: str, image: bytes = b"", info: Mapping[str, Any] | None = None
) -> Problem | None:
    """Return what the server took in place of what it was asked for; None if nothing speaks for that.

    What it took for one image it would take for each that asks for the same: without an image, that alone is looked at.

    info: what it says of the image.
    """
    compared = _compare(image, info or {}, body, server.checkpoints.get(checkpoint, ()), server.schedulers)
    for name, asked, taken in chain(compared, _compare_loras(info or {}, body["prompt"], server)):
        simplify, key = _SIMPLIFY.get(name, _simplify), (checkpoint, body.get("sampler_name", ""), name, asked)
        if taken and simplify(asked) != simplify(taken):
            what = f"the server took another {name}: {one_line(taken)}, and not {one_line(asked) or 'none'}"
            hint = _HINTS.get(name, "see what the server has now: doit doctor")
            server.differences[key] = Problem("", what, hint)
        if key in server.differences:
            return server.differences[key]
    return None


def _round(number: str) -> str:
    """Return a number as all programs repeat it: koboldcpp has 32 bits for it."""
    try:
        return f"{float(number):.5g}"
    except ValueError:
        return number


_SIMPLIFY = {"cfg": _round, "sampler": simplify_name, "scheduler": simplify_name}
_PROMPT_HINT = "an extension or a setting of the server changes prompts: switch it off"
_VALUE_HINT = "this model, or a setting of the server, decides it: give the value that it took"
_HINTS = {
    "prompt": _PROMPT_HINT,
    "negative prompt": _PROMPT_HINT,
    "seed": "see whether an extension or a setting of the server changes seeds",
    "size": "this model needs another one; multiples of 64 suit all of them",
    "steps": _VALUE_HINT,
    "cfg": _VALUE_HINT,
}
_COMPARED = {
    "steps": "steps",
    "cfg_scale": "cfg",
    "seed": "seed",
    "sampler_name": "sampler",
    "scheduler": "scheduler",
    "prompt": "prompt",
    "negative_prompt": "negative prompt",
}
"""What is sent, and repeated by some programs, under these keys, for a person."""
_CHOSEN_BY_SERVER = ("automatic", "default")
"""Schedulers in whose place the program takes that of the sampler or of the model."""


def _compare(
    image: bytes, info: Mapping[str, Any], body: Mapping[str, Any], names: Sequence[str], schedulers: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    """Yield what can be compared: its name, what was asked for, and what was taken; empty if that is not known.

    names: of the checkpoint, as listed first; none if the server has no list. schedulers: by their labels.
    """
    said = {key: str(value) for key, value in info.items() if isinstance(value, (str, int, float))}
    for key in ("prompt", "negative_prompt"):
        if isinstance(prompts := info.get(f"all_{key}s"), list) and prompts:
            said[key] = str(prompts[0])
    label = _read_more(info, "Schedule type")
    if body.get("scheduler") not in _CHOSEN_BY_SERVER:
        said["scheduler"] = schedulers.get(label.lower(), label)
    yield "size", f"{body['width']}×{body['height']}", read_size(image)
    yield from ((name, str(body[key]), said.get(key, "")) for key, name in _COMPARED.items() if key in body)
    is_hashed = any(re.fullmatch("[0-9a-f]{10}", name) for name in names)
    for key in ("sd_model_name", "sd_model_hash")[: 1 + is_hashed] if "override_settings" in body else ():
        asked = body["override_settings"]["sd_model_checkpoint"]
        yield "checkpoint", asked, asked if said.get(key) in names else said.get(key, "")


def _read_more(info: Mapping[str, Any], key: str) -> str:
    """Return what else the server says of an image; empty if it does not."""
    more = info.get("extra_generation_params")
    return str(more.get(key) or "") if isinstance(more, dict) else ""


def _compare_loras(info: Mapping[str, Any], prompt: str, server: Server) -> Iterator[tuple[str, str, str]]:
    """Yield each LoRA of a prompt, and what was loaded: some programs load none of them if one is not there."""
    loaded = _read_more(info, "Lora hashes")
    if not loaded and server.lists_loras and info.get("sd_model_hash"):  # so it was not started with --no-hashing
        loaded = "none"
    names = {part.partition(":")[0].strip() for part in loaded.split(",")}
    for name in re.findall(r"<lora:([^:>]*)", prompt):
        yield "list of LoRAs", name, name if name.replace(",", "") in names else loaded


def _simplify(text: str) -> str:
    """Return it as all programs repeat it: in koboldcpp's lower case, without LoRAs, and the comma that it adds."""
    return " ".join(re.sub(r"<\w+:[^>]*>", "", text.lower()).split()).rstrip(", ")
