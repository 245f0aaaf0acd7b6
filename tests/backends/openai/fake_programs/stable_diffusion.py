"""Programs around stable-diffusion.cpp. Read in its source and Lemonade 11.7.0, LocalAI of 2026-08, koboldcpp 1.117.1."""
# ruff: noqa: ARG002, S311 - what one program looks at, another ignores; and no seed is a secret

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from tests.backends.openai.fake_programs.program import Answer, Picture, Program, Refusal, each_side, read_size

__all__ = ["Koboldcpp", "Lemonade", "LocalAI", "SdServer"]

TAG = re.compile(r"<sd_cpp_extra_args>(.*?)</sd_cpp_extra_args>")
"""As sd-server has it: no line break is matched."""


class SdServer(Program):
    """sd-server: all but the size is in `<sd_cpp_extra_args>`, on one line, or it is a part of the prompt."""

    gets: Mapping[str, Any] = {
        "/v1/models": {"data": [{"id": "sd-cpp-local", "object": "model", "owned_by": "local"}]},
        "/": "<html>Stable Diffusion Server is running",
        "/sdapi/v1/samplers": [
            {"aliases": [], "name": name, "options": {}} for name in ("default", "euler", "euler_a")
        ],
        "/sdapi/v1/schedulers": [{"label": name, "name": name} for name in ("default", "discrete", "karras")],
        "/sdapi/v1/options": {"samples_format": "png", "sd_model_checkpoint": "sd15"},
        "/sdcpp/v1/capabilities": {
            "current_mode": "img_gen",
            "limits": {"max_height": 4096, "max_width": 4096, "max_queue_size": 64},
            "features": {"cancel_generating": False, "lora": True},
            "loras": [],
            "model": {"name": "sd15.safetensors", "path": "/models/sd15.safetensors", "stem": "sd15"},
            "output_formats": ["png", "jpeg", "webp"],
            "samplers": ["euler", "euler_a", "heun", "dpm2", "dpm++2m", "lcm"],
            "schedulers": ["discrete", "karras", "exponential", "simple"],
            "supported_modes": ["img_gen"],
        },
    }

    def missing(self, method: str, path: str) -> Answer:
        return Answer(404)

    def read(self, body: Any, authorization: str | None) -> Picture:
        del authorization
        if not isinstance(body, dict) or not body.get("prompt"):
            raise Refusal(400, {"error": "prompt required"})
        if body.get("output_format", "png") not in ("png", "jpeg", "webp"):
            raise Refusal(400, {"error": "invalid output_format, must be one of [png, jpeg, webp]"})
        return sd_picture(
            body["prompt"], read_size(str(body.get("size"))) or (512, 512), body.get("output_format", "png")
        )

    def present(self, picture: Picture, image: str, body: Mapping[str, Any]) -> Any:
        return {**super().present(picture, image, body), "output_format": picture.format}


def sd_picture(prompt: str, size: tuple[int, int], kind: str = "png") -> Picture:
    """Return what sd-server makes of a prompt: the first tag counts, and all are removed."""
    found = TAG.search(prompt)
    try:
        args = json.loads(found[1]) if found else {}
    except ValueError:
        raise Refusal(400, {"error": "invalid sd_cpp_extra_args"}) from None
    sample = args.get("sample_params", {})
    sampler, scheduler = sample.get("sample_method"), sample.get("scheduler")
    known = SdServer.gets["/sdcpp/v1/capabilities"]
    width, height = args.get("width", size[0]), args.get("height", size[1])
    return Picture(
        args.get("prompt", TAG.sub("", prompt)),
        each_side((width, height), lambda side: -(-side // 64) * 64),
        seed=args.get("seed", 42),
        negative=args.get("negative_prompt", ""),
        steps=sample.get("sample_steps", 20),
        cfg=sample.get("guidance", {}).get("txt_cfg", 7.0),
        sampler=sampler if sampler in known["samplers"] else "default",
        scheduler=scheduler if scheduler in known["schedulers"] else "discrete",
        model="sd15",
        format=kind,
    )


class Lemonade(Program):
    """Lemonade: it needs a model, downloads one that isn't there, and hands the rest on to sd-server."""

    prefix: ClassVar[str] = "/api/v1"
    models: Mapping[str, Mapping[str, Any]] = {
        "SD-Turbo": {"labels": ["image"], "downloaded": True, "recipe": "sd-cpp"},
        "SDXL-Base": {"labels": ["image"], "downloaded": False, "recipe": "sd-cpp"},
        "Qwen3-4B-GGUF": {"labels": ["reasoning"], "downloaded": True, "recipe": "llamacpp"},
    }

    def __init__(self) -> None:
        self.downloads: list[str] = []

    def get(self, path: str) -> Answer:
        path, _, query = path.partition("?")
        path = re.sub(r"^(/api)?/v[01]/", "/api/v1/", path)
        if path == "/api/v1/health":
            loaded: dict[str, Any] = {"all_models_loaded": [], "max_models": {"image": 1}, "model_loaded": None}
            return Answer(200, {"status": "ok", "version": "11.7.0", **loaded})
        if path == "/api/v1/models":
            listed = [
                {"id": name, "object": "model", "owned_by": "lemonade", **what}
                for name, what in self.models.items()
                if what["downloaded"] or "show_all=true" in query
            ]
            return Answer(200, {"object": "list", "data": listed})
        if path == "/api/v1/system-info":
            return Answer(200, {"OS Version": "Linux"})
        return super().get(path)

    def missing(self, method: str, path: str) -> Answer:
        return Answer(
            404, {"error": {"message": f"The requested endpoint does not exist: {path}", "type": "not_found"}}
        )

    def unauthorized(self, authorization: str | None) -> Answer:
        return Answer(401, {"error": "Invalid or missing API key"})

    def is_open(self, path: str) -> bool:
        return path == "/live"

    def read(self, body: Any, authorization: str | None) -> Picture:
        for name in ("prompt", "model"):
            if name not in body:
                raise Refusal(400, _lemonade(f"Missing '{name}' field in request"))
        name = body["model"].removesuffix(":latest")
        model = self.models.get(name)
        if not model or "image" not in model["labels"]:
            code = "model_not_supported" if model else "model_not_found"
            raise Refusal(404, _lemonade(f"Model '{name}'", code, code=code, requested_model=name))
        if not model["downloaded"]:
            self.downloads.append(name)
        args: dict[str, Any] = {}
        if _is_int(seed := body.get("seed")):
            args["seed"] = (seed + 2**31) % 2**32 - 2**31
            if args["seed"] < 0:
                args["seed"] = random.randrange(2**31)
        sample: dict[str, Any] = {"sample_steps": body["steps"]} if _is_int(body.get("steps"), 1) else {}
        sample |= {"sample_method": body["sample_method"]} if "sample_method" in body else {}
        if isinstance(cfg := body.get("cfg_scale"), (int, float)) and cfg > 0:
            sample["guidance"] = {"txt_cfg": cfg}
        args |= {"sample_params": sample} if sample else {}
        prompt = f"{body['prompt']} <sd_cpp_extra_args>{json.dumps(args)}</sd_cpp_extra_args>"
        try:
            return replace(sd_picture(prompt, read_size(str(body.get("size"))) or (512, 512)), model=name)
        except Refusal as refused:  # always a 500; the real status is inside
            details = {
                "status_code": refused.answer.status,
                "details": {"backend": "sd-cpp", "response": refused.answer.body},
            }
            raise Refusal(500, _lemonade("backend error", "backend_error", **details)) from None

    def present(self, picture: Picture, image: str, body: Mapping[str, Any]) -> Any:
        return {**super().present(picture, image, body), "output_format": picture.format}


def _lemonade(message: str, kind: str = "invalid_request_error", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, **more}}


def _is_int(value: Any, least: int = -(2**63)) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


class LocalAI(Program):
    """LocalAI: `|` divides the prompt, an unread size is 512x512, and seeds are 32 bits, with a sign."""

    models: tuple[str, ...] = ("stablediffusion",)
    others: tuple[str, ...] = ("llama-3",)

    def get(self, path: str) -> Answer:
        if path == "/.well-known/localai.json":
            return Answer(200, {"version": "v4.2.0 (abc)", "endpoints": {"image_generation": "/v1/images/generations"}})
        names = [*self.models, *self.others]
        if path == "/v1/models":
            return Answer(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in names]})
        if path == "/v1/models/capabilities":
            data = [{"id": name, "capabilities": ["image"] if name in self.models else ["chat"]} for name in names]
            return Answer(200, {"object": "list", "data": data})
        if path == "/version":
            return Answer(200, {"version": "v4.2.0 (abc)"})
        return super().get(path)

    def missing(self, method: str, path: str) -> Answer:
        return Answer(404, {"error": {"code": 404, "message": "Resource not found", "type": ""}})

    def unauthorized(self, authorization: str | None) -> Answer:
        said = {"error": {"code": 401, "message": "An authentication key is required", "type": "invalid_request_error"}}
        return Answer(401, said, {"WWW-Authenticate": "Bearer"})

    def read(self, body: Any, authorization: str | None) -> Picture:
        token = (authorization or "").removeprefix("Bearer ")
        model = token if token in self.models else body.get("model") or self.models[0]
        if "/" not in model and model not in (*self.models, *self.others):
            message = f'model "{model}" not found. To see available models, call GET /v1/models'
            raise Refusal(404, {"error": {"code": 404, "message": message, "type": "invalid_request_error"}})
        size = str(body.get("size", ""))
        pixels = read_size(size) if "x" in size else (512, 512)
        if not pixels:
            raise Refusal(500, {"error": {"code": 500, "message": "invalid value for 'size'", "type": ""}})
        prompt, *rest = str(body.get("prompt", "")).split("|")
        seed = (body.get("seed", -1) + 2**31) % 2**32 - 2**31
        return Picture(
            prompt,
            pixels,
            seed=seed if seed > 0 else random.randrange(2**31),
            negative=rest[0] if rest else "",
            steps=body.get("step") or 15,
            model=model,
        )

    def present(self, picture: Picture, image: str, body: Mapping[str, Any]) -> Any:
        one = {"b64_json": image} if body.get("response_format") == "b64_json" else {"url": "http://127.0.0.1/x.png"}
        return {"id": "1", "created": 1, "data": [one], "usage": {"total_tokens": 0}}


class Koboldcpp(SdServer):
    """koboldcpp: it has this API too, and says nothing true in its answers; A1111's is the better one."""

    gets: Mapping[str, Any] = {
        "/api/extra/version": {"result": "KoboldCpp", "version": "1.117.1", "protected": False, "txt2img": True},
        "/v1/models": {"object": "list", "data": [{"id": "koboldcpp/x", "object": "model", "owned_by": "koboldcpp"}]},
        "/system_stats": {"system": {"comfyui_version": "v0.3.4"}, "devices": [{"name": "koboldcpp"}]},
        "/sdapi/v1/options": {"samples_format": "png", "sd_model_checkpoint": "sd15"},
    }

    def missing(self, method: str, path: str) -> Answer:
        return Answer(404, "<html>Error: KoboldCpp HTTP Server is running, but this endpoint does not exist")
