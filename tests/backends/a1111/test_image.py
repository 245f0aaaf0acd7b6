"""What is sent for an image, and what speaks for another one than was asked for."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imagegen.backends.a1111.checks import find_checkpoint
from imagegen.backends.a1111.image import build_body, find_difference
from imagegen.backends.a1111.server import Server
from imagegen.errors import Problem
from imagegen.plan.request import Request
from tests.backends.a1111.fake_a1111 import FakeA1111
from tests.backends.a1111.fake_programs.program import sha256_of

COMMON = {
    "prompt": "a fox",
    "negative_prompt": "dog",
    "width": 128,
    "height": 192,
    "steps": 3,
    "cfg_scale": 4.5,
    "seed": 7,
}
HASH = sha256_of("anime/one.safetensors")[:10]
APP = {"batch_count": 1, "batch_size": 1, "loras": [], "controls": [], "hires_fix": False}
APP |= {"upscaler": None, "refiner_model": None}


def inspect(fake: FakeA1111, name: str = "") -> tuple[Server, str]:
    server = Server(fake.url)
    named = name or ("one" if len(server.checkpoints) > 1 else "")
    checkpoint = find_checkpoint(Request("a1111", "fox", "a fox", model=named), server)
    assert not isinstance(checkpoint, Problem)
    return server, checkpoint


def body(fake: FakeA1111, file: Path = Path(), **fields: Any) -> dict[str, Any]:
    values = {"prompt": "a fox", "negative": "dog", "width": 128, "height": 192, "steps": 3, "cfg": 4.5, "seed": 7}
    request = Request("a1111", "fox", **{**values, "given": tuple(sorted(fields)), **fields})
    return build_body(request, *inspect(fake), lambda _: file)


@pytest.mark.parametrize(
    ("fake", "more"),
    [
        ("a1111", {"override_settings": {"sd_model_checkpoint": "TITLE"}}),
        ("koboldcpp", {}),
        ("sd-server", {}),
        ("draw-things", {"model": "sd_v1.5_f16.ckpt", **APP}),
    ],
    indirect=["fake"],
)
def test_only_what_the_program_takes_is_sent(fake: FakeA1111, more: dict[str, Any]) -> None:
    sent = body(fake)
    if "override_settings" in sent:
        assert sent["override_settings"]["sd_model_checkpoint"].startswith("anime/one.safetensors [")
        sent["override_settings"] = {"sd_model_checkpoint": "TITLE"}
    assert sent == COMMON | more


def test_the_only_checkpoint_is_not_switched_to(fake: FakeA1111) -> None:
    fake.program.checkpoints = ("one.safetensors",)
    assert "override_settings" not in body(fake)


def test_samplers_and_schedulers_are_sent_as_the_server_names_them(fake: FakeA1111) -> None:
    sent = body(fake, sampler="K_euler_A", scheduler="SGM uniform")
    assert (sent["sampler_name"], sent["scheduler"]) == ("Euler a", "sgm_uniform")


@pytest.mark.parametrize(
    ("fake", "seed", "sent"),
    [
        ("a1111", 2**32 - 1, 2**32 - 1),
        ("sd-server", 2**31 - 1, 2**31 - 1),
        ("sd-server", 2**31 + 5, 5),
        ("koboldcpp", 2**32 - 1, 2**31 - 1),
    ],
    indirect=["fake"],
)
def test_a_seed_is_one_that_the_program_has(fake: FakeA1111, seed: int, sent: int) -> None:
    assert body(fake, seed=seed)["seed"] == sent


@pytest.mark.parametrize(
    ("fake", "name", "more"),
    [
        ("a1111", "tint_v1", {"prompt": "a fox <lora:tint:0.8>"}),
        ("sd-server", "tint", {"lora": [{"path": "tint.safetensors", "multiplier": 0.8}]}),
        ("koboldcpp", "tint.safetensors", {"lora": [{"path": "tint.safetensors", "multiplier": 0.8}]}),
        ("draw-things", "tint_lora_f16.ckpt", {"loras": [{"file": "tint_lora_f16.ckpt", "weight": 0.8}]}),
    ],
    indirect=["fake"],
)
def test_loras_are_where_the_program_looks_for_them(fake: FakeA1111, name: str, more: dict[str, Any]) -> None:
    sent = body(fake, extra={"loras": {name: 0.8}})
    assert {key: sent[key] for key in more} == more


@pytest.mark.parametrize(("fake", "size"), [("a1111", (20, 30)), ("draw-things", (128, 192))], indirect=["fake"])
def test_the_image_to_start_from_is_plain_base64(fake: FakeA1111, size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("RGB", (20, 30), "red").save(tmp_path / "red.png")
    sent = body(fake, tmp_path / "red.png", extra={"images": {"init": "ab"}, "strength": 0.4})
    assert sent["denoising_strength"] == 0.4
    (text,) = sent["init_images"]
    with Image.open(io.BytesIO(base64.b64decode(text, validate=True))) as image:
        assert image.size == size


def png(width: int = 128, height: int = 192) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (width, height)).save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({}, ""),
        ({"seed": 7, "sampler_name": "Euler", "prompt": "a fox <lora:tint:1>", "sd_model_name": "one"}, ""),
        ({"seed": 7, "sampler_name": "euler", "prompt": "A fox, ", "all_prompts": []}, ""),
        ({"prompt": "ignored", "all_prompts": ["a fox <lora:tint:1>"]}, ""),
        ({"sampler_name": "DPM++ 2M"}, "took another sampler: DPM++ 2M, and not Euler"),
        ({"seed": 8}, "took another seed: 8, and not 7"),
        ({"prompt": "a cat"}, "took another prompt: a cat, and not a fox"),
        ({"all_prompts": ["a cat"]}, "took another prompt: a cat, and not a fox"),
        ({"sd_model_name": "two"}, "took another checkpoint: two, and not anime/one.safetensors"),
        ({"sd_model_hash": "0123456789"}, "took another checkpoint: 0123456789, and not"),
        ({"extra_generation_params": {"Lora hashes": "tint: ab12, ink: cd"}}, ""),
        ({"extra_generation_params": {"Lora hashes": "ink: cd"}}, "took another list of LoRAs: ink: cd, and not tint"),
        ({"extra_generation_params": {}, "sd_model_hash": HASH}, "took another list of LoRAs: none, and not tint"),
        ({"extra_generation_params": {}}, ""),
        ({"extra_generation_params": "x", "all_prompts": "y", "seed": None, "prompt": None}, ""),
    ],
)
def test_what_differs_is_found_in_what_the_server_says(fake: FakeA1111, info: dict[str, Any], expected: str) -> None:
    server, checkpoint = inspect(fake)
    sent = {**body(fake, sampler="Euler"), "prompt": "a fox <lora:tint:1>"}
    found = find_difference(sent, server, checkpoint, png(), info)
    assert (found is not None and expected in found.what and found.hint) if expected else found is None


@pytest.mark.parametrize("fake", ["koboldcpp"], indirect=True)
@pytest.mark.parametrize(
    ("fields", "info"),
    [
        ({"cfg": 4.2}, {"cfg_scale": 4.199999809265137}),
        ({"cfg": 7.0}, {"cfg_scale": 7}),
        ({"negative": ""}, {"negative_prompt": ", "}),
        ({"scheduler": "Karras"}, {"extra_generation_params": {"Schedule type": "karras"}}),
        ({"scheduler": "normal"}, {"extra_generation_params": {"Schedule type": "discrete"}}),
        ({"scheduler": "default"}, {"extra_generation_params": {"Schedule type": "karras"}}),
    ],
)
def test_the_same_in_other_words_is_not_another(fake: FakeA1111, fields: dict[str, Any], info: dict[str, Any]) -> None:
    fake.program.schedulers = {**fake.program.schedulers, "normal": "normal", "default": "default"}
    server, checkpoint = inspect(fake)
    assert find_difference(body(fake, **fields), server, checkpoint, png(), info) is None


def test_a_label_is_the_scheduler_of_its_name(fake: FakeA1111) -> None:
    server, checkpoint = inspect(fake)
    sent = body(fake, scheduler="sgm_uniform")
    for label, differs in (("SGM Uniform", False), ("Automatic", True), ("Karras", True)):
        info = {"extra_generation_params": {"Schedule type": label}}
        server.differences.clear()
        assert bool(find_difference(sent, server, checkpoint, png(), info)) == differs, label


def test_a_checkpoint_that_is_listed_no_more_is_compared_by_what_was_sent(fake: FakeA1111) -> None:
    server, _ = inspect(fake)
    found = find_difference(body(fake), server, "gone", png(), {"sd_model_name": "two"})
    assert found
    assert found.what.startswith("the server took another checkpoint: two, and not anime/one.safetensors [")


def test_another_size_is_found_in_the_image(fake: FakeA1111) -> None:
    server, checkpoint = inspect(fake)
    found = find_difference(body(fake), server, checkpoint, png(128, 256))
    assert found
    assert found.what == "the server took another size: 128×256, and not 128×192"
    assert find_difference(body(fake), inspect(fake)[0], checkpoint, b"broken") is None
