from __future__ import annotations

import io
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imagegen.images.foreign_settings import (
    ForeignSettings,
    UnreadableRecord,
    read_comfyui_prompt,
    read_foreign_settings,
    to_comfyui_names,
)
from imagegen.images.formats import BadImage, read_png, text_chunk, write_png
from imagegen.images.image_file import ImageFile, read_image
from imagegen.images.provenance import Provenance, parameters_text
from tests.images.pictures import picture


def with_text(key: str, text: str) -> ImageFile:
    head, *rest = read_png(PNG)
    return read_image(write_png([head, text_chunk(key, text), *rest]))


PNG = picture("png")


def test_the_web_uis_text_is_read() -> None:
    text = (
        "a raven,\non a stone\nNegative prompt: hands,\nblurry\n"
        'Steps: 25, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 12, Size: 512x768, Model: "a, b", Version: v1.9'
    )
    assert read_foreign_settings(with_text("parameters", text)) == ForeignSettings(
        "a raven,\non a stone",
        {"negative": "hands,\nblurry", "steps": 25, "cfg": 6.5, "seed": 12, "width": 512, "height": 768},
        {"Sampler": "DPM++ 2M", "Schedule type": "Karras", "Model": '"a, b"', "Version": "v1.9"},
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a raven", ForeignSettings("a raven")),
        ("a raven\nNegative prompt: hands", ForeignSettings("a raven", {"negative": "hands"})),
        (
            "a\nSteps: x, Size: huge, CFG scale: ?",
            ForeignSettings("a", {}, {"Steps": "x", "Size": "huge", "CFG scale": "?"}),
        ),
        ("  ", None),
    ],
)
def test_what_is_not_there_is_left_out(text: str, expected: ForeignSettings | None) -> None:
    assert read_foreign_settings(with_text("parameters", text)) == expected


def test_the_web_uis_clip_skip_is_ours() -> None:
    text = "a\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Clip skip: 2"
    found = read_foreign_settings(with_text("parameters", text))
    assert found
    assert (found.fields["clip_skip"], found.others) == (2, {"Sampler": "Euler"})
    assert "Clip skip: 2" in parameters_text(Provenance({"seed": 0, "clip_skip": 2}, None, "1", False))


def test_our_own_text_is_read_back() -> None:
    fields = {"prompt": "a raven", "negative": "hands", "steps": 7, "cfg": 7.0, "seed": 3, "width": 64, "height": 48}
    found = read_foreign_settings(with_text("parameters", parameters_text(Provenance(fields, None, "1", False))))
    assert found == ForeignSettings("a raven", {key: value for key, value in fields.items() if key != "prompt"})


def test_an_image_without_says_nothing() -> None:
    assert (read_foreign_settings(read_image(PNG)), read_comfyui_prompt(read_image(PNG))) == (None, None)
    assert read_comfyui_prompt(with_text("prompt", "{}")) == "{}"
    assert read_foreign_settings(read_image(picture("jpeg"))) is None
    with pytest.raises(BadImage):
        read_image(b"GIF89a")


WEB_UI = (
    "a raven,\non a stone\nNegative prompt: hands\n"
    "Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 12, Size: 512x768, Model: foo, "
    'Lora hashes: "x: aa, Seed: 7", Hires steps: 10, ADetailer prompt: "b, Steps: 3", '
    'Civitai resources: [{"type":"checkpoint","modelName":"P, Seed: 9"}, {"a": 1}], Version: v1.7'
)
OF_WEB_UI = {"negative": "hands", "steps": 20, "cfg": 7.0, "seed": 12, "width": 512, "height": 768}


def commented(kind: str, text: str, order: str = "be") -> ImageFile:
    """A JPEG or WebP with a UserComment, in UTF-16 of that byte order."""
    exif = Image.Exif()
    exif[0x8769] = {0x9286: b"UNICODE\0" + text.encode(f"utf-16-{order}")}
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, kind, exif=exif.tobytes())
    return read_image(file.getvalue())


def of(**texts: str) -> ForeignSettings | None:
    head, *rest = read_png(PNG)
    chunks = [head, *(text_chunk(key, text) for key, text in texts.items()), *rest]
    return read_foreign_settings(read_image(write_png(chunks)))


@pytest.mark.parametrize(
    ("below", "others"),
    [
        ("", {}),
        ("\nTemplate: {a|b} raven,\n{x|y}", {"Template": "{a|b} raven,\n{x|y}"}),
        ("\nTemplate: {a|b}\nNegative Template: {c|d}", {"Template": "{a|b}\nNegative Template: {c|d}"}),
        ("\nNegative Template: {c|d}", {"Negative Template": "{c|d}"}),
        ("\nWhatever: it is", {"the lines below": "Whatever: it is"}),
    ],
)
def test_what_stands_below_the_settings_is_no_part_of_the_prompt(below: str, others: dict[str, str]) -> None:
    found = of(parameters=WEB_UI + below)
    assert found is not None
    assert (found.prompt, found.fields) == ("a raven,\non a stone", OF_WEB_UI)
    assert {key: found.others.get(key) for key in others} == others
    assert found.others["Civitai resources"].endswith('{"a": 1}]')
    assert found.others["Lora hashes"] == '"x: aa, Seed: 7"'


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
@pytest.mark.parametrize("order", ["be", "le"])
def test_a_user_comment_is_read_in_either_byte_order(kind: str, order: str) -> None:
    found = read_foreign_settings(commented(kind, WEB_UI, order))
    assert found is not None
    assert (found.prompt, found.fields) == ("a raven,\non a stone", OF_WEB_UI)
    swarm = read_foreign_settings(commented(kind, '{"sui_image_params": {"prompt": "räven 雪", "seed": 5}}', order))
    assert swarm == ForeignSettings("räven 雪", {"seed": 5})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a\nSteps: 1e9, CFG scale: nan, Seed: -1, Size: 0x0",
            ForeignSettings("a", {}, {"Steps": "1e9", "CFG scale": "nan", "Seed": "-1", "Size": "0x0"}),
        ),
        ("a\nSteps: 20000, CFG scale: inf, Size: 9x64", ForeignSettings("a", {}, {"Steps": "20000", "CFG scale": "inf", "Size": "9x64"})),
        ("a\nSteps: mix, then bake\nSteps: 5, Seed: 18446744073709551615", ForeignSettings("a\nSteps: mix, then bake", {"steps": 5, "seed": 2**64 - 1})),
        ("a\nSteps: mix, then bake", ForeignSettings("a\nSteps: mix, then bake")),
        ("a\nSteps: 20", ForeignSettings("a", {"steps": 20})),
        ("a sign: Negative prompt: no\nNegative prompt: b\nSteps: 5, Seed: 1", ForeignSettings("a sign: Negative prompt: no", {"negative": "b", "steps": 5, "seed": 1})),
        ("Negative prompt: b\nSteps: 5, Seed: 1", ForeignSettings("", {"negative": "b", "steps": 5, "seed": 1})),
        ('{"scene": "a"}\nSteps: 5, Seed: 1', ForeignSettings('{"scene": "a"}', {"steps": 5, "seed": 1})),
        ("a\nNegative prompt: b\nNegative prompt: c\nSteps: 5, Seed: 1", ForeignSettings("a", {"negative": "b\n c", "steps": 5, "seed": 1})),
        ("a\r\nNegative prompt: b\r\nSteps: 5, Seed: 1\r\n", ForeignSettings("a", {"negative": "b", "steps": 5, "seed": 1})),
        ("{red|blue} cloak", ForeignSettings("{red|blue} cloak")),
    ],
)  # fmt: skip
def test_odd_texts_of_the_web_ui(text: str, expected: ForeignSettings) -> None:
    assert of(parameters=text) == expected


def xmp_of_draw_things(text: str) -> str:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/"><exif:UserComment><rdf:Alt>'
        f'<rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt></exif:UserComment></rdf:Description></rdf:RDF></x:xmpmeta>'
    )


SIZE = {"width": 64, "height": 96}
TAKEN: dict[str, Any] = {"steps": 20, "cfg": 7.5, "seed": 12, "negative": "bad", **SIZE}
SWARM = {"prompt": "a fox", "negativeprompt": "bad", "seed": 12, "steps": 20, "cfgscale": 7.5, **SIZE}
FOOOCUS = {
    "prompt": "a fox",
    "negative_prompt": "bad",
    "seed": "12",
    "steps": 20,
    "sampler": "euler",
    "scheduler": "karras",
}
INVOKE = {"seed": 12, "steps": 20, "cfg_scale": 7.5, **SIZE}
NOVELAI = {"uc": "bad", "seed": 12, "steps": 20, "scale": 7.5, "sampler": "k_euler", "noise_schedule": "karras", **SIZE}
EASY = {"seed": "12", "num_inference_steps": "20", "guidance_scale": "7.5", "width": "64", "height": "96"}
BOTH = {"Sampler": "euler", "Schedule type": "karras"}


@pytest.mark.parametrize(
    ("texts", "others"),
    [
        ({"parameters": json.dumps({"sui_image_params": {**SWARM, "sampler": "euler", "scheduler": "karras"}})}, BOTH),
        ({"parameters": json.dumps({"sui_image_params": {**SWARM, "comfyuisampler": "euler", "model": "m"}})}, {"Sampler": "euler", "model": "m"}),
        ({"parameters": json.dumps({**FOOOCUS, "guidance_scale": 7.5, "resolution": "(64, 96)", "base_model": "m"}), "fooocus_scheme": "fooocus"}, {**BOTH, "base_model": "m"}),
        ({"Comment": json.dumps({**FOOOCUS, "cfg": 7.5, **SIZE})}, BOTH),
        ({"invokeai_metadata": json.dumps({**INVOKE, "positive_prompt": "a fox", "negative_prompt": "bad", "scheduler": "euler_k"})}, {"Sampler": "euler_k"}),
        ({"sd-metadata": json.dumps({"image": {**INVOKE, "prompt": [{"prompt": "a fox [bad]", "weight": 1}], "sampler": "k_lms"}})}, {"Sampler": "k_lms"}),
        ({"Dream": '"a fox [bad]" -s 20 -S 12 -W 64 -H 96 -C 7.5 -A k_lms'}, {"Sampler": "k_lms"}),
        ({"Software": "NovelAI", "Description": "a fox", "Comment": json.dumps(NOVELAI)}, {"Sampler": "k_euler", "Schedule type": "karras"}),
        ({"XML:com.adobe.xmp": xmp_of_draw_things(json.dumps({"c": "a fox", "uc": "bad", "seed": 12, "steps": 20, "scale": 7.5, "size": "64x96"}))}, {}),
        ({"prompt": "a fox", "negative_prompt": "bad", **EASY}, {}),
    ],
)  # fmt: skip
def test_the_records_of_other_programs_are_read(texts: dict[str, str], others: dict[str, str]) -> None:
    assert of(**texts) == ForeignSettings("a fox", TAKEN, others)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"parameters": '{"sui_image_params": [1]}'}, "its record of SwarmUI is damaged"),
        ({"parameters": '{"sui_image_params": {"seed": 1}}'}, "its record of SwarmUI has no prompt"),
        ({"parameters": '{"sui_image_params": {"prompt": "a'}, "JSON that is damaged or cut off"),
        ({"parameters": '{"a":' * 50_000}, "JSON that is damaged or cut off"),
        (
            {"parameters": "a raven Steps: 5, Sampler: Euler a, Seed: 1, Size: 64x64"},
            "its prompt and its settings are on one line",
        ),
        (
            {"parameters": "a raven\nNegative prompt: x\nSteps: 20| Size: 64x64| Seed: 4"},
            "in a way that is not known here",
        ),
        ({"parameters": "prompt: a raven\nsteps: 20\nseed: 42"}, "in a way that is not known here"),
        ({"parameters": "a raven; Steps: 20; Guidance Scale: 7; Seed: 42"}, "in a way that is not known here"),
        ({"parameters": "{'prompt': 'a raven', 'steps': 20}"}, "JSON that is damaged or cut off"),
        ({"parameters": '{"other": 1}'}, "JSON of a program that is not known here"),
        ({"parameters": "[1, 2]"}, "JSON of a program that is not known here"),
        ({"parameters": '{"base_model": "x", "prompt": 5}'}, "its record of Fooocus has no prompt"),
        ({"invokeai_metadata": "{"}, "its record of InvokeAI is damaged"),
        ({"sd-metadata": '{"image": 1}'}, "its record of InvokeAI is damaged"),
        ({"Dream": "a fox"}, "its record of InvokeAI is damaged"),
        ({"Software": "NovelAI", "Comment": "{"}, "its record of NovelAI is damaged"),
        ({"XML:com.adobe.xmp": xmp_of_draw_things("{")}, "its record of Draw Things is damaged"),
        ({"workflow": "{}"}, "only the drawing of its ComfyUI workflow"),
    ],
)
def test_a_record_that_cannot_be_read_is_refused_with_its_program(texts: dict[str, str], message: str) -> None:
    with pytest.raises(UnreadableRecord, match=message):
        of(**texts)


@pytest.mark.parametrize("texts", [{"Comment": "made by hand"}, {"Comment": '{"a": 1}'}, {"XML:com.adobe.xmp": "<"}])
def test_what_is_not_a_record_says_nothing(texts: dict[str, str]) -> None:
    assert of(**texts) is None


def test_odd_numbers_in_json_are_left_out() -> None:
    text = '{"sui_image_params": {"prompt": "a", "steps": NaN, "cfgscale": Infinity, "seed": -1, "width": 1e400, "height": true}}'
    found = of(parameters=text)
    assert found is not None
    assert (found.prompt, found.fields, found.others["seed"]) == ("a", {}, "-1")


@given(
    st.lists(
        st.sampled_from(
            [
                "Steps: ",
                "Size: 64x64",
                "Seed: ",
                "1",
                ", ",
                "\n",
                '"',
                "{",
                "[",
                "Template: ",
                "a",
                ":",
                "Negative prompt: ",
            ]
        ),
        max_size=20,
    ).map("".join)
)
def test_no_text_makes_it_fail(text: str) -> None:
    try:
        of(parameters=text)
    except UnreadableRecord:
        assert text.lstrip().startswith(("{", "[")) or text.count(": ") > 1


@pytest.mark.parametrize(
    "text", ["a" * 500_000, "Steps: " * 70_000, 'a: "' * 100_000, "[" * 300_000 + "x]", "a: [{" * 100_000]
)
def test_a_long_text_costs_little(text: str) -> None:
    before = time.process_time()
    of(parameters=text)
    assert time.process_time() - before < 20


def test_comfyuis_workflow_is_read_from_a_webp_too() -> None:
    exif = Image.Exif()
    exif[0x0110], exif[0x010F] = 'prompt:{"1": {}}', "workflow:{}"
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "webp", exif=exif.tobytes())
    assert read_comfyui_prompt(read_image(file.getvalue())) == '{"1": {}}'
    assert read_comfyui_prompt(read_image(picture("webp"))) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("DPM++ 2M Karras", ""), ("dpmpp_2m", "karras")),
        (("DPM++ 2M", "Karras"), ("dpmpp_2m", "karras")),
        (("DPM++ 2M", "Automatic"), ("dpmpp_2m", "")),
        (("DPM++ 2M SDE Exponential", ""), ("dpmpp_2m_sde", "exponential")),
        (("Euler a", ""), ("euler_ancestral", "")),
        (("Euler A", "SGM Uniform"), ("euler_ancestral", "sgm_uniform")),
        (("k_dpmpp_2m", "karras"), ("dpmpp_2m", "karras")),
        (("k_euler_ancestral", ""), ("euler_ancestral", "")),
        (("dpmpp_2m_k", ""), ("dpmpp_2m", "karras")),
        (("euler_a", ""), ("euler_ancestral", "")),
        (("unipc", ""), ("uni_pc", "")),
        (("dpmpp_2m_sde_gpu", "sgm_uniform"), ("dpmpp_2m_sde_gpu", "sgm_uniform")),
        (("res_multistep", "beta"), ("res_multistep", "beta")),
        (("Restart", ""), ("", "")),
        (("Restart", "Karras"), ("", "karras")),
        (("Unheard Of Karras", ""), ("", "")),
        (("", ""), ("", "")),
    ],
)
def test_other_programs_names_in_comfyuis_words(given: tuple[str, str], expected: tuple[str, str]) -> None:
    assert to_comfyui_names(*given) == expected
