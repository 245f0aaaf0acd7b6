"""What a server answers: each form of it is read, and an image other than the one that was asked for is not kept."""

from __future__ import annotations

import base64
from typing import Any, Literal

import pytest

from imagegen.backends.base import GeneratedImage
from tests.backends.a1111.calls import generate, make_request
from tests.backends.a1111.fake_a1111 import FakeA1111
from tests.backends.a1111.fake_programs import PROGRAMS
from tests.backends.a1111.project import A1111Project
from tests.marks import all_but_long
from tests.project_folder import picture

A_FAMILY = ["a1111", "forge", "reforge"]
IMAGE = base64.b64encode(picture(size=(64, 64))).decode()


def fails(project: A1111Project, **fields: Any) -> str:
    """Build an image that must fail, of which nothing may be kept. Returns what is reported."""
    said = project.build_one(**fields)
    assert said.startswith("failed: "), said
    assert project.files() == {}
    return said


@pytest.mark.parametrize("info", ["", "object", "empty", "absent"])
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_every_form_of_an_answer_is_read(
    fake: FakeA1111, project: A1111Project, info: Literal["", "object", "empty", "absent"], kind: str
) -> None:
    fake.info, fake.prefix, fake.program.format = info, kind != "png", kind
    assert project.build_one() == "generated"


@pytest.mark.parametrize("fake", all_but_long(PROGRAMS, ("a1111", "koboldcpp", "draw-things")), indirect=True)
def test_too_little_memory_is_said_and_the_other_images_are_generated(fake: FakeA1111, project: A1111Project) -> None:
    fake.fault("out of memory")
    project.job()
    assert sorted(project.build().values()) == ["failed", "generated", "generated"]
    assert "memory" in project.report
    assert len(fake.pictures) == 3
    assert [*project.build().values()] == ["generated"]


@pytest.mark.parametrize("fake", ["a1111", "sdnext", "draw-things"], indirect=True)
def test_an_answer_without_an_image_is_an_error(fake: FakeA1111, project: A1111Project) -> None:
    fake.fault("no image")
    assert "without an image" in fails(project)


@pytest.mark.parametrize("fault", ["broken image", "not json", "error"])
def test_an_answer_that_is_no_use_is_an_error(fake: FakeA1111, project: A1111Project, fault: Any) -> None:
    fake.fault(fault)
    fails(project)
    assert project.build_one() == "generated"


@pytest.mark.parametrize(
    ("fake", "word"),
    [("a1111", "NaNs"), ("forge", "NaNs"), ("reforge", "NaNs"), ("sdnext", "NaNs")],
    indirect=["fake"],
)
def test_the_servers_own_words_are_passed_on(fake: FakeA1111, project: A1111Project, word: str) -> None:
    fake.fault("error")
    assert word in fails(project)


@pytest.mark.parametrize(
    ("fake", "takes", "words"),
    [
        *((name, {"sampler": "LMS"}, ["LMS", "Euler a"]) for name in A_FAMILY),
        *((name, {"checkpoint": "two.safetensors"}, ["two", "one"]) for name in (*A_FAMILY,)),
        *((name, {"seed": 7}, ["7", "42"]) for name in (*A_FAMILY, "sdnext", "koboldcpp")),
        *((name, {"loras": {}}, ["tint"]) for name in A_FAMILY),
        ("koboldcpp", {"cfg": 1.0}, ["another cfg: 1.0, and not 6.5", "give the value"]),
        ("koboldcpp", {"steps": 1}, ["another steps: 1, and not 4"]),
        ("koboldcpp", {"negative": "ugly"}, ["another negative prompt: ugly, and not none"]),
        *((name, {"scheduler": "exponential"}, ["exponential", "karras"]) for name in (*A_FAMILY, "koboldcpp")),
        ("sd-server", {"width": 128}, ["128×64", "64×64"]),
        ("koboldcpp", {"width": 128}, ["128×64", "64×64"]),
        ("a1111", {"said": "a wolf"}, ["a wolf"]),
    ],
    indirect=["fake"],
)
def test_another_image_than_the_one_asked_for_is_not_kept(
    fake: FakeA1111, project: A1111Project, takes: dict[str, Any], words: list[str]
) -> None:
    fake.takes = takes
    section = {"a1111": {"loras": {"tint": 0.8}}} if "loras" in takes else {}
    asked = {"sampler": "Euler a", "scheduler": "karras"}
    said = fails(project, **section, **{key: asked[key] for key in asked if key in takes})
    for word in words:
        assert word in said


@pytest.mark.parametrize("fake", ["sd-server"], indirect=True)
def test_what_a_server_changes_is_generated_once_in_a_run(fake: FakeA1111, project: A1111Project) -> None:
    other = {"name": "wolf", "prompt": "a wolf", "width": 128, "height": 128}
    items = [{"name": f"fox {n}", "prompt": f"a fox, {n}", "width": 72, "height": 72} for n in range(4)]
    project.job(items=[*items, other])
    assert sorted(project.build().values()) == ["failed"] * 4 + ["generated"]
    assert len(fake.pictures) == 2
    assert "and 1 more: the server took another size: 128×128, and not 72×72" in project.report
    fake.program.multiple = 8
    assert [*project.build().values()] == ["generated"] * 4


@pytest.mark.parametrize("fake", ["a1111", "koboldcpp"], indirect=True)
def test_an_answer_that_is_not_json_is_quoted(fake: FakeA1111, project: A1111Project) -> None:
    fake.fault("not json")
    said = fails(project)
    assert "is not JSON: <html>a proxy's page" in said
    assert "memory" not in said


def test_what_a_server_says_of_an_image_is_recorded_in_a_few_words(fake: FakeA1111) -> None:
    for key in ("sd_model_name", "sd_model_hash", "version", "sampler_name"):
        fake.says = {"/txt2img": {"images": [IMAGE], "info": {key: f"{key}\n" * 10_000}}}
        image = generate(fake, make_request(fake, model="one"))
        assert isinstance(image, GeneratedImage) or len(image) < 1000
        if isinstance(image, GeneratedImage):
            assert max(len(str(value)) for value in (*image.facts.values(), image.engine)) <= 100


@pytest.mark.parametrize("fake", ["koboldcpp", "sdnext"], indirect=True)
def test_a_server_that_is_busy_for_a_moment_is_waited_for(fake: FakeA1111, project: A1111Project) -> None:
    fake.fault("busy")
    assert project.build_one() == "generated"
    assert len(fake.pictures) == 1


@pytest.mark.parametrize("fault", ["cut", "vanish"])
def test_a_broken_connection_says_that_the_server_may_go_on(fake: FakeA1111, project: A1111Project, fault: Any) -> None:
    fake.fault(fault)
    said = fails(project)
    assert "goes on" in said
    assert len(fake.pictures) == 1
