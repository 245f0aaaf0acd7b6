"""Preflight of a request at a server whose words about itself are given."""

from __future__ import annotations

from typing import Any

import pytest

from imagegen.backends.openai.checks import check_dialect, check_request, find_model
from imagegen.backends.openai.server import Server
from imagegen.errors import Problem
from imagegen.plan.request import Request
from tests.backends.openai.test_dialects import request

URL = "http://127.0.0.1:8000/v1"
OPENAI = "https://api.openai.com/v1"
SERVERS = {
    name: Server(program, name, ["m"])
    for name, program in {
        "vllm": "vLLM-Omni",
        "sglang": "SGLang",
        "lemonade": "Lemonade",
        "localai": "LocalAI",
        "sdcpp": "sd-server",
    }.items()
}


def check(name: str, *, named: bool = False, url: str = URL, server: Server | None = None, **fields: Any) -> list[str]:
    one = server or SERVERS.get(name) or Server(dialect="hosted")
    return [problem.what for problem in check_request(request(**fields), name if named else "", one, url)]


@pytest.mark.parametrize("name", SERVERS)
def test_a_plain_request_has_no_problem(name: str) -> None:
    assert check(name) == []


@pytest.mark.parametrize(
    ("name", "fields", "what"),
    [
        ("localai", {"cfg": 2.0}, "cfg: LocalAI does not take it"),
        ("lemonade", {"negative": "x"}, "negative: Lemonade does not take it"),
        ("vllm", {"sampler": "euler"}, "sampler: vLLM-Omni does not take it"),
        ("sdcpp", {"extra": {"quality": "low"}}, "openai.quality: sd-server does not take it"),
    ],
)
def test_what_a_server_that_was_asked_does_not_take_is_refused(name: str, fields: dict[str, Any], what: str) -> None:
    assert check(name, **fields) == [what]


def test_what_a_named_dialect_does_not_take_is_left_out_by_planning() -> None:
    assert check("localai", named=True, cfg=2.0) == []


def test_the_address_and_the_dialect_are_no_parameters() -> None:
    assert check("vllm", extra={"server": {"url": URL}, "dialect": "vllm"}) == []


@pytest.mark.parametrize(
    ("name", "fields", "what"),
    [
        ("vllm", {"steps": 201}, "steps 201: vLLM-Omni takes at most 200"),
        ("sdcpp", {"steps": 101}, "steps 101: sd-server takes at most 100"),
        ("vllm", {"cfg": 20.5}, "cfg 20.5: vLLM-Omni takes at most 20"),
        ("lemonade", {"cfg": 0}, "cfg 0: Lemonade takes it for none given"),
        ("localai", {"seed": 0, "given": ("seed",)}, "seed 0: LocalAI would take it for 1"),
        ("localai", {"seed": 2**31 + 5, "given": ("seed",)}, f"seed {2**31 + 5}: LocalAI would take it for 5"),
        ("lemonade", {"seed": 2**31, "given": ("seed",)}, f"seed {2**31}: Lemonade would take it for 0"),
        ("sdcpp", {"seed": 2**63, "given": ("seed",)}, f"seed {2**63}: sd-server would take it for 0"),
        ("sglang", {"width": 72}, "width 72: SGLang takes multiples of 16"),
        ("localai", {"height": 36}, "height 36: LocalAI takes multiples of 8"),
        ("localai", {"prompt": "a|b"}, "the prompt has a |, at which LocalAI splits off a negative prompt"),
        ("localai", {"negative": "|"}, "the negative prompt has a |, at which LocalAI splits off a negative prompt"),
        (
            "lemonade",
            {"prompt": "</sd_cpp_extra_args>"},
            "the prompt has <sd_cpp_extra_args>, where sd-server looks for parameters",
        ),
        (
            "sdcpp",
            {"negative": "<sd_cpp_extra_args>"},
            "the negative prompt has <sd_cpp_extra_args>, where sd-server looks for parameters",
        ),
        (
            "sdcpp",
            {"negative": "x" * 4000},
            "the negative prompt makes more than 4,000 characters of parameters: sd-server may crash",
        ),
        ("lemonade", {"sampler": "eular"}, "sampler eular: sd-server has none of that name"),
    ],
)
def test_what_a_program_would_change_is_refused(name: str, fields: dict[str, Any], what: str) -> None:
    assert [one.partition("; did")[0] for one in check(name, **fields)] == [what]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("vllm", {"steps": 200, "cfg": 20, "seed": 2**63 - 1}),
        ("vllm", {"seed": 2**63 - 1, "given": ("seed",)}),
        ("lemonade", {"seed": 2**32 - 1, "steps": 100, "cfg": 0.1}),
        ("lemonade", {"seed": 0, "given": ("seed",)}),
        ("localai", {"seed": 0}),
        ("sdcpp", {"negative": "x" * 3800, "prompt": "y" * 9000}),
        ("vllm", {"prompt": "a|b", "negative": "<sd_cpp_extra_args>"}),
        ("lemonade", {"sampler": "dpm++2m"}),
    ],
)
def test_what_it_takes_is_not(name: str, fields: dict[str, Any]) -> None:
    assert check(name, **fields) == []


def test_a_sampler_is_one_that_sd_server_lists() -> None:
    server = Server("sd-server", "sdcpp", ["m"], samplers=["euler"], schedulers=["karras"])
    fields: dict[str, Any] = {"sampler": "heun", "scheduler": "Karras"}
    assert check("sdcpp", server=server, **fields) == [
        "sampler heun: sd-server has none of that name",
        "scheduler Karras: sd-server has none of that name",
    ]


@pytest.mark.parametrize("models", [["other"], []])
def test_a_server_of_ones_own_must_have_the_model(models: list[str]) -> None:
    (what,) = check("lemonade", server=Server("Lemonade", "lemonade", models), extra={"model": "m"})
    assert what == (f"openai.model: {URL} has no m" if models else f"{URL} has no model")


def test_a_model_that_the_job_never_named_is_said_to_be_recorded() -> None:
    (what,) = check("lemonade", server=Server("Lemonade", "lemonade", ["other"]))
    assert what == f"{URL} has no m, with which this job, which names no model, was first built"


def test_a_hosted_api_that_lists_none_needs_the_models_name() -> None:
    found = find_model(Request("openai", "Fox", "a fox"), Server(dialect="hosted"), URL)
    assert found == Problem("", f"the job names no model, and {URL} lists none", "name one: openai.model")


def test_a_model_that_somebody_else_runs_for_the_server_is_not_used() -> None:
    (what,) = check("lemonade", server=Server("Lemonade", "lemonade", ["other"], sold=["m"]))
    assert what == f"openai.model: {URL} may charge for images of m"


def test_a_hosted_list_counts_only_where_it_is_sure_to_be_of_models() -> None:
    size: dict[str, Any] = {"width": 1024, "height": 1024}
    assert check("hosted", server=Server(dialect="hosted", models=["other"]), named=True, **size) == []
    size["extra"] = {"model": "m"}
    (what,) = check("hosted", server=Server(dialect="hosted", models=["other"]), named=True, url=OPENAI, **size)
    assert what == f"openai.model: {OPENAI} has no m"
    assert check("hosted", named=True, url=OPENAI, **size) == []


@pytest.mark.parametrize(
    ("width", "height", "is_taken"),
    [
        (1024, 1024, True),
        (1536, 1024, True),
        (1024, 640, True),
        (3840, 2160, True),
        (512, 512, False),
        (3072, 1024, True),
        (3088, 1024, False),
        (3840, 2176, False),
    ],
)
def test_openai_takes_no_size_that_none_of_its_models_does(width: int, height: int, is_taken: bool) -> None:
    assert (check("hosted", named=True, url=OPENAI, width=width, height=height) == []) is is_taken
    assert check("hosted", named=True, width=width, height=height) == []


def test_openai_takes_multiples_of_16() -> None:
    assert check("hosted", named=True, url=OPENAI, width=1032, height=1024) == [
        "width 1032: a hosted API takes multiples of 16"
    ]


def test_a_lora_that_is_at_work_is_refused() -> None:
    (what,) = check("sglang", server=Server("SGLang", "sglang", ["m"], loras=["ink"]))
    assert what == f"{URL} applies ink to every image, a LoRA that no job can name"


@pytest.mark.parametrize(
    ("named", "server", "what", "hint"),
    [
        ("", SERVERS["vllm"], "", ""),
        ("vllm", SERVERS["vllm"], "", ""),
        ("vllm", Server(models=["m"]), "", ""),
        ("hosted", Server(dialect="hosted"), "", ""),
        ("sglang", SERVERS["vllm"], f"openai.dialect: sglang, but {URL} is vLLM-Omni", "remove it, or write vllm"),
        ("hosted", SERVERS["sdcpp"], f"openai.dialect: hosted, but {URL} is sd-server", "remove it, or write sdcpp"),
        ("", Server("koboldcpp"), f"{URL} is koboldcpp, which says more by A1111's API", "write backend: a1111"),
        (
            "vllm",
            Server("vLLM"),
            f"{URL} is vLLM, which has no model for images",
            "start it with one, or name another server: openai.server.url",
        ),
        (
            "",
            Server(models=["m"]),
            f"openai.dialect: {URL} does not tell which program it is",
            "name it: one of vllm, sglang, lemonade, localai, sdcpp, hosted",
        ),
    ],
)
def test_a_server_is_what_it_is_said_to_be(named: str, server: Server, what: str, hint: str) -> None:
    assert check_dialect(named, server, URL) == (Problem("", what, hint) if what else None)
