"""The settings that an image carries, whoever made it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.registry import registry
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError
from imagegen.execute.recovered_settings import RecoveredSettings, recover_settings
from imagegen.images.formats import read_png, text_chunk, write_png
from imagegen.project import Project
from tests.backends.comfyui.workflows import sd15
from tests.images.pictures import FIELDS, embed, picture, provenance


def of(root: Path, data: bytes, backend: str = "") -> RecoveredSettings:
    (root / "x.img").write_bytes(data)
    return recover_settings(Project(root, Settings(), registry()), "x.img", backend)


def recorded(kind: str = "png", **changes: Any) -> bytes:
    return embed(picture(kind), provenance(**changes))


SETTINGS = {key: value for key, value in FIELDS.items() if key not in ("backend", "model", "prompt")}


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg", "avif"])
def test_a_record_says_all(tmp_path: Path, kind: str) -> None:
    found = of(tmp_path, recorded(kind, loras={"a.pt": [0.8, 0.5]}, vae="v.pt"))
    section = {"checkpoint": FIELDS["model"], "loras": {"a.pt": {"model": 0.8, "clip": 0.5}}, "vae": "v.pt"}
    assert found == RecoveredSettings("comfyui", FIELDS["prompt"], SETTINGS, section)


def test_another_backend_has_no_use_for_its_options(tmp_path: Path) -> None:
    assert of(tmp_path, recorded(vae="v.pt", workflow="ab" * 32), "ollama") == RecoveredSettings(
        "comfyui", FIELDS["prompt"], SETTINGS
    )


def test_a_workflow_of_ones_own_is_not_in_its_images(tmp_path: Path) -> None:
    with pytest.raises(
        ImagegenError, match=r"x.img: was generated with a workflow of its own.*\n.*the job that has the workflow"
    ):
        of(tmp_path, recorded(workflow="ab" * 32))


def test_what_is_of_no_use_in_a_record_is_left_out(tmp_path: Path) -> None:
    found = of(tmp_path, recorded(seed=[1], steps="9", negative=None, width=None))
    assert found.fields == {key: SETTINGS[key] for key in ("height", "cfg", "sampler", "scheduler")}


def test_what_a_jpeg_had_no_room_for_is_told(tmp_path: Path) -> None:
    found = of(tmp_path, recorded("jpeg", prompt="raven " * 20_000))
    assert (found.prompt, found.fields, found.notes) == (
        "",
        SETTINGS,
        ("x.img had no room for its prompt: not taken over",),
    )


def test_of_comfyuis_own_image_what_its_sampler_was_given_is_taken(tmp_path: Path) -> None:
    head, *rest = read_png(picture("png"))
    found = of(tmp_path, write_png([head, (b"tEXt", b"prompt\0" + json.dumps(sd15()).encode("ascii")), *rest]))
    graph = {node: body["inputs"] for node, body in sd15().items()}
    sampler = graph["3"]
    assert (found.backend, found.prompt, found.fields["negative"]) == (
        "comfyui",
        graph["6"]["text"],
        graph["7"]["text"],
    )
    assert [found.fields[key] for key in ("seed", "steps", "cfg")] == [sampler[key] for key in ("seed", "steps", "cfg")]
    assert (found.fields["sampler"], found.fields["width"]) == (sampler["sampler_name"], graph["5"]["width"])
    assert found.section == {"checkpoint": graph["4"]["ckpt_name"]}
    assert "no more is taken over" in found.notes[0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GIF89a", "not a PNG, WebP, AVIF or JPEG image"),
        (picture("png")[:-20], "is cut off"),
        (picture("webp"), "does not say how it was generated"),
        (recorded(backend=5), "its record names no backend or prompt"),
        (recorded(loras=[1]), "its record does not fit the backend comfyui"),
        (recorded(vae={"a": "\0"}), "its record has the control character"),
        (recorded(prompt="a\0"), "its record has the control character"),
        (recorded(backend="gone"), "there is no backend 'gone'"),
    ],
)
def test_what_says_nothing_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(ImagegenError, match=message):
        of(tmp_path, data)


@pytest.mark.parametrize(
    "graph", ["{}", "[1]", "{", '{"1": {"class_type": "X", "inputs": {}}}', '{"a": {"nodes": []}}']
)
def test_a_workflow_that_cannot_be_made_out_is_refused(tmp_path: Path, graph: str) -> None:
    head, *rest = read_png(picture("png"))
    with pytest.raises(ImagegenError, match="its ComfyUI workflow cannot be understood"):
        of(tmp_path, write_png([head, text_chunk("prompt", graph), *rest]))


def with_texts(**texts: str) -> bytes:
    head, *rest = read_png(picture("png"))
    return write_png([head, *(text_chunk(key, text) for key, text in texts.items()), *rest])


WEB_UI = "a raven\nSteps: 20, Sampler: DPM++ 2M Karras, CFG scale: nan, Seed: 12, Model: foo"


def test_the_web_uis_sampler_is_taken_in_comfyuis_words_and_the_rest_is_said(tmp_path: Path) -> None:
    fields = {"steps": 20, "seed": 12, "sampler": "dpmpp_2m", "scheduler": "karras"}
    notes = ("x.img: not taken over: CFG scale nan, Model foo",)
    assert of(tmp_path, with_texts(parameters=WEB_UI)) == RecoveredSettings("", "a raven", fields, notes=notes)


def test_where_the_workflow_cannot_be_made_out_the_text_beside_it_is_read(tmp_path: Path) -> None:
    assert of(tmp_path, with_texts(prompt="{}", parameters=WEB_UI)).prompt == "a raven"
    with pytest.raises(ImagegenError, match="its ComfyUI workflow cannot be understood"):
        of(tmp_path, with_texts(prompt="{}", parameters='{"other": 1}'))


def test_json_of_another_program_is_never_the_prompt(tmp_path: Path) -> None:
    with pytest.raises(ImagegenError, match=r"JSON of a program that is not known here\n.*give --prompt"):
        of(tmp_path, with_texts(parameters='{"other": 1}'))
