"""The fields that an image is generated with, and what is sent for it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.sd.image import build_body, effective_fields
from imagegen.backends.sd.known_models import KNOWN_MODELS
from imagegen.plan.request import Request


def request(model: str = "one.safetensors", extra: dict[str, Any] | None = None, **given: Any) -> Request:
    fields = {"seed": 7, **given}
    extra = {"files": {"model": model}, **(extra or {})}
    return Request("sd", "A", "a cat", model=model, extra=extra, given=tuple(sorted(given)), **fields)


def nothing(sha256: str) -> Path:
    raise AssertionError(sha256)


def test_a_request_without_more_is_sent_with_the_fields_that_decide_it() -> None:
    assert build_body(request(width=512, height=768, steps=20, cfg=6.5, negative="text"), {}, nothing) == {
        "prompt": "a cat",
        "negative_prompt": "text",
        "width": 512,
        "height": 768,
        "seed": 7,
        "batch_count": 1,
        "sample_params": {"sample_steps": 20, "guidance": {"txt_cfg": 6.5}},
        "output_format": "png",
    }


def test_what_the_job_leaves_open_is_left_to_the_engine() -> None:
    body = build_body(request(sampler="euler", scheduler="karras", clip_skip=2), {}, nothing)
    assert body["sample_params"]["sample_method"] == "euler"
    assert body["sample_params"]["scheduler"] == "karras"
    assert body["clip_skip"] == 2
    body = build_body(request(), {}, nothing)
    assert not {"sample_method", "scheduler"} & body["sample_params"].keys()
    assert "clip_skip" not in body


def test_guidance_and_loras_with_their_strengths() -> None:
    extra = {"guidance": 3.5, "loras": {"ink.safetensors": 0.5, "oil.safetensors": -1.0}}
    body = build_body(request(extra=extra), {"ink.safetensors": "a/ink.safetensors", "oil.safetensors": "oil"}, nothing)
    assert body["sample_params"]["guidance"]["distilled_guidance"] == 3.5
    assert body["lora"] == [{"path": "a/ink.safetensors", "multiplier": 0.5}, {"path": "oil", "multiplier": -1.0}]


def test_images_to_start_from_and_to_follow(tmp_path: Path) -> None:
    for name in ("pose", "hat", "coat"):
        (tmp_path / name).write_bytes(name.encode())
    extra = {"images": {"ref2": "coat", "init": "pose", "ref1": "hat"}, "strength": 0.4}
    body = build_body(request(extra=extra), {}, lambda sha256: tmp_path / sha256)
    assert (base64.b64decode(body["init_image"]), body["strength"]) == (b"pose", 0.4)
    assert [base64.b64decode(one) for one in body["ref_images"]] == [b"hat", b"coat"]


@pytest.mark.parametrize("name", KNOWN_MODELS)
def test_a_known_model_has_fields_of_its_own(name: str) -> None:
    known = KNOWN_MODELS[name]
    fields = effective_fields(request(name))
    assert (fields.width, fields.height, fields.steps) == (known.width, known.height, known.steps)
    given = effective_fields(request(name, steps=known.steps + 1, negative="text", cfg=known.cfg + 1))
    assert given.steps == known.steps + 1
    if known.is_distilled:
        assert (given.cfg, given.negative) == (known.cfg, "")
    else:
        assert (given.cfg, given.negative) == (known.cfg + 1, "text")
