"""What the programs that serve OpenAI's images API make of a request beyond prompt and size. Contacts nobody.

Sources: vLLM-Omni 0.30.0, SGLang 0.5.23, Lemonade 11.7, LocalAI and stable-diffusion.cpp of 2026, openai-python 3.57.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imagegen.backends.sd.prompt_tag import add_parameters
from imagegen.plan.request import Request

__all__ = ["DIALECTS", "HONOURED", "Dialect"]


@dataclass(frozen=True)
class Dialect:
    """One program's.

    Attributes:
        name, program: as a job has it, and for a person.
        fields: the fields and options that it honours → its keys for them.
        always: what each request has.
        multiple, most_steps, most_cfg, least_seed, seed_bits: of what it takes. Seeds that we chose have 32 bits.
        is_sd: whether sd-server makes the images. Then a prompt may have its parameters in it.
        needs_tag: whether only those in the prompt count.
        splits: at what it divides a prompt, and takes the rest for a negative one.
        keeps_cfg_0, keeps_true_cfg: whether it uses a CFG of 0, and true_cfg without a negative prompt.
    """

    name: str
    program: str
    fields: Mapping[str, str]
    always: Mapping[str, Any] = field(default_factory=dict)
    multiple: int = 8
    most_steps: int = 10_000
    most_cfg: float = 1000
    least_seed: int = 0
    seed_bits: int = 63
    is_sd: bool = False
    needs_tag: bool = False
    splits: str = ""
    keeps_cfg_0: bool = True
    keeps_true_cfg: bool = True

    def fold_seed(self, seed: int) -> int:
        """Return the seed that is sent: the same if the program takes it, or folded."""
        return max(self.least_seed, seed % (1 << self.seed_bits))

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
        if self.needs_tag:
            return {**body, "prompt": add_parameters(request.prompt, given)}
        if self.splits and (negative := given.pop("negative_prompt", "")):
            body["prompt"] += f"{self.splits}{negative}"
        return body | given


_PNG = {"response_format": "b64_json", "output_format": "png"}
_BOTH = {"seed": "seed", "negative": "negative_prompt"}
_DIFFUSERS = {"steps": "num_inference_steps", "cfg": "guidance_scale", "true_cfg": "true_cfg_scale", **_BOTH}
_LEMONADE = {"steps": "steps", "cfg": "cfg_scale", "seed": "seed", "sampler": "sample_method"}
_LOCALAI = {"steps": "step", **_BOTH}
_SD = {"steps": "sample_steps", "cfg": "txt_cfg", "sampler": "sample_method", "scheduler": "scheduler", **_BOTH}
_ALL = (
    Dialect("vllm", "vLLM-Omni", _DIFFUSERS, _PNG, multiple=16, most_steps=200, most_cfg=20, keeps_true_cfg=False),
    Dialect("sglang", "SGLang", _DIFFUSERS, _PNG, multiple=16),
    Dialect("lemonade", "Lemonade", _LEMONADE, _PNG, most_steps=100, seed_bits=31, is_sd=True, keeps_cfg_0=False),
    Dialect("localai", "LocalAI", _LOCALAI, {"response_format": "b64_json"}, least_seed=1, seed_bits=31, splits="|"),
    Dialect("sdcpp", "sd-server", _SD, _PNG, most_steps=100, is_sd=True, needs_tag=True),
    Dialect("hosted", "a hosted API", {"quality": "quality", "background": "background"}, {"output_format": "png"}, 1),
)
DIALECTS: Mapping[str, Dialect] = {one.name: one for one in _ALL}
HONOURED = frozenset(name for one in _ALL for name in one.fields)
"""Fields and options that some dialect honours."""
