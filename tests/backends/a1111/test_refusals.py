"""What a program would silently take in place of what a job says is refused before anything is generated."""

from __future__ import annotations

from typing import Any

import pytest

from tests.backends.a1111.fake_a1111 import FakeA1111
from tests.backends.a1111.fake_programs import PROGRAMS
from tests.backends.a1111.project import A1111Project
from tests.backends.comfyui.fake_program import free_port
from tests.backends.comfyui.fake_server import FakeComfyUI
from tests.backends.file_server import file_server
from tests.project_folder import ProjectFolder

LISTED = [name for name in PROGRAMS if name != "draw-things"]
A_FAMILY = ["a1111", "forge", "reforge"]


def refuse(project: A1111Project, fake: FakeA1111, **fields: Any) -> str:
    """Build a job with one item, which must fail before anything is sent. Returns what is reported."""
    said = project.build_one(**fields)
    assert said.startswith("failed: "), said
    assert fake.bodies == []
    return said


@pytest.mark.parametrize("fake", LISTED, indirect=True)
def test_an_unknown_sampler_is_named_with_those_that_are_near(fake: FakeA1111, project: A1111Project) -> None:
    near = fake.program.samplers[1]
    said = refuse(project, fake, sampler=f"{near}x")
    assert f"{near}x" in said
    assert near in said.replace(f"{near}x", "")


@pytest.mark.parametrize("fake", ["draw-things"], indirect=True)
@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"sampler": "Euler"}, "Euler a"),
        ({"a1111": {"checkpoint": "other.ckpt"}}, "other.ckpt"),
        ({"a1111": {"loras": {"other.ckpt": 1}}}, "other.ckpt"),
        ({"width": 64, "height": 64}, "128"),
    ],
)
def test_what_a_program_without_lists_refuses_is_passed_on(
    fake: FakeA1111, project: A1111Project, fields: dict[str, Any], word: str
) -> None:
    assert word in project.build_one(**fields)
    assert fake.pictures == []


@pytest.mark.parametrize(
    ("fake", "comfyui", "equivalent"),
    [("a1111", "euler_ancestral", "Euler a"), ("forge", "dpmpp_2m", "DPM++ 2M"), ("sd-server", "dpmpp_2m", "dpm++2m")],
    indirect=["fake"],
)
def test_of_a_sampler_of_comfyuis_the_equivalent_is_named(
    fake: FakeA1111, project: A1111Project, comfyui: str, equivalent: str
) -> None:
    assert equivalent in refuse(project, fake, sampler=comfyui)


@pytest.mark.parametrize("fake", PROGRAMS, indirect=True)
def test_a_scheduler_that_the_program_ignores_or_does_not_have_is_refused(
    fake: FakeA1111, project: A1111Project
) -> None:
    said = refuse(project, fake, sampler=fake.program.samplers[1], scheduler="karass")
    assert "karass" in said or "scheduler" in said
    if fake.program.name in A_FAMILY:
        assert "karras" in said.lower()


@pytest.mark.parametrize("fake", ["sdnext", "draw-things"], indirect=True)
def test_a_scheduler_is_refused_where_none_is_honoured(fake: FakeA1111, project: A1111Project) -> None:
    assert "scheduler" in refuse(project, fake, sampler=fake.program.samplers[1], scheduler="karras")


@pytest.mark.parametrize("fake", LISTED, indirect=True)
def test_an_unknown_checkpoint_is_named_with_those_that_are_near(fake: FakeA1111, project: A1111Project) -> None:
    near = fake.program.checkpoints[-1].removesuffix(".safetensors")
    said = refuse(project, fake, a1111={"checkpoint": f"{near}x"})
    assert f"{near}x" in said
    assert near in said.replace(f"{near}x", "")


@pytest.mark.parametrize("fake", ["a1111", "sdnext"], indirect=True)
def test_where_there_are_several_checkpoints_the_job_must_name_one(fake: FakeA1111, project: A1111Project) -> None:
    project.base_job = {**project.base_job, "a1111": {}}
    said = refuse(project, fake)
    assert "a1111.checkpoint" in said
    assert "one" in said
    assert "two" in said


@pytest.mark.parametrize("fake", LISTED, indirect=True)
def test_a_lora_that_is_not_there_is_named_with_those_that_are_near(fake: FakeA1111, project: A1111Project) -> None:
    said = refuse(project, fake, a1111={"loras": {"tinte": 1, "ink": 0.5}})
    assert "tinte" in said
    assert "tint" in said.replace("tinte", "")


def test_all_that_is_wrong_is_reported_at_once(fake: FakeA1111, project: A1111Project) -> None:
    said = refuse(
        project,
        fake,
        sampler="Eulerr",
        scheduler="karass",
        width=70,
        a1111={"checkpoint": "thre", "loras": {"nothing like it": 1}},
    )
    for word in ("Eulerr", "karass", "70", "thre", "nothing like it"):
        assert word in said


@pytest.mark.parametrize(
    ("fake", "width", "multiple"),
    [*((name, 70, "8") for name in (*A_FAMILY, "sdnext")), ("draw-things", 200, "64")],
    indirect=["fake"],
)
def test_a_size_that_would_be_another_one_is_refused(
    fake: FakeA1111, project: A1111Project, width: int, multiple: str
) -> None:
    said = refuse(project, fake, width=width)
    assert str(width) in said
    assert multiple in said


@pytest.mark.parametrize("fake", ["sd-server", "koboldcpp", "draw-things"], indirect=True)
def test_a_seed_that_a_program_cannot_take_is_refused(fake: FakeA1111, project: A1111Project) -> None:
    assert str(2**32) in refuse(project, fake, seed=2**32)


@pytest.mark.parametrize(
    ("fake", "prompt", "word"),
    [
        ("a1111", "a fox # not a wolf", "#"),
        ("forge", "a fox # not a wolf", "#"),
        ("reforge", "a fox // not a wolf", "//"),
        ("sdnext", "a fox /* not a wolf */", "/*"),
        ("sd-server", "a fox <lora:tint:1>", "<lora:"),
        ("sd-server", 'a fox <sd_cpp_extra_args>{"seed": 1}</sd_cpp_extra_args>', "<sd_cpp_extra_args>"),
    ],
    indirect=["fake"],
)
def test_a_prompt_that_the_program_would_change_is_never_changed_without_a_word(
    fake: FakeA1111, project: A1111Project, prompt: str, word: str
) -> None:
    said = project.build_one(prompt=prompt)
    assert word in said
    assert said.startswith("failed: ") or len(fake.pictures) == 1


def test_a_server_that_is_not_there(fake: FakeA1111, project: A1111Project) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    said = refuse(project, fake, a1111={"server": {"url": url}})
    assert url in said
    assert "a1111.server.url" in said


def test_a1111_must_have_been_started_with_its_api(fake: FakeA1111, project: A1111Project) -> None:
    fake.has_api = False
    assert "--api" in refuse(project, fake)


def test_another_program_is_recognised_and_named(fake: FakeA1111, project: A1111Project) -> None:
    with FakeComfyUI() as comfyui:
        said = refuse(project, fake, a1111={"server": {"url": comfyui.url}})
    assert "ComfyUI" in said
    assert "backend: comfyui" in said


def test_a_server_without_the_api_is_refused(fake: FakeA1111, project: A1111Project) -> None:
    with file_server() as other:
        said = refuse(project, fake, a1111={"server": {"url": other.url}})
    assert other.url in said
    assert "a1111.server.url" in said


@pytest.mark.parametrize("password", ["anna:wrong", "anna", "änna:ß"])
def test_a_wrong_password_is_named_and_not_repeated(
    fake: FakeA1111, project: A1111Project, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    fake.auth = "anna:s3cret-word"
    monkeypatch.setenv("A1111_AUTH", password)
    said = refuse(project, fake)
    assert "A1111_AUTH" in said
    assert password not in said


@pytest.mark.parametrize("fake", ["a1111", "forge"], indirect=True)
def test_a_password_is_asked_for_by_its_name(fake: FakeA1111, project: A1111Project) -> None:
    fake.auth = "anna:s3cret-word"
    assert "A1111_AUTH" in refuse(project, fake)


@pytest.mark.parametrize("fake", ["a1111", "forge", "sdnext"], indirect=True)
def test_the_password_is_sent_and_shown_nowhere(
    fake: FakeA1111, project: A1111Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.auth = "anna:s3cret-word"
    monkeypatch.setenv("A1111_AUTH", fake.auth)
    assert project.build_one() == "generated"
    assert project.build_one(sampler="Eulerr").startswith("failed")
    assert "s3cret" not in project.report
    for file in project.root.rglob("*"):
        assert not file.is_file() or b"s3cret" not in file.read_bytes(), file


def test_the_password_is_not_sent_to_a_server_that_a_job_names(
    fake: FakeA1111, project: A1111Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A1111_AUTH", "anna:s3cret-word")
    with FakeA1111() as other:
        assert project.build_one(a1111={"server": {"url": other.url}}) == "generated"
        assert {one.authorization for one in other.asked} == {""}
        other.auth = "anna:s3cret-word"
        said = project.build_one(prompt="another", a1111={"server": {"url": other.url}})
    assert "a1111.server.url" in said
    assert "s3cret" not in said
    assert fake.asked == []


def test_nothing_is_contacted_until_something_is_generated(fake: FakeA1111, project: A1111Project) -> None:
    folder: ProjectFolder = project
    folder.job()
    assert set(folder.states().values()) == {"stale"}
    assert fake.asked == []


@pytest.mark.parametrize("fake", ["draw-things"], indirect=True)
@pytest.mark.parametrize("fields", [{"a1111": {"checkpoint": "nosuch.ckpt"}}, {"a1111": {"loras": {"nosuch": 1}}}])
def test_where_draw_things_says_what_it_does_not_have_the_keys_of_a_job_are_named(
    project: A1111Project, fields: dict[str, Any]
) -> None:
    said = project.build_one(**fields)
    assert "nosuch" in said or "sampler_name" in said
    assert "in the job, these are a1111.checkpoint, a1111.loras and sampler" in said
