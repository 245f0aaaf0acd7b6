"""The fields that an image is generated with, and what is sent for it."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imagegen.backends.base import GenerationError
from imagegen.backends.sd.image import build_body, effective_fields
from imagegen.backends.sd.known_models import KNOWN_MODELS
from imagegen.plan.request import Request
from tests.project_folder import picture


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
    pose, hat, coat = map(picture, ("red", "green", "blue"))
    for name, data in (("pose", pose), ("hat", hat), ("coat", coat)):
        (tmp_path / name).write_bytes(data)
    extra = {"images": {"ref2": "coat", "init": "pose", "ref1": "hat"}, "strength": 0.4}
    body = build_body(request(extra=extra), {}, lambda sha256: tmp_path / sha256)
    assert (base64.b64decode(body["init_image"]), body["strength"]) == (pose, 0.4)
    assert [base64.b64decode(one) for one in body["ref_images"]] == [hat, coat]


def sent(tmp_path: Path, data: bytes) -> bytes:
    """What is sent for a reference image."""
    (tmp_path / "image").write_bytes(data)
    body = build_body(request(extra={"images": {"ref1": "image"}}), {}, lambda sha256: tmp_path / sha256)
    return base64.b64decode(body["ref_images"][0])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16"])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_reference_images_are_sent_as_every_build_reads_them(tmp_path: Path, form: str, mode: str) -> None:
    if mode == "I;16" and form != "PNG":
        pytest.skip(f"{form} has 8 bits")
    image = Image.new("RGB", (16, 16), (204, 204, 204))
    image = Image.new("I;16", (16, 16), 204 * 257) if mode == "I;16" else image.convert(mode)
    written = io.BytesIO()
    try:
        image.save(written, form)
    except (OSError, ValueError):
        pytest.skip(f"{form} has no mode {mode}")
    data = written.getvalue()
    found = Image.open(io.BytesIO(sent(tmp_path, data)))
    assert (found.format in ("PNG", "JPEG"), found.mode) == (True, "RGB")
    if mode != "1":
        assert all(abs(value - 204) < 3 for value in found.convert("RGB").getpixel((8, 8)))  # type: ignore[union-attr]
    if form in ("PNG", "JPEG") and mode == "RGB":
        assert sent(tmp_path, data) == data


@pytest.mark.parametrize("data", [picture(kind="webp")[:20], picture(kind="gif")[:30], b"RIFF\0\0\0\0WEBPVP8 ", b""])
def test_a_damaged_reference_image_fails_its_image_alone(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(GenerationError, match=r"sd\.images\.ref1: the image is damaged"):
        sent(tmp_path, data)


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
