"""The programs around stable-diffusion.cpp: sd-server and koboldcpp."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from tests.backends.a1111.fake_programs.program import (
    Answer,
    Body,
    Picture,
    Program,
    RejectedError,
    decode_image,
    stem_of,
)

__all__ = ["KoboldCpp", "SdServer"]


class SdServer(Program):
    """stable-diffusion.cpp: one model, seeds of 31 bits, and no error for a name that it does not know."""

    name = "sd-server"
    samplers: Sequence[str] = (
        "euler",
        "euler_a",
        "heun",
        "dpm2",
        "dpm++2m",
        "dpm++2mv2",
        "lcm",
        "ddim_trailing",
        "tcd",
    )
    schedulers: Mapping[str, str] = {name: name for name in ("discrete", "karras", "exponential", "simple", "lcm")}
    aliases: ClassVar[Mapping[str, str]] = {"euler a": "euler_a", "k_euler_a": "euler_a", "dpm++ 2m": "dpm++2m"}
    checkpoints = ("sd15.safetensors",)
    loras: Sequence[str] = ("tint.safetensors", "styles/ink.safetensors")
    multiple = 64
    has_progress = False

    def __init__(self) -> None:
        super().__init__()
        self.knows_loras = False

    def get(self, path: str) -> Answer | None:
        self.knows_loras = self.knows_loras or path == "/sdapi/v1/loras"
        stem = stem_of(self.current)
        model = {"title": stem, "model_name": stem, "filename": self.current, "config": None}
        samplers = [{"name": one, "aliases": [one], "options": {}} for one in ("default", *self.samplers)]
        answers: dict[str, Any] = {
            "/sdcpp/v1/capabilities": self._list_capabilities(),
            "/sdapi/v1/sd-models": [model | {"hash": "8" * 10, "sha256": "8" * 64}],
            "/sdapi/v1/samplers": samplers,
            "/sdapi/v1/schedulers": [{"name": one, "label": one} for one in ("default", *self.schedulers)],
            "/sdapi/v1/loras": [{"name": stem_of(one), "path": one} for one in self.loras],
            "/sdapi/v1/options": {"samples_format": "png", "sd_model_checkpoint": stem},
            "/v1/models": {"data": [{"id": "sd-cpp-local", "object": "model", "owned_by": "local"}]},
            "/": "Stable Diffusion Server is running",
        }
        return (200, answers[path]) if path in answers else None

    def read(self, path: str, body: Body) -> Picture:
        if not body.get("prompt"):
            raise RejectedError(400, {"error": "prompt required"})
        if null := next((key for key, value in body.items() if value is None), ""):
            said = "[json.exception.type_error.302] type must be number, but is null"
            raise RejectedError(500, {"error": "server_error", "message": f"{said} ({null})"})
        width, height = body.get("width", 512), body.get("height", 512)
        if min(width, height) < 1:
            raise RejectedError(400, {"error": "width and height must be positive"})
        sampler, scheduler = body.get("sampler_name", ""), body.get("scheduler", "")
        sampler = sampler if sampler in self.samplers else self.aliases.get(sampler.lower(), "the model's")
        init = self._read_init(path, body)
        seed = to_int32(body.get("seed", -1))
        return Picture(
            prompt=body["prompt"],
            negative=body.get("negative_prompt", ""),
            width=width + -width % self.multiple,
            height=height + -height % self.multiple,
            steps=min(100, max(1, body.get("steps", 20))),
            cfg=body.get("cfg_scale", 7.0),
            seed=random.SystemRandom().randrange(2**31) if seed < 0 else seed,
            sampler=sampler,
            scheduler=scheduler if scheduler in self.schedulers else "discrete",
            checkpoint=self.current,
            loras=self._choose_loras(body),
            init=init,
            strength=min(1.0, body.get("denoising_strength", 0.75)) if init else 1.0,
        )

    def run_out_of_memory(self) -> Answer:
        return 500, {"error": "generate_image returned no results"}

    def answer_unknown(self) -> Answer:
        return 404, ""

    def _list_capabilities(self) -> dict[str, Any]:
        name = self.current
        return {
            "model": {"name": name, "path": f"/models/{name}", "stem": stem_of(name)},
            "samplers": list(self.samplers),
            "schedulers": list(self.schedulers),
            "loras": [],
            "limits": {},
            "features": {},
        }

    def _choose_loras(self, body: Body) -> dict[str, float]:
        """A path must be as the list has it, and the list must have been asked for once."""
        found = {}
        for one in body.get("lora", []):
            if one["path"] not in self.loras or not self.knows_loras:
                raise RejectedError(400, {"error": f"invalid lora path: {one['path']}"})
            found[stem_of(one["path"])] = float(one.get("multiplier", 1.0))
        return found

    def _read_init(self, path: str, body: Body) -> str:
        """What cannot be read is left out."""
        try:
            return decode_image(body["init_images"][0]) if path == "img2img" else ""
        except (ValueError, LookupError):
            return ""


class KoboldCpp(SdServer):
    """koboldcpp: a failure is a success with an empty image; what it took instead is in `info` alone."""

    name = "koboldcpp"
    samplers = ("Euler", "euler_a", "dpm++2m", "lcm")
    loras = ("tint.safetensors",)

    def get(self, path: str) -> Answer | None:
        if path in ("/sdcpp/v1/capabilities", "/v1/models", "/"):
            return None
        if path == "/api/extra/version":
            return 200, {"result": "KoboldCpp", "version": "1.117.1", "protected": False, "llm": True, "txt2img": True}
        if path == "/system_stats":
            system = {"os": "posix", "comfyui_version": "v0.3.4-3-g7126ecf", "python_version": "3.10.12"}
            return 200, {"system": system, "devices": [{"name": "koboldcpp", "type": "cuda", "index": 0}]}
        if path == "/sdapi/v1/sd-models" and not self.current:
            return 200, []
        if path == "/sdapi/v1/samplers":
            aliases = {"Euler": ["euler", "k_euler"]}
            return 200, [{"name": one, "aliases": aliases.get(one, []), "options": {}} for one in self.samplers]
        return super().get(path)

    def read(self, path: str, body: Body) -> Picture:
        seed = to_int32(body.get("seed", -1))
        known = {"prompt": body["prompt"][:3000] + ", ", "steps": min(80, max(1, body.get("steps", 20)))}
        lower = {key: str(body[key]).lower() for key in ("sampler_name", "scheduler") if key in body}
        picture = super().read(path, {**body, **known, **lower, "lora": []})
        multipliers = {one["path"]: one.get("multiplier", 0) for one in body.get("lora", [])[:4]}
        return replace(
            picture,
            width=max(64, body.get("width", 512) // 64 * 64),
            height=max(64, body.get("height", 512) // 64 * 64),
            cfg=min(25.0, max(1.0, body.get("cfg_scale", 5.0))),
            seed=seed if seed != -1 else picture.seed,
            sampler="Euler" if lower.get("sampler_name") in ("euler", "k_euler") else picture.sampler,
            loras={stem_of(path): by for path, by in multipliers.items() if path in self.loras and by},
        )

    def answer(self, image: str, info: Mapping[str, Any], body: Body) -> dict[str, Any]:
        del body
        return {**super().answer(image, info, {}), "animated": False, "extra_data": ""}

    def describe(self, picture: Picture) -> dict[str, Any]:
        return {
            "prompt": picture.prompt,
            "negative_prompt": picture.negative,
            "seed": picture.seed,
            "cfg_scale": picture.cfg,
            "width": picture.width,
            "height": picture.height,
            "steps": picture.steps,
            "sampler_name": picture.sampler,
            "extra_generation_params": {"Schedule type": picture.scheduler},
            "sd_model_name": stem_of(picture.checkpoint),
            "version": "KoboldCpp",
        }

    def run_out_of_memory(self) -> Answer:
        return 200, {"images": [""], "parameters": {}, "info": json.dumps({"job_timestamp": "0"})}

    def answer_unknown(self) -> Answer:
        return 404, "Error: KoboldCpp HTTP Server is running, but this endpoint does not exist. Please check the URL."


def to_int32(seed: int) -> int:
    wrapped = seed % 2**32
    return wrapped - 2**32 if wrapped >= 2**31 else wrapped
