"""The fake servers change silently what the real ones do."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import requests

from imagegen.images.image_file import read_image
from tests.backends.openai.fake_openai import FakeOpenAI, Fault, failing

pytestmark = pytest.mark.long

PLAIN: dict[str, Any] = {"prompt": "a fox", "size": "64x64", "seed": 7}
ARGS = {"negative_prompt": "dog", "seed": 7, "sample_params": {"scheduler": "karras", "guidance": {"txt_cfg": 3.0}}}


def tagged(args: Any, **dump: Any) -> str:
    return f"a fox<sd_cpp_extra_args>{json.dumps(args, **dump)}</sd_cpp_extra_args>"


TRAPS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    # program, what the body has besides, and what the picture is made with
    ("vllm", {"size": "70x66"}, {"size": (64, 64)}),
    ("vllm", {"steps": 5, "quality": "x"}, {"steps": 50}),
    ("vllm", {"true_cfg_scale": 3}, {"true_cfg": None}),
    ("vllm", {"true_cfg_scale": 3, "negative_prompt": " "}, {"true_cfg": 3}),
    ("vllm", {"output_format": "pgn"}, {"format": "jpeg"}),
    ("sglang", {"seed": None}, {"seed": 42, "format": "jpeg"}),
    ("sglang", {"model": "any"}, {"model": "black-forest-labs/FLUX.1-dev"}),
    ("sglang", {"size": "72x64"}, {"size": (64, 64)}),
    ("sdcpp", {"steps": 5}, {"seed": 42, "steps": 20}),
    (
        "sdcpp",
        {"prompt": tagged(ARGS)},
        {"prompt": "a fox", "negative": "dog", "seed": 7, "cfg": 3.0, "scheduler": "karras"},
    ),
    ("sdcpp", {"prompt": tagged(ARGS, indent=1)}, {"prompt": tagged(ARGS, indent=1), "seed": 42}),
    ("sdcpp", {"prompt": tagged({"sample_params": {"scheduler": "Karras"}})}, {"scheduler": "discrete"}),
    ("sdcpp", {"size": "70x66"}, {"size": (128, 128)}),
    ("sdcpp", {"size": "70"}, {"size": (512, 512)}),
    ("lemonade", {"model": "SD-Turbo", "seed": 2**32 + 5}, {"seed": 5}),
    ("lemonade", {"model": "SD-Turbo", "seed": "7", "negative_prompt": "dog"}, {"seed": 42, "negative": ""}),
    ("lemonade", {"model": "SD-Turbo", "prompt": tagged({"seed": 1})}, {"seed": 1}),
    ("localai", {"prompt": "a fox|dog|cat", "negative_prompt": "owl"}, {"prompt": "a fox", "negative": "dog"}),
    ("localai", {"size": "512X768"}, {"size": (512, 512)}),
    ("localai", {"steps": 5}, {"steps": 15}),
]


def post(fake: FakeOpenAI, body: dict[str, Any]) -> requests.Response:
    return requests.post(f"{fake.url}/images/generations", json=body, timeout=60)


@pytest.mark.parametrize(("program", "body", "made"), TRAPS)
def test_it_makes_another_picture_as_the_real_one_does(
    program: str, body: dict[str, Any], made: dict[str, Any]
) -> None:
    with FakeOpenAI(program) as fake:
        assert post(fake, {**PLAIN, **body}).status_code == 200
        (picture,) = fake.pictures
        asked = {name: getattr(picture, name) for name in made}
        assert {**asked, "prompt": asked.get("prompt", "").rstrip()} == {"prompt": "", **made}


REFUSED = [
    ("vllm", {"model": "qwen"}, 400),
    ("vllm", {"num_inference_steps": 201}, 400),
    ("sglang", {"quality": "low"}, 400),
    ("sglang", {"seed": -1}, 400),
    ("sglang", {"seed": 2**64}, 500),
    ("lemonade", {}, 400),
    ("lemonade", {"model": "Qwen3-4B-GGUF"}, 404),
    ("localai", {"model": "x"}, 404),
    ("sdcpp", {"output_format": "gif"}, 400),
    ("hosted", {"model": "gpt-image-2"}, 400),
    ("llama.cpp", {}, 404),
    ("LM Studio", {}, 200),
]


@pytest.mark.parametrize(("program", "body", "status"), REFUSED)
def test_it_refuses_what_the_real_one_does(program: str, body: dict[str, Any], status: int) -> None:
    with FakeOpenAI(program) as fake:
        answer = post(fake, {**PLAIN, **body})
        assert (answer.status_code, "error" in answer.text or "detail" in answer.text) == (status, status != 500)
        assert fake.pictures == []


def test_each_picture_of_the_hosted_api_is_another_one_and_has_its_price() -> None:
    with FakeOpenAI("hosted", key="k") as fake:
        body = {"model": "gpt-image-2", "prompt": "a fox", "size": "1024x640", "quality": "low"}
        assert post(fake, body).status_code == 401
        for _ in range(2):
            answer = requests.post(
                f"{fake.url}/images/generations", json=body, headers={"Authorization": "Bearer k"}, timeout=60
            )
            file = read_image(base64.b64decode(answer.json()["data"][0]["b64_json"]))
            assert (file.width, file.height, answer.json()["quality"]) == (1024, 640, "low")
        assert str(fake.bill) == "0.012"
        assert len({picture.encode() for picture in fake.pictures}) == 2


@pytest.mark.parametrize("loses", ["answer", "reset", "body"])
def test_an_answer_can_be_lost_and_the_next_one_arrives(loses: Any) -> None:
    with FakeOpenAI("vllm") as fake:
        fake.faults += [failing(429), Fault(loses=loses)]
        assert post(fake, PLAIN).status_code == 429
        with pytest.raises(requests.exceptions.RequestException):
            post(fake, PLAIN)
        assert len(fake.pictures) == 1
        assert post(fake, PLAIN).status_code == 200
