from __future__ import annotations

import pytest

from imagegen.images import png
from imagegen.images.errors import BadImage
from imagegen.images.parameters import Parameters, comfyui_prompt, read_parameters
from imagegen.images.provenance import Provenance, parameters_text
from tests.images.pictures import picture


def with_text(key: str, text: str) -> bytes:
    head, *rest = png.read_chunks(PNG)
    return png.write_chunks([head, png.itxt(key, text), *rest])


PNG = picture("png")


def test_the_web_uis_text_is_read() -> None:
    text = (
        "a raven,\non a stone\nNegative prompt: hands,\nblurry\n"
        'Steps: 25, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 12, Size: 512x768, Model: "a, b", Version: v1.9'
    )
    assert read_parameters(with_text("parameters", text)) == Parameters(
        "a raven,\non a stone",
        {"negative": "hands,\nblurry", "steps": 25, "cfg": 6.5, "seed": 12, "width": 512, "height": 768},
        {"Sampler": "DPM++ 2M", "Schedule type": "Karras", "Model": '"a, b"', "Version": "v1.9"},
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a raven", Parameters("a raven")),
        ("a raven\nNegative prompt: hands", Parameters("a raven", {"negative": "hands"})),
        (
            "a\nSteps: x, Size: huge, CFG scale: ?",
            Parameters("a", {}, {"Steps": "x", "Size": "huge", "CFG scale": "?"}),
        ),
        ("  ", None),
    ],
)
def test_what_is_not_there_is_left_out(text: str, expected: Parameters | None) -> None:
    assert read_parameters(with_text("parameters", text)) == expected


def test_our_own_text_is_read_back() -> None:
    fields = {"prompt": "a raven", "negative": "hands", "steps": 7, "cfg": 7.0, "seed": 3, "width": 64, "height": 48}
    found = read_parameters(with_text("parameters", parameters_text(Provenance(fields, None, "1", False))))
    assert found == Parameters("a raven", {key: value for key, value in fields.items() if key != "prompt"})


def test_an_image_without_says_nothing() -> None:
    assert (read_parameters(PNG), comfyui_prompt(PNG)) == (None, None)
    assert comfyui_prompt(with_text("prompt", "{}")) == "{}"
    assert read_parameters(picture("jpeg")) is None
    with pytest.raises(BadImage):
        read_parameters(b"GIF89a")
