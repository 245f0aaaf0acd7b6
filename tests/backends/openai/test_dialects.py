"""What is sent for a request, by dialect."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.backends.openai.dialects import DIALECTS
from imagegen.config.setting_types import DIALECTS as NAMES
from imagegen.plan.request import Request

ALL: dict[str, Any] = {"steps": 9, "cfg": 2.5, "negative": "a dog", "sampler": "euler", "scheduler": "karras"}
PNG = {"response_format": "b64_json", "output_format": "png"}


def request(prompt: str = "a fox", extra: dict[str, Any] | None = None, seed: int = 7, **fields: Any) -> Request:
    given = tuple(sorted(fields.pop("given", fields)))
    fields = {"width": 64, "height": 32, **fields}
    return Request("openai", "Fox", prompt, seed=seed, model="m", extra=extra or {}, given=given, **fields)


def test_every_dialect_has_its_table() -> None:
    assert tuple(DIALECTS) == NAMES


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("vllm", {"seed": 7, "num_inference_steps": 9, "guidance_scale": 2.5, "negative_prompt": "a dog", **PNG}),
        ("sglang", {"seed": 7, "num_inference_steps": 9, "guidance_scale": 2.5, "negative_prompt": "a dog", **PNG}),
        ("lemonade", {"seed": 7, "steps": 9, "cfg_scale": 2.5, "sample_method": "euler", **PNG}),
        ("localai", {"seed": 7, "step": 9, "prompt": "a fox|a dog", "response_format": "b64_json"}),
        ("hosted", {"output_format": "png"}),
    ],
)
def test_only_what_the_dialect_honours_is_sent(name: str, more: dict[str, Any]) -> None:
    base = {"model": "m", "prompt": "a fox", "n": 1, "size": "64x32"}
    assert DIALECTS[name].build_body(request(**ALL)) == base | more


@pytest.mark.parametrize("name", DIALECTS)
def test_what_the_job_does_not_give_is_not_sent_but_for_the_seed(name: str) -> None:
    body = DIALECTS[name].build_body(request())
    always = {"model", "prompt", "n", "size", *DIALECTS[name].always}
    assert body.keys() - always == ({"seed"} if name not in ("hosted", "sdcpp") else set())


def test_options_are_sent_by_the_keys_of_the_dialect() -> None:
    assert DIALECTS["vllm"].build_body(request(extra={"true_cfg": 4.0, "dialect": "vllm"}))["true_cfg_scale"] == 4.0
    body = DIALECTS["hosted"].build_body(request(extra={"quality": "low", "background": "transparent"}))
    assert (body["quality"], body["background"]) == ("low", "transparent")
    assert not body.keys() & {"seed", "response_format"}


def test_a_negative_prompt_that_is_given_empty_is_sent_where_that_means_something() -> None:
    assert DIALECTS["vllm"].build_body(request(negative=""))["negative_prompt"] == ""
    assert DIALECTS["localai"].build_body(request(negative=""))["prompt"] == "a fox"


TAG = re.compile(r"<sd_cpp_extra_args>(.*?)</sd_cpp_extra_args>")
"""As sd-server reads it: `.` stops at a line break."""


def parameters(body: dict[str, Any]) -> Any:
    (found,) = TAG.findall(body["prompt"])
    return json.loads(found)


def test_sd_server_takes_everything_from_the_prompt() -> None:
    body = DIALECTS["sdcpp"].build_body(request(**ALL))
    assert body == {"model": "m", "prompt": body["prompt"], "n": 1, "size": "64x32", **PNG}
    sample = {"sample_steps": 9, "sample_method": "euler", "scheduler": "karras", "guidance": {"txt_cfg": 2.5}}
    assert parameters(body) == {"seed": 7, "negative_prompt": "a dog", "sample_params": sample}
    assert TAG.sub("", body["prompt"]) == "a fox"


@given(st.text().filter(lambda text: "sd_cpp_extra_args>" not in text), st.integers(0, 2**63 - 1))
def test_sd_server_s_parameters_come_through_in_one_line(negative: str, seed: int) -> None:
    found = parameters(DIALECTS["sdcpp"].build_body(request(seed=seed, negative=negative)))
    assert (found["negative_prompt"], found["seed"]) == (negative, seed)


@pytest.mark.parametrize(
    ("name", "seed", "sent"),
    [
        ("lemonade", 2**31 - 1, 2**31 - 1),
        ("lemonade", 2**31, 0),
        ("lemonade", 2**32 - 1, 2**31 - 1),
        ("localai", 0, 1),
        ("localai", 2**31, 1),
        ("localai", 2**31 + 5, 5),
        ("vllm", 2**32 - 1, 2**32 - 1),
        ("sglang", 0, 0),
        ("sdcpp", 2**40 + 42, 2**40 + 42),
    ],
)
def test_a_seed_is_folded_only_where_the_program_has_fewer(name: str, seed: int, sent: int) -> None:
    assert DIALECTS[name].fold_seed(seed) == sent


def test_one_image_is_asked_for_at_a_time() -> None:
    assert {one.build_body(request())["n"] for one in DIALECTS.values()} == {1}
