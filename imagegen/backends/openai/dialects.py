"""What the programs that serve OpenAI's images API make of a request beyond prompt and size. Contacts nobody.

Sources: vLLM-Omni 0.30.0, SGLang 0.5.23, Lemonade, LocalAI, stable-diffusion.cpp and openai-python 3.57.0, 2026.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imagegen.plan.request import Request

__all__ = ["DIALECTS", "HONOURED", "HOSTED_URL", "Dialect"]

HOSTED_URL = "https://api.openai.com/v1"
_SD_EXTRA = "<sd_cpp_extra_args>"


@dataclass(frozen=True)
class Dialect:
    """One program's.

    name: as a job has it. program: for a person. fields: the request's fields that it honours → its keys for them;
    always: what each request must have.
    """

    name: str
    program: str
    fields: Mapping[str, str]
    always: Mapping[str, Any] = field(default_factory=dict)

    @property
    def honoured(self) -> frozenset[str]:
        """Return the fields of `HONOURED` that it honours."""
        return frozenset(self.fields)

    def build_body(self, request: Request) -> dict[str, Any]:
        """Return what is sent for a request, whose seed is chosen."""
        body: dict[str, Any] = {
            "model": request.model,
            "prompt": request.prompt,
            "n": 1,
            "size": f"{request.width}x{request.height}",
            **self.always,
        }
        given = {
            key: getattr(request, name) if name in Request.__dataclass_fields__ else request.extra[name]
            for name, key in self.fields.items()
            if name == "seed" or name in request.given or name in request.extra
        }
        if self.name == "sdcpp":
            body["prompt"] += f" {_SD_EXTRA}{json.dumps(_nest(given))}</{_SD_EXTRA[1:]}"
        elif self.name == "localai" and "negative_prompt" in given:
            body["prompt"] += f"|{given.pop('negative_prompt')}"
            body |= given
        else:
            body |= given
        return body


def _nest(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys with a dot as objects in each other, as sd-server takes them."""
    nested: dict[str, Any] = {}
    for key, value in given.items():
        at, *path = reversed(key.split("."))
        inside = nested
        for part in reversed(path):
            inside = inside.setdefault(part, {})
        inside[at] = value
    return nested


_BASE64 = {"response_format": "b64_json"}
_BASE64_PNG = {**_BASE64, "output_format": "png"}
_DIFFUSERS = {
    "steps": "num_inference_steps",
    "cfg": "guidance_scale",
    "true_cfg": "true_cfg_scale",
    "seed": "seed",
    "negative": "negative_prompt",
}
DIALECTS: Mapping[str, Dialect] = {
    one.name: one
    for one in (
        Dialect("vllm", "vLLM-Omni", _DIFFUSERS, _BASE64_PNG),
        Dialect("sglang", "SGLang", _DIFFUSERS, _BASE64_PNG),
        Dialect(
            "lemonade",
            "Lemonade",
            {"steps": "steps", "cfg": "cfg_scale", "seed": "seed", "sampler": "sample_method"},
            _BASE64,
        ),
        Dialect("localai", "LocalAI", {"steps": "step", "seed": "seed", "negative": "negative_prompt"}, _BASE64),
        Dialect(
            "sdcpp",
            "sd-server",
            {
                "steps": "sample_params.sample_steps",
                "cfg": "sample_params.guidance.txt_cfg",
                "seed": "seed",
                "negative": "negative_prompt",
                "sampler": "sample_params.sample_method",
                "scheduler": "sample_params.scheduler",
            },
            _BASE64_PNG,
        ),
        Dialect(
            "hosted", "the hosted API", {"quality": "quality", "background": "background"}, {"output_format": "png"}
        ),
    )
}
"""By name."""
HONOURED = frozenset(name for one in DIALECTS.values() for name in one.fields)
"""Fields and options that some dialect honours."""
