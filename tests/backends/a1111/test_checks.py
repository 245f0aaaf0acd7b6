"""Preflight: what a program would change or ignore without a word, is a problem with what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from imagegen.backends.a1111.checks import check_request, find_checkpoint
from imagegen.backends.a1111.server import Server
from imagegen.errors import Problem
from imagegen.plan.request import Request
from tests.backends.a1111.fake_a1111 import FakeA1111


def problems(fake: FakeA1111, server: Server | None = None, **fields: Any) -> list[str]:
    server = server or Server(fake.url)
    several = len(server.checkpoints) > 1
    defaults = {"width": 128, "height": 128, "model": "two" if several else "", "sampler": fake.program.samplers[0]}
    given = {"sampler", *(fields.keys() & {"scheduler"})} if fake.program.name == "draw-things" else fields.keys()
    request = Request("a1111", "fox", "a fox", given=tuple(sorted(given)))
    found = [f"{one.what} | {one.hint}" for one in check_request(replace(request, **{**defaults, **fields}), server)]
    return [one.replace(fake.url, "URL") for one in found]


@pytest.mark.parametrize(
    "fake", ["a1111", "forge", "reforge", "sdnext", "koboldcpp", "sd-server", "draw-things"], indirect=True
)
def test_an_ordinary_request_has_no_problems(fake: FakeA1111) -> None:
    assert problems(fake) == []


@pytest.mark.parametrize(
    ("fake", "name", "file"),
    [
        ("a1111", "anime/one.safetensors", "anime/one.safetensors"),
        ("a1111", "one", "anime/one.safetensors"),
        ("a1111", "one.safetensors", "anime/one.safetensors"),
        ("a1111", "anime_one", "anime/one.safetensors"),
        ("sdnext", "anime/one", "anime/one"),
        ("sdnext", "one.safetensors", "anime/one"),
        ("sd-server", "sd15", "sd15"),
        ("sd-server", "sd15.safetensors", "sd15"),
        ("sd-server", "", "sd15"),
        ("draw-things", "any.ckpt", "any.ckpt"),
        ("draw-things", "", "sd_v1.5_f16.ckpt"),
    ],
    indirect=["fake"],
)
def test_a_checkpoint_has_several_names(fake: FakeA1111, name: str, file: str) -> None:
    found = find_checkpoint(Request("a1111", "fox", "a fox", model=name), Server(fake.url))
    assert not isinstance(found, Problem)
    assert found == file


def test_a_checkpoint_that_is_not_there_is_a_problem_with_near_names(fake: FakeA1111) -> None:
    assert problems(fake, model="tow", extra={"checkpoint": "tow"}) == [
        "a1111.checkpoint: URL has no tow | choose one of two.safetensors, anime/one.safetensors"
    ]


def test_a_checkpoint_that_the_job_never_named_is_said_to_be_recorded(fake: FakeA1111) -> None:
    assert problems(fake, model="sd15") == [
        "URL has no sd15, with which this job, which names no checkpoint, was first built | "
        "name another checkpoint in the job: a1111.checkpoint; choose one of two.safetensors, anime/one.safetensors"
    ]


def test_of_several_checkpoints_one_must_be_named(fake: FakeA1111) -> None:
    (found,) = problems(fake, model="")
    assert found.startswith("the job names no checkpoint, and URL has 2; anime/one.safetensors [")
    assert found.endswith("is loaded | name one: a1111.checkpoint: anime/one.safetensors, two.safetensors")


def test_two_checkpoints_of_one_name_are_told_apart_by_their_folders(fake: FakeA1111) -> None:
    fake.program.checkpoints = ("a/one.safetensors", "b/one.safetensors")
    assert problems(fake, model="one") == [
        "URL has 2 checkpoints of the name one | name one: a1111.checkpoint: a/one.safetensors, b/one.safetensors"
    ]
    assert problems(fake, model="b/one.safetensors") == []


@pytest.mark.parametrize(
    ("fake", "fields", "expected"),
    [
        ("a1111", {"sampler": "euler A"}, ""),
        ("a1111", {"sampler": "k_euler_a"}, ""),
        ("a1111", {"sampler": "euler_ancestral"}, "A1111 has none of that name | A1111 calls it Euler a"),
        ("a1111", {"sampler": "dpmpp_2m"}, "A1111 has none of that name | A1111 calls it DPM++ 2M"),
        ("a1111", {"sampler": "DPM++ 2M Karras"}, "| write sampler: DPM++ 2M, scheduler: karras"),
        ("a1111", {"sampler": "Eulre"}, "did you mean 'Euler'? | choose one of Euler, "),
        ("a1111", {"scheduler": "SGM uniform"}, ""),
        ("a1111", {"scheduler": "sgmuniform"}, "| A1111 calls it sgm_uniform"),
        ("a1111", {"scheduler": "ddim_uniform"}, "scheduler ddim_uniform: A1111 has none of that name"),
        ("sdnext", {"scheduler": "karras"}, "karras: SD.Next takes none | remove it; the server's settings have one"),
        ("sd-server", {"sampler": "euler"}, ""),
        ("sd-server", {"sampler": "Euler a"}, "sd-server calls it euler_a"),
        ("sd-server", {"scheduler": "normal"}, "sd-server calls it discrete"),
        ("draw-things", {"scheduler": "karras"}, "Draw Things takes none | remove it; some samplers have one in"),
        ("draw-things", {"sampler": "dpm++ 2m ays"}, ""),
        ("draw-things", {"sampler": "Euler"}, "Draw Things has none of that name; did you mean 'Euler a'?"),
    ],
    indirect=["fake"],
)
def test_samplers_and_schedulers_are_the_listed_ones(fake: FakeA1111, fields: dict[str, Any], expected: str) -> None:
    found = problems(fake, **fields)
    assert (len(found) == 1 and expected in found[0]) if expected else found == []


def test_a_server_that_lists_no_schedulers_is_given_none(fake: FakeA1111) -> None:
    fake.says = {"/schedulers": []}
    assert problems(fake, scheduler="karras") == ["scheduler karras: A1111 takes none | remove it"]


@pytest.mark.parametrize("fake", ["draw-things"], indirect=True)
def test_draw_things_needs_a_sampler(fake: FakeA1111) -> None:
    server = Server(fake.url)
    request = Request("a1111", "fox", "a fox", width=128, height=128)
    (found,) = check_request(request, server)
    assert "whichever the app has chosen" in found.what


@pytest.mark.parametrize(
    ("fake", "fields", "expected"),
    [
        ("a1111", {"width": 100}, "width 100: A1111 takes multiples of 8 | use 96 or 104"),
        ("draw-things", {"height": 200}, "height 200: Draw Things takes multiples of 64 | use 192 or 256"),
        ("draw-things", {"height": 64}, "128×64: Draw Things takes at least 128 for each side | make it larger"),
        ("sd-server", {"steps": 101}, "steps 101: sd-server does at most 100"),
        ("koboldcpp", {"steps": 81}, "steps 81: koboldcpp does at most 80"),
        ("koboldcpp", {"cfg": 0.5}, "cfg 0.5: koboldcpp takes 1 to 25"),
        ("a1111", {"seed": 2**32}, "seed 4294967296: A1111 would take it for 0 | write 0, which is the same to it"),
        ("a1111", {"seed": 2**32 - 1}, ""),
        (
            "sd-server",
            {"seed": 2**31 + 5},
            "seed 2147483653: sd-server would take it for 5 | write 5, which is the same to it",
        ),
        ("sd-server", {"seed": 2**31 + 5, "given": ()}, ""),
    ],
    indirect=["fake"],
)
def test_numbers_are_those_that_the_program_takes(fake: FakeA1111, fields: dict[str, Any], expected: str) -> None:
    found = problems(fake, **fields)
    assert (len(found) == 1 and expected in found[0]) if expected else found == []


@pytest.mark.parametrize(
    ("fake", "prompt", "quoted"),
    [
        ("a1111", "room #4", "#"),
        ("forge", "room #4", "#"),
        ("reforge", "half // half", "//"),
        ("a1111", "half // half", ""),
        ("a1111", "a {fox}, __x__, (red:1.2)", ""),
        ("sdnext", "a {fox}", "{"),
        ("sdnext", "a __fox__", "__fox__"),
        ("sdnext", "room #4", ""),
        ("sd-server", "fox <lora:tint:1>", "<lora:"),
        ("sd-server", "fox <sd_cpp_extra_args>{}</sd_cpp_extra_args>", "<sd_cpp_extra_args>"),
        ("koboldcpp", "fox <lora:tint:1>", "<lora:"),
        ("a1111", "fox <lora:tint:1> <hypernet:fur:1>, 1 < 2: 3 > 2", ""),
        *((name, "fox <lroa:tint:1>", "<lroa:tint:1>") for name in ("a1111", "forge", "reforge", "sdnext")),
        *((name, "fox <Lora:tint:1>", "<Lora:tint:1>") for name in ("a1111", "forge", "reforge", "sdnext")),
        ("forge", "fox <hypernet:fur:1>", "<hypernet:fur:1>"),
        ("sd-server", "fox <lroa:tint:1>", ""),
    ],
    indirect=["fake"],
)
def test_a_prompt_is_one_that_the_program_takes_literally(fake: FakeA1111, prompt: str, quoted: str) -> None:
    found = problems(fake, prompt=prompt)
    assert (len(found) == 1 and f"has '{quoted}', which" in found[0]) if quoted else found == []


def test_a_server_that_keeps_comments_may_have_them(fake: FakeA1111) -> None:
    fake.says = {"/options": {"samples_format": "png", "enable_prompt_comments": False}}
    assert problems(fake, prompt="room #4") == []


@pytest.mark.parametrize(
    ("fake", "prompt"),
    [("a1111", "<lroa:tint:1>"), ("sdnext", "/* a */"), ("koboldcpp", "<lora:tint:1>"), ("sd-server", "<lora:tint:1>")],
    indirect=["fake"],
)
def test_a_server_that_keeps_comments_may_have_nothing_else(fake: FakeA1111, prompt: str) -> None:
    fake.says = {"/options": {"samples_format": "png", "enable_prompt_comments": False}}
    assert len(problems(fake, prompt=prompt)) == 1


@pytest.mark.parametrize("fake", ["koboldcpp"], indirect=True)
def test_a_prompt_is_as_long_as_it_may_be(fake: FakeA1111) -> None:
    assert problems(fake, prompt="ö" * 1500) == []
    assert problems(fake, negative="ö" * 1501)[0].startswith("the negative prompt has more than 3000 bytes")


@pytest.mark.parametrize(
    ("fake", "loras", "prompt", "expected"),
    [
        ("a1111", ["tint", "ink_v1"], "a fox", ""),
        ("a1111", ["tnit"], "a fox", "a1111.loras: URL has no LoRA tnit | choose one of tint, "),
        ("forge", [], "a fox <lora:tnit:0.5>", "the prompt: URL has no LoRA tnit | choose one of tint, "),
        ("sd-server", ["tint", "styles/ink.safetensors"], "a fox", ""),
        ("sd-server", ["ink.safetensors"], "a fox", "a1111.loras: URL has no LoRA ink.safetensors"),
        ("koboldcpp", ["a", "b", "c", "d", "tint"], "a fox", "a1111.loras: koboldcpp takes 4 at most"),
        ("a1111", ["tint", "tint_v1"], "a fox", "a1111.loras: LoRA tint_v1 is named twice | name it once"),
        ("a1111", ["tint"], "a fox <lora:tint_v1:1>", "the prompt: LoRA tint_v1 is named twice | name it once"),
        ("a1111", ["tint"], "a fox <lora:tint:1>", "the prompt: LoRA tint is named twice | name it once"),
        ("a1111", [], "a fox <lora:tint:1> <lora:tint:.5>", "the prompt: LoRA tint is named twice | name it once"),
        ("draw-things", ["any"], "a fox", ""),
    ],
    indirect=["fake"],
)
def test_loras_are_the_listed_ones(fake: FakeA1111, loras: list[str], prompt: str, expected: str) -> None:
    found = problems(fake, extra={"loras": dict.fromkeys(loras, 1.0)}, prompt=prompt)
    assert expected in found[0] if expected else found == []


@pytest.mark.parametrize("fake", ["a1111", "sdnext"], indirect=True)
def test_a_lora_in_a_negative_prompt_would_be_read_as_words(fake: FakeA1111) -> None:
    (found,) = problems(fake, negative="dog <lora:tint:1>")
    assert found.startswith("the negative prompt has '<lora:', which")


def test_what_a_job_does_not_need_is_not_asked_for(fake: FakeA1111) -> None:
    problems(fake)
    assert not fake.count("/loras")
