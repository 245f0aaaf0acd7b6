"""Whatever a server answers, an image is generated or its job fails in words: nothing is raised that is a fault of ours."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from imagegen.images.formats import read_png, write_png
from tests.backends.a1111.calls import generate, make_backend, make_request
from tests.backends.a1111.fake_a1111 import FakeA1111
from tests.backends.a1111.project import A1111Project
from tests.project_folder import picture

VALUES: dict[str, Any] = {
    "null": None,
    "number": 1e308,
    "text": "x" * 1000,
    "list": [],
    "object": {},
    "nested": [[[]]],
    "of nulls": [None, {}, {"name": None}, {"title": 1, "name": [], "aliases": [1, None, {}], "label": {}, "path": 2}],
    "odd names": [{"title": "\0\u202e\ud83d\n", "name": "<lora:", "model_name": "", "label": "\n"}],
    "not JSON": b"\xff\xfe{",
    "infinity": b'{"progress": Infinity, "state": {"job": NaN, "sampling_step": -1, "sampling_steps": 0}}',
    "deep": b"[" * 100_000,
    "empty": b"",
}
GETS = ("sd-models", "samplers", "schedulers", "loras", "options", "progress", "sd-modules", "sd-vae", "version")
INFOS: list[Any] = [
    *("", "{", "[]", "1", "null", "NaN", '"x"', json.dumps({"all_prompts": "a"}), "[" * 100_000),
    *(None, 1, [], {"seed": "x"}, {"all_prompts": [None]}, {"extra_generation_params": []}, {"version": ["x"]}),
    *({"index_of_first_image": n} for n in (-1, 7, 10**30, True, "0", None)),
    {"sampler_name": {"a": 1}, "sd_model_name": [], "sd_model_hash": 5, "prompt": {}, "all_prompts": {}},
    {"extra_generation_params": {"Lora hashes": 5}, "all_seeds": None, "seed": float("nan")},
]
IMAGES: list[Any] = [None, "", {}, 5, [None], [5], [[]], ["!"], ["data:"], ["data:image/png"], [""], ["aGVsbG8="]]
ANSWERS: list[Any] = [*({"images": images} for images in IMAGES), None, [], 5, "text", {}, b"", b"\0" * 1000]

ERRORS: list[Any] = [
    {"detail": [None, 5, {"loc": 5, "msg": None}, {"loc": [None, {}]}]},
    {"detail": {"msg": {"a": 1}}},
    {"error": None, "detail": None, "errors": [], "message": 5},
    {"error": {"message": "x"}, "detail": "\x1b[31mred\x1b[0m\r\n" * 1000},
    ["a list"],
    b"<html>\0",
]


@pytest.mark.parametrize("path", GETS)
def test_of_what_it_lists(fake: FakeA1111, path: str) -> None:
    for value in VALUES.values():
        fake.says = {f"/{path}": value}
        extra = {"loras": {"tint": 1.0}} if path == "loras" else {}
        generate(fake, make_request(fake, sampler="Euler a", scheduler="karras", extra=extra))
        make_backend(fake).diagnose([make_request(fake)])


def test_of_how_it_describes_an_image(fake: FakeA1111) -> None:
    image = base64.b64encode(picture(size=(64, 64))).decode()
    for info in INFOS:
        fake.says = {"/txt2img": {"images": [image], "info": info}}
        generate(fake, make_request(fake, sampler="Euler a"))


@pytest.mark.parametrize("fake", ["a1111", "koboldcpp"], indirect=True)
def test_of_the_answer_with_an_image(fake: FakeA1111) -> None:
    for answer in ANSWERS:
        fake.says = {"/txt2img": answer}
        assert isinstance(generate(fake, make_request(fake)), str), answer


def test_of_an_error(fake: FakeA1111) -> None:
    for error in ERRORS:
        fake.fault("error")
        fake.says = {"/txt2img": error}
        said = generate(fake, make_request(fake))
        assert isinstance(said, str)
        assert "\x1b" not in said
        assert len(said) < 2000


def test_of_a_short_password_in_an_error(
    fake: FakeA1111, project: A1111Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A1111_AUTH", "anna:Qj7w")
    fake.fault("error")
    fake.says = {"/txt2img": {"error": "login", "detail": "anna:Qj7w is Qj7w"}}
    project.build_one()
    assert "login: … is …" in project.report
    assert not [file for file in project.root.rglob("*") if file.is_file() and b"Qj7w" in file.read_bytes()]


def test_a_password_that_is_a_word_of_the_prompt_costs_no_image(
    fake: FakeA1111, project: A1111Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A1111_AUTH", "anna:watercolour")
    prompt = "a watercolour of a fox"
    first, *rest = read_png(picture(size=(64, 64)))
    image = write_png([first, (b"tEXt", b"parameters\0" + prompt.encode()), *rest])
    fake.says = {"/txt2img": {"images": [base64.b64encode(image).decode()], "info": {"prompt": prompt}}}
    assert project.build_one(prompt=prompt) == "generated"


SECRET = "MARKEDword04"  # noqa: S105 - no real one


@pytest.mark.parametrize("where", ["info", "error", "lists", "image"])
def test_of_the_password_that_it_was_sent(
    fake: FakeA1111, project: A1111Project, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    credentials = base64.b64encode(f"anna:{SECRET}".encode()).decode()
    monkeypatch.setenv("A1111_AUTH", f"anna:{SECRET}")
    said = f"Basic {credentials} anna:{SECRET} {SECRET}"
    image = base64.b64encode(picture(size=(64, 64)))
    if where == "image":
        first, *rest = read_png(base64.b64decode(image))
        data = write_png([first, (b"tEXt", b"parameters\0" + said.encode()), *rest])
        image = base64.b64encode(data)
    info = {"version": said, "sd_model_hash": said} if where == "info" else {}
    answers: dict[str, dict[str, Any]] = {
        "error": {"/txt2img": {"error": said, "detail": said}},
        "lists": {"/sd-models": [{"title": said, "model_name": said}], "/samplers": [{"name": said}]},
    }
    fake.says = answers.get(where, {"/txt2img": {"images": [image.decode()], "info": info}})
    if where == "error":
        fake.fault("error")
    project.build_one(sampler=project.fake.program.samplers[0] if where == "lists" else "Euler a")
    seen = [project.report, *(one.found + one.hint for one in make_backend(fake).diagnose([make_request(fake)]))]
    assert not [text for text in seen if SECRET in text or credentials in text]
    for file in project.root.rglob("*"):
        data = file.read_bytes() if file.is_file() else b""
        assert SECRET.encode() not in data, file
        assert credentials.encode() not in data, file
