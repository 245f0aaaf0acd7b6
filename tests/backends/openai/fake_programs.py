"""The programs that a fake server can be: what each understands of a request, and says of itself.

Read in vLLM-Omni 0.30.0, SGLang 0.5.23, Lemonade 11.7.0, LocalAI and stable-diffusion.cpp of 2026-08, koboldcpp
1.117.1, and openai-python 3.57.0. Where one silently makes another picture than was asked for, so does the fake.
"""
# ruff: noqa: ARG002, S311 - what one program looks at, another ignores; and no seed is a secret

from __future__ import annotations

import hashlib
import io
import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, ClassVar

from PIL import Image

__all__ = ["PROGRAMS", "Answer", "Picture", "Program", "Refusal"]

TAG = re.compile(r"<sd_cpp_extra_args>(.*?)</sd_cpp_extra_args>")
"""As sd-server has it: no line break is matched."""


@dataclass(frozen=True)
class Answer:
    """What is said over HTTP. body: JSON; a text or bytes are sent as they are."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> tuple[bytes, str]:
        """Return the body, and its type."""
        if isinstance(self.body, bytes):
            return self.body, "application/octet-stream"
        if isinstance(self.body, str):
            return self.body.encode(), "text/html" if self.body.startswith("<") else "text/plain"
        return (b"" if self.body is None else json.dumps(self.body).encode()), "application/json"


class Refusal(Exception):  # noqa: N818 - an answer
    def __init__(self, status: int, body: Any = None, **headers: str) -> None:
        super().__init__(status)
        self.answer = Answer(status, body, headers)


@dataclass(frozen=True)
class Picture:
    """What a picture was made with, as the program understood it."""

    prompt: str
    size: tuple[int, int]
    seed: int
    negative: str = ""
    steps: int = 20
    cfg: float = 7.0
    true_cfg: float | None = None
    sampler: str = ""
    scheduler: str = ""
    model: str = ""
    quality: str = ""
    background: str = ""
    format: str = "png"

    def encode(self) -> bytes:
        """Return the file: two colours that follow from everything else."""
        digest = hashlib.sha256(repr(replace(self, format="")).encode()).digest()
        width, height = self.size
        image = Image.new("RGB", self.size, tuple(digest[:3]))
        image.paste(tuple(digest[3:6]), (0, 0, width, height // 2))
        buffer = io.BytesIO()
        image.save(buffer, self.format, **({"compress_level": 1} if self.format == "png" else {}))
        return buffer.getvalue()


class Program:
    """One program. gets: what it answers to a GET, by path."""

    prefix: ClassVar[str] = "/v1"
    headers: ClassVar[Mapping[str, str]] = {}
    gets: Mapping[str, Any] = {}

    def get(self, path: str) -> Answer:
        found = self.gets.get(path)
        return (
            found if isinstance(found, Answer) else self.missing("GET", path) if found is None else Answer(200, found)
        )

    def missing(self, method: str, path: str) -> Answer:
        """Return the answer to a path that it does not have."""
        del method, path
        return Answer(404, {"detail": "Not Found"})

    def unauthorized(self, authorization: str | None) -> Answer:
        """Return the answer to a request without its key."""
        del authorization
        return Answer(401, {"error": "Unauthorized"})

    def is_open(self, path: str) -> bool:
        """Whether the path needs no key."""
        return not path.startswith("/v1")

    def read(self, body: Any, authorization: str | None) -> Picture:
        """Return the picture that it makes for a request. Raises Refusal."""
        del authorization
        raise Refusal(404, self.missing("POST", "").body)

    def present(self, picture: Picture, image: str, body: Mapping[str, Any]) -> Any:
        """Return the answer with the image, in base64."""
        del picture, body
        return {"created": 1795952061, "data": [{"b64_json": image}]}

    def price(self, picture: Picture) -> Decimal:
        """Return what a picture cost, in US dollars."""
        del picture
        return Decimal(0)


def _error(status: int, message: str, kind: str = "", **more: Any) -> Refusal:
    """Return a refusal in OpenAI's form."""
    return Refusal(status, {"error": {"message": message, "type": kind, "param": None, "code": None, **more}})


def _size(text: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    return (int(found[1]), int(found[2])) if found else None


def _each(size: tuple[int, int], change: Callable[[int], int]) -> tuple[int, int]:
    return change(size[0]), change(size[1])


class VllmOmni(Program):
    """vLLM-Omni with Qwen-Image: it takes its first name only, and floors sizes to 16."""

    names: tuple[str, ...] = ("Qwen/Qwen-Image", "qwen")

    def get(self, path: str) -> Answer:
        if path == "/v1/models":
            cards = [
                {
                    "id": name,
                    "object": "model",
                    "created": 1,
                    "owned_by": "vllm",
                    "root": "/models/qwen",
                    "parent": None,
                }
                for name in self.names
            ]
            return Answer(200, {"object": "list", "data": cards})
        if path == "/health":
            return Answer(200, {"status": "healthy"})
        if path == "/version":
            return Answer(200, {"version": "0.30.0"})
        if path == "/openapi.json":
            return Answer(200, {"paths": {"/v1/images/generations": {"post": {}}}})
        return super().get(path)

    def read(self, body: Any, authorization: str | None) -> Picture:
        del authorization
        if not isinstance(body, dict) or not isinstance(body.get("prompt"), str):
            raise self._bad("Field required")
        if body.get("model") and body["model"] != self.names[0]:
            raise self._bad(
                f"Model mismatch: request specifies {body['model']!r} but server is running {self.names[0]!r}."
            )
        size = _size(str(body.get("size") or "1328x1328"))
        if not size:
            raise self._bad(f"Invalid size format: {body.get('size')}")
        if body.get("response_format", "b64_json") not in ("b64_json", "file"):
            raise self._bad("response_format")
        steps, guidance, cfg = (body.get(key) for key in ("num_inference_steps", "guidance_scale", "true_cfg_scale"))
        if not 1 <= (50 if steps is None else steps) <= 200 or not all(
            0 <= (one or 0) <= 20 for one in (guidance, cfg)
        ):
            raise self._bad("Input should be less than or equal to 200")
        kind = body.get("output_format")
        return Picture(
            body["prompt"],
            _each(size, lambda side: max(16, side // 16 * 16)),
            seed=random.randrange(2**32) if body.get("seed") is None else body["seed"],
            negative=body.get("negative_prompt") or "",
            steps=steps or 50,
            cfg=1.0 if guidance is None else guidance,
            true_cfg=(cfg or 4.0) if "negative_prompt" in body else None,
            model=self.names[0],
            format=kind if kind in ("png", "webp") else "jpeg" if kind else "png",
        )

    def present(self, picture: Picture, image: str, body: Mapping[str, Any]) -> Any:
        return {
            "created": 1,
            "data": [{"b64_json": image, "url": None, "revised_prompt": None}],
            "output_format": picture.format,
            "size": "{}x{}".format(*picture.size),
        }

    def _bad(self, message: str) -> Refusal:
        return _error(400, message, "Bad Request", code=400)


class SgLang(Program):
    """SGLang: it looks at no model, has seed 42, url and jpg as defaults, and floors sizes to 16."""

    model: str = "black-forest-labs/FLUX.1-dev"
    active_loras: Mapping[str, Any] = {}
    model_type: str = "diffusion"

    def get(self, path: str) -> Answer:
        kind = {"task_type": "T2I", "supported_task_types": ["T2I"]}
        gets: dict[str, Any] = {
            "/model_info": {
                "model_path": self.model,
                "is_generation": True,
                "model_type": self.model_type,
                "output_types": ["IMAGE"],
                "is_image_gen": True,
                **kind,
            },
            "/server_info": {
                "model_path": self.model,
                "served_model_name": self.model,
                "tp_size": 1,
                "dp_size": 1,
                "version": "0.5.23",
            },
            "/v1/models": {
                "object": "list",
                "data": [{"id": self.model, "object": "model", "owned_by": "sglang", "root": self.model, **kind}],
            },
            "/v1/list_loras": {"loaded_adapters": [], "active": self.active_loras},
            "/health": {"status": "ok"},
        }
        return Answer(200, gets[path]) if path in gets else super().get(path)

    def read(self, body: Any, authorization: str | None) -> Picture:
        del authorization
        if not isinstance(body, dict) or not isinstance(body.get("prompt"), str):
            detail = {"type": "missing", "loc": ["body", "prompt"], "msg": "Field required", "input": body}
            raise Refusal(422, {"detail": [detail]})
        size = _size(str(body.get("size", "1024x1024")).lower().replace(" ", ""))
        if not size:
            raise Refusal(400, {"detail": "size must be formatted as positive WIDTHxHEIGHT"})
        if body.get("quality", "auto") not in ("auto", "exact", "lossless", "high", "extra-high"):
            raise Refusal(400, {"detail": "quality must be one of ['exact','lossless','high','extra-high']"})
        seed = body.get("seed")
        if seed is not None and (not isinstance(seed, int) or seed < 0):
            raise Refusal(400, {"detail": f"seed must be a non-negative int or list of ints, got {seed}"})
        if seed is not None and seed >= 2**64:
            raise Refusal(500, "Internal Server Error")
        kind = body.get("output_format", "jpg")
        return Picture(
            body["prompt"],
            _each(size, lambda side: side // 16 * 16),
            seed=42 if seed is None else seed,
            negative=body.get("negative_prompt") or "",
            steps=body.get("num_inference_steps") or 50,
            cfg=body.get("guidance_scale") or 3.5,
            true_cfg=body.get("true_cfg_scale"),
            model=self.model,
            format=kind if kind in ("png", "webp") else "jpeg",
        )

    def present(self, picture: Picture, image: str, body: Mapping[str, Any]) -> Any:
        one = {"b64_json": image, "url": None, "revised_prompt": picture.prompt, "file_path": "outputs/1.png"}
        if body.get("response_format", "url") == "url":
            one |= {"b64_json": None, "url": "/v1/images/1/content"}
        return {"id": "1", "created": 1, "data": [one], "inference_time_s": 0.1}


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
        return sd_picture(body["prompt"], _size(str(body.get("size"))) or (512, 512), body.get("output_format", "png"))

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
        _each((width, height), lambda side: -(-side // 64) * 64),
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
            return replace(sd_picture(prompt, _size(str(body.get("size"))) or (512, 512)), model=name)
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
        pixels = _size(size) if "x" in size else (512, 512)
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


class Hosted(Program):
    """OpenAI's own: it refuses what it does not know, and charges for each picture."""

    headers: ClassVar[Mapping[str, str]] = {"x-request-id": "req_fake0001"}
    models: tuple[str, ...] = ("gpt-image-2", "gpt-image-1-mini", "gpt-5.5")
    has_models: bool = True
    """Whether it lists its models: some that speak this API don't."""
    changes: Mapping[str, Any] = {}
    """What its answers say otherwise."""
    own_size: tuple[int, int] | None = None
    """That of each picture, whatever was asked for."""
    PRICES: ClassVar[Mapping[str, str]] = {"low": "0.006", "medium": "0.053", "high": "0.211"}
    _KEYS = frozenset(
        "model prompt n size quality background output_format output_compression moderation user".split()  # noqa: SIM905
    )

    def get(self, path: str) -> Answer:
        if path == "/v1/models" and self.has_models:
            data = [{"id": name, "object": "model", "created": 1, "owned_by": "system"} for name in self.models]
            return Answer(200, {"object": "list", "data": data})
        return super().get(path)

    def missing(self, method: str, path: str) -> Answer:
        return Answer(404, _error(404, f"Invalid URL ({method} {path})", "invalid_request_error").answer.body)

    def unauthorized(self, authorization: str | None) -> Answer:
        said = f"Incorrect API key provided: {authorization}" if authorization else "You didn't provide an API key."
        return Answer(401, _error(401, said, "invalid_request_error", code="invalid_api_key").answer.body)

    def read(self, body: Any, authorization: str | None) -> Picture:
        for key in body:
            if key not in self._KEYS:
                what = f"Unknown parameter: '{key}'."
                raise _error(400, what, "invalid_request_error", param=key, code="unknown_parameter")
        if body.get("model") not in self.models:
            what = f"The model '{body.get('model')}' does not exist."
            raise _error(404, what, "invalid_request_error", code="model_not_found")
        size = (1024, 1024) if body.get("size", "auto") == "auto" else _size(body["size"])
        if not size or size[0] % 16 or size[1] % 16 or not 655_360 <= size[0] * size[1] <= 8_294_400:
            raise _error(400, f"Invalid size '{body.get('size')}'.", "invalid_request_error", param="size")
        quality = body.get("quality", "auto")
        if quality not in ("auto", "low", "medium", "high"):
            raise _error(400, f"Invalid value: '{quality}'.", "invalid_request_error", param="quality")
        background = body.get("background", "auto")
        kind = body.get("output_format", "png")
        if background == "transparent" and kind == "jpeg":
            raise _error(400, "Transparent background is not supported for this format.", param="background")
        return Picture(
            body["prompt"],
            self.own_size or size,
            seed=random.randrange(2**32),
            model=body["model"],
            quality="medium" if quality == "auto" else quality,
            background="opaque" if background == "auto" else background,
            format=kind,
        )

    def present(self, picture: Picture, image: str, body: Mapping[str, Any]) -> Any:
        usage = {"input_tokens": 10, "output_tokens": 1056, "total_tokens": 1066}
        return {
            **super().present(picture, image, body),
            "background": picture.background,
            "output_format": picture.format,
            "quality": picture.quality,
            "size": "{}x{}".format(*picture.size),
            "usage": usage,
            **self.changes,
        }

    def price(self, picture: Picture) -> Decimal:
        return Decimal(self.PRICES[picture.quality])


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


class PlainVllm(Program):
    """vLLM with a language model."""

    gets: Mapping[str, Any] = {
        "/v1/models": {"object": "list", "data": [{"id": "llama", "object": "model", "owned_by": "vllm"}]},
        "/health": Answer(200),
        "/version": {"version": "0.30.0"},
    }


class PlainSgLang(SgLang):
    """SGLang with a language model."""

    model_type: str = "llama"

    def read(self, body: Any, authorization: str | None) -> Picture:
        raise Refusal(404, {"detail": "Not Found"})


class LMStudio(Program):
    """LM Studio: 200 to everything."""

    gets: Mapping[str, Any] = {
        "/v1/models": {
            "object": "list",
            "data": [{"id": "qwen3-4b", "object": "model", "owned_by": "organization_owner"}],
        },
        "/api/v1/models": {"models": [{"key": "qwen3-4b"}]},
    }

    def missing(self, method: str, path: str) -> Answer:
        return Answer(200, {"error": f"Unexpected endpoint or method. ({method} {path})"})

    def read(self, body: Any, authorization: str | None) -> Picture:
        raise Refusal(200, self.missing("POST", "/v1/images/generations").body)


class LlamaCpp(Program):
    """llama.cpp's server."""

    headers: ClassVar[Mapping[str, str]] = {"Server": "llama.cpp"}
    gets: Mapping[str, Any] = {
        "/v1/models": {"object": "list", "data": [{"id": "m.gguf", "object": "model", "owned_by": "llamacpp"}]},
        "/health": {"status": "ok"},
    }

    def missing(self, method: str, path: str) -> Answer:
        return Answer(404, {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}})


class Page(Program):
    """A web application: its page for every path."""

    def missing(self, method: str, path: str) -> Answer:
        return Answer(200, "<!doctype html><title>Open WebUI</title>")


class Unknown(Hosted):
    """Some proxy that has this API, and does not say what is behind it."""

    def get(self, path: str) -> Answer:
        if path == "/v1/models":
            return Answer(200, {"object": "list", "data": [{"id": "flux", "object": "model", "owned_by": "us"}]})
        return super().get(path)


PROGRAMS: Mapping[str, Callable[[], Program]] = {
    "vllm": VllmOmni,
    "sglang": SgLang,
    "lemonade": Lemonade,
    "localai": LocalAI,
    "sdcpp": SdServer,
    "hosted": Hosted,
    "koboldcpp": Koboldcpp,
    "plain vLLM": PlainVllm,
    "plain SGLang": PlainSgLang,
    "LM Studio": LMStudio,
    "llama.cpp": LlamaCpp,
    "a page": Page,
    "unknown": Unknown,
}
