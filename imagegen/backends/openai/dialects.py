"""What the programs that serve OpenAI's images API make of a request beyond prompt and size. Contacts nobody.

Sources: vLLM-Omni 0.30.0, SGLang 0.5.23, Lemonade 11.7, LocalAI and stable-diffusion.cpp of 2026, openai-python 3.57.0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imagegen.plan.request import Request

__all__ = ["DIALECTS", "HONOURED", "SD_TAG", "Dialect"]

SD_TAG = "sd_cpp_extra_args>"
"""Ends both tags around the JSON object in a prompt that sd-server takes parameters from; there is no escape."""


@dataclass(frozen=True)
class Dialect:
    """One program's.

    Attributes:
        name, program: as a job has it, and for a person.
        fields: the fields and options that it honours → its keys for them.
        always: what each request has.
        multiple, most_steps, most_cfg: of what it takes, as it is.
        seed_bits: of the seeds that it takes. Our own have 32: where it has fewer, they are folded.
    """

    name: str
    program: str
    fields: Mapping[str, str]
    always: Mapping[str, Any] = field(default_factory=dict)
    multiple: int = 8
    most_steps: int = 10_000
    most_cfg: float = 1000
    seed_bits: int = 63

    def fold_seed(self, seed: int) -> int:
        """Return the seed that is sent: the same if the program takes it. LocalAI takes 0 for a random one."""
        folded = seed % 2**self.seed_bits
        return folded or 1 if self.name == "localai" else folded

    def build_body(self, request: Request) -> dict[str, Any]:
        """Return what is sent for a request, whose seed is chosen: only what the job gives, and the seed."""
        size = f"{request.width}x{request.height}"
        body: dict[str, Any] = {"model": request.model, "prompt": request.prompt, "n": 1, "size": size, **self.always}
        given: dict[str, Any] = {"seed": self.fold_seed(request.seed or 0)} if "seed" in self.fields else {}
        for name, key in self.fields.items():
            if name in request.extra:
                given[key] = request.extra[name]
            elif name in request.given and name != "seed":
                given[key] = getattr(request, name)
        if self.name == "sdcpp":
            sample = {key: given.pop(key) for key in [*given] if key not in ("seed", "negative_prompt")}
            sample |= {"guidance": {"txt_cfg": sample.pop("txt_cfg")}} if "txt_cfg" in sample else {}
            parameters = json.dumps({**given, "sample_params": sample})  # with a line break, it would be words
            return {**body, "prompt": f"{request.prompt}<{SD_TAG}{parameters}</{SD_TAG}"}
        if self.name == "localai" and (negative := given.pop("negative_prompt", "")):
            body["prompt"] += f"|{negative}"
        return body | given


_PNG = {"response_format": "b64_json", "output_format": "png"}
_DIFFUSERS = {"steps": "num_inference_steps", "cfg": "guidance_scale", "true_cfg": "true_cfg_scale"}
_DIFFUSERS |= {"seed": "seed", "negative": "negative_prompt"}
_LEMONADE = {"steps": "steps", "cfg": "cfg_scale", "seed": "seed", "sampler": "sample_method"}
_LOCALAI = {"steps": "step", "seed": "seed", "negative": "negative_prompt"}
_SD = {"steps": "sample_steps", "cfg": "txt_cfg", "sampler": "sample_method", "scheduler": "scheduler"}
_SD |= {"seed": "seed", "negative": "negative_prompt"}
_ALL = (
    Dialect("vllm", "vLLM-Omni", _DIFFUSERS, _PNG, multiple=16, most_steps=200, most_cfg=20),
    Dialect("sglang", "SGLang", _DIFFUSERS, _PNG, multiple=16),
    Dialect("lemonade", "Lemonade", _LEMONADE, _PNG, most_steps=100, seed_bits=31),
    Dialect("localai", "LocalAI", _LOCALAI, {"response_format": "b64_json"}, seed_bits=31),
    Dialect("sdcpp", "sd-server", _SD, _PNG, most_steps=100),
    Dialect("hosted", "a hosted API", {"quality": "quality", "background": "background"}, {"output_format": "png"}, 1),
)
DIALECTS: Mapping[str, Dialect] = {one.name: one for one in _ALL}
HONOURED = frozenset(name for one in _ALL for name in one.fields)
"""Fields and options that some dialect honours."""
