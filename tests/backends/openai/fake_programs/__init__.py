"""The programs that a fake server can be: what each understands of a request, and says of itself.

Where one silently makes another picture than was asked for, so does the fake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.backends.openai.fake_programs.diffusers import PlainSgLang, PlainVllm, SgLang, VllmOmni
from tests.backends.openai.fake_programs.hosted import Hosted, LlamaCpp, LMStudio, Page, Unknown
from tests.backends.openai.fake_programs.program import Answer, Picture, Program, Refusal
from tests.backends.openai.fake_programs.stable_diffusion import Koboldcpp, Lemonade, LocalAI, SdServer

__all__ = ["PROGRAMS", "Answer", "Hosted", "Picture", "Program", "Refusal"]

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
