"""Whatever a job's texts are, the program reads them as they were meant; or preflight has refused them."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from imagegen.backends.openai.dialects import DIALECTS
from imagegen.plan.request import Request
from tests.backends.openai.fake_programs import PROGRAMS, Picture
from tests.backends.openai.fake_programs.stable_diffusion import TAG

TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.text('a|<>/{}"\\\n\r\u2028 é', min_size=1, max_size=40),
    st.sampled_from(["</sd_cpp_extra_args>", "<sd_cpp_extra_args>{}", "<sd_cpp_extra_args>", "a|b", "{", "\\"]),
)


def read(program: str, prompt: str, negative: str, seed: int) -> Picture:
    """Return what the program makes of the request."""
    given = ("negative", "prompt", "seed") if negative else ("prompt", "seed")
    model = {"lemonade": "SD-Turbo", "vllm": "Qwen/Qwen-Image"}.get(program, "")
    request = Request(
        "openai", "Fox", prompt, negative=negative, width=64, height=64, seed=seed, model=model, given=given
    )
    body = json.loads(json.dumps(DIALECTS[program].build_body(request)))
    return PROGRAMS[program]().read(body, None)


def is_refused(program: str, *texts: str) -> bool:
    if program == "localai":
        return any("|" in text for text in texts)
    return program in ("sdcpp", "lemonade") and any("sd_cpp_extra_args>" in text for text in texts)


@given(st.sampled_from(["vllm", "sglang", "sdcpp", "localai"]), TEXTS, TEXTS, st.integers(1, 2**31 - 1))
def test_prompt_negative_and_seed_arrive_as_they_are(program: str, prompt: str, negative: str, seed: int) -> None:
    if not is_refused(program, prompt, negative):
        made = read(program, prompt, negative, seed)
        assert (made.prompt, made.negative, made.seed) == (prompt, negative, seed)


@given(st.sampled_from(["lemonade", "sdcpp", "localai"]), TEXTS, st.integers(0, 2**32 - 1))
def test_a_prompt_alone_arrives_with_a_seed_that_is_always_the_same(program: str, prompt: str, seed: int) -> None:
    if not is_refused(program, prompt):
        one, two = (read(program, prompt, "", seed) for _ in range(2))
        assert one == two
        assert one.prompt == (f"{prompt} " if program == "lemonade" else prompt)
        assert one.seed == (seed if program == "sdcpp" else seed % 2**31 or (program == "localai"))


@given(TEXTS)
def test_no_text_can_add_parameters_of_its_own(text: str) -> None:
    for program in ("sdcpp", "lemonade"):
        if not is_refused(program, text):
            request = Request("openai", "Fox", text, negative=text, seed=1, given=("negative", "prompt"))
            assert len(TAG.findall(DIALECTS[program].build_body(request)["prompt"])) == (program == "sdcpp")
