"""The fake server has the traps of the programs that it can be."""

from __future__ import annotations

import base64
import json
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.backends.a1111.fake_a1111 import PATIENCE_S, FakeA1111
from tests.project_folder import picture

pytestmark = pytest.mark.long

BODY: dict[str, Any] = {"prompt": "a fox", "negative_prompt": "", "width": 128, "height": 128, "steps": 4, "seed": 1}
PNG = base64.b64encode(picture(size=(128, 128))).decode()


def ask(fake: FakeA1111, path: str = "/sdapi/v1/txt2img", body: dict[str, Any] | None = None) -> tuple[int, Any]:
    """Ask for something, with the body if there is one. Returns the status, and the JSON or the text."""
    connection = HTTPConnection("127.0.0.1", int(fake.url.rpartition(":")[2]), timeout=PATIENCE_S)
    connection.request("POST" if body else "GET", path, json.dumps(body) if body else None)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, text


def take(fake: FakeA1111, **fields: Any) -> tuple[int, Any]:
    return ask(fake, body={**BODY, **fields})


@pytest.mark.parametrize(
    ("fake", "asked", "taken"),
    [
        ("a1111", {"sampler_name": "euler a"}, {"sampler": "DPM++ 2M"}),
        ("a1111", {"sampler_name": "k_euler_a"}, {"sampler": "DPM++ 2M"}),
        ("a1111", {"sampler_name": "DPM++ 2M Karras"}, {"sampler": "DPM++ 2M", "scheduler": "karras"}),
        ("a1111", {"scheduler": "KARRAS"}, {"scheduler": "automatic"}),
        ("forge", {"override_settings": {"sd_model_checkpoint": "none"}}, {"checkpoint": "anime/one.safetensors"}),
        ("a1111", {"prompt": "a fox # wolf"}, {"prompt": "a fox"}),
        ("reforge", {"prompt": "a fox // wolf"}, {"prompt": "a fox"}),
        ("sdnext", {"prompt": "a {fox} /* wolf */"}, {"prompt": "a fox"}),
        ("sdnext", {"scheduler": "karras"}, {"scheduler": "its own"}),
        ("a1111", {"prompt": "<lora:tint:1><lora:no:1>"}, {"loras": {"tint": 1.0}}),
        ("forge", {"prompt": "<lora:tint:1><lora:no:1>"}, {"loras": {}}),
        ("a1111", {"width": 70}, {"width": 64}),
        ("sd-server", {"width": 70}, {"width": 128}),
        ("koboldcpp", {"width": 200}, {"width": 192}),
        ("draw-things", {"width": 200}, {"width": 192}),
        ("sd-server", {"seed": 2**32 + 42}, {"seed": 42}),
        ("koboldcpp", {"seed": 2**31}, {"seed": -(2**31)}),
        ("sd-server", {"sampler_name": "none"}, {"sampler": "the model's"}),
        ("koboldcpp", {"lora": [{"path": "tint.safetensors"}]}, {"loras": {}}),
        ("draw-things", {}, {"sampler": "LCM", "loras": {"of_the_app.ckpt": 1.0}}),
    ],
    indirect=["fake"],
)
def test_it_silently_takes_something_else(fake: FakeA1111, asked: dict[str, Any], taken: dict[str, Any]) -> None:
    assert take(fake, **asked)[0] == 200
    (made,) = fake.pictures
    assert {key: getattr(made, key) for key in taken} == taken


@pytest.mark.parametrize(
    ("fake", "asked", "status", "word"),
    [
        ("a1111", {"steps": "4"}, 422, "value is not a valid integer"),
        ("a1111", {"seed": 2**64}, 500, "RuntimeError"),
        ("sdnext", {"sampler_name": "none"}, 404, "Sampler not found"),
        ("sd-server", {"scheduler": None}, 500, "type_error"),
        ("sd-server", {"lora": [{"path": "tint.safetensors"}]}, 400, "invalid lora path"),
        ("draw-things", {"scheduler": "karras"}, 422, "Unrecognized keys"),
        ("draw-things", {"sampler_name": "none"}, 422, "Euler a"),
        ("draw-things", {"cfg_scale": 1, "guidance_scale": 1}, 422, "More than one key"),
        ("draw-things", {"init_images": [PNG]}, 422, "not supported"),
    ],
    indirect=["fake"],
)
def test_it_refuses(fake: FakeA1111, asked: dict[str, Any], status: int, word: str) -> None:
    found, said = take(fake, **asked)
    assert (found, word in json.dumps(said)) == (status, True), said
    assert fake.pictures == []


@pytest.mark.parametrize(
    ("fake", "images", "taken"),
    [
        ("sd-server", ["no image"], ""),
        ("draw-things", [PNG, PNG], "what is on the app's canvas"),
        ("draw-things", [], "what is on the app's canvas"),
    ],
    indirect=["fake"],
)
def test_it_silently_begins_with_another_image(fake: FakeA1111, images: list[str], taken: str) -> None:
    assert ask(fake, "/sdapi/v1/img2img", {**BODY, "init_images": images})[0] == 200
    assert [one.init for one in fake.pictures] == [taken]


def test_a_lora_of_sd_server_is_known_once_its_list_was_asked_for() -> None:
    with FakeA1111("sd-server") as fake:
        ask(fake, "/sdapi/v1/loras")
        assert take(fake, lora=[{"path": "tint.safetensors", "multiplier": 0.5}])[0] == 200
        assert fake.pictures[0].loras == {"tint": 0.5}


@pytest.mark.parametrize("fake", ["koboldcpp", "draw-things", "sdnext"], indirect=True)
def test_a_failure_can_be_a_success_without_an_image(fake: FakeA1111) -> None:
    fake.fault("out of memory")
    status, said = take(fake)
    assert (status, said["images"]) in ((200, [""]), (200, []))


@pytest.mark.parametrize("fake", ["a1111", "forge", "reforge", "sdnext", "koboldcpp", "sd-server"], indirect=True)
def test_progress_is_where_the_program_has_it(fake: FakeA1111) -> None:
    has_it = fake.program.name not in ("koboldcpp", "sd-server")
    assert ask(fake, "/sdapi/v1/progress?skip_current_image=true")[0] == (200 if has_it else 404)
    assert ask(fake, "/sdapi/v1/interrupt", {"x": 1})[0] in ((200, 204) if has_it else (404,))


def test_an_interrupt_is_forgotten_when_the_next_image_begins(fake: FakeA1111) -> None:
    with fake.other_client("first"):
        fake.interrupt()
    assert ask(fake, "/sdapi/v1/progress")[1]["state"]["interrupted"]
    take(fake)
    assert not ask(fake, "/sdapi/v1/progress")[1]["state"]["interrupted"]
    assert [one.is_whole for one in fake.pictures] == [False, True]
