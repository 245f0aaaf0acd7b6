"""Servers of models in the form of diffusers. Read in vLLM-Omni 0.30.0 and SGLang 0.5.23."""
# ruff: noqa: ARG002, S311 - what one program looks at, another ignores; and no seed is a secret

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from tests.backends.openai.fake_programs.program import Answer, Picture, Program, Refusal, each_side, read_size, refuse

__all__ = ["PlainSgLang", "PlainVllm", "SgLang", "VllmOmni"]


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
        size = read_size(str(body.get("size") or "1328x1328"))
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
            each_side(size, lambda side: max(16, side // 16 * 16)),
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
        return refuse(400, message, "Bad Request", code=400)


class PlainVllm(Program):
    """vLLM with a language model."""

    gets: Mapping[str, Any] = {
        "/v1/models": {"object": "list", "data": [{"id": "llama", "object": "model", "owned_by": "vllm"}]},
        "/health": Answer(200),
        "/version": {"version": "0.30.0"},
    }


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
        size = read_size(str(body.get("size", "1024x1024")).lower().replace(" ", ""))
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
            each_side(size, lambda side: side // 16 * 16),
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


class PlainSgLang(SgLang):
    """SGLang with a language model."""

    model_type: str = "llama"

    def read(self, body: Any, authorization: str | None) -> Picture:
        raise Refusal(404, {"detail": "Not Found"})
