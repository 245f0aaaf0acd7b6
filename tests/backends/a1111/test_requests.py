"""What a program generates for a job is what the job says, with each program; and nothing is generated twice."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from tests.backends.a1111.fake_a1111 import FakeA1111
from tests.backends.a1111.fake_programs import PROGRAMS
from tests.backends.a1111.project import A1111Project

every_program = pytest.mark.parametrize("fake", PROGRAMS, indirect=True)
LORAS = {"draw-things": "tint_lora_f16.ckpt"}


def program(fake: Any, *values: Any) -> Any:
    """A case of a test for one program."""
    return pytest.param(fake, *values, id="-".join([fake, *map(str, values[:1])]))


@every_program
def test_each_image_is_generated_as_the_job_says_and_only_once(fake: FakeA1111, project: A1111Project) -> None:
    size = {"width": 192, "height": 128}
    project.job(generate={**project.base_job["generate"], **size, "negative": "a hat, blurry"})
    assert set(project.build().values()) == {"generated"}, project.report
    comma = ", " if fake.program.name == "koboldcpp" else ""
    seen = [
        (one.prompt, one.negative, one.seed, one.width, one.height, one.steps, one.cfg, one.init, one.loras)
        for one in sorted(fake.pictures, key=lambda one: one.seed)
    ]
    assert seen == [
        (f"a {what} figure{comma}", "a hat, blurry", seed, 192, 128, 4, 6.5, "", {})
        for what, seed in (("tall", 101), ("small", 102), ("broad", 103))
    ]
    before = len(fake.asked)
    assert project.build() == {}
    assert len(fake.asked) == before
    assert project.build("portraits:okka", forced=True) == {"portraits:okka": "generated"}
    assert len(fake.pictures) == 4


@pytest.mark.parametrize(
    ("fake", "sampler", "taken"),
    [
        program("a1111", "Euler a", "Euler a"),
        program("a1111", "euler A", "Euler a"),
        program("a1111", "k_euler_a", "Euler a"),
        program("forge", "k_dpmpp_2m", "DPM++ 2M"),
        program("sdnext", "euler a", "Euler a"),
        program("sd-server", "EULER_A", "euler_a"),
        program("koboldcpp", "k_euler", "Euler"),
        program("draw-things", "Euler a", "Euler a"),
    ],
    indirect=["fake"],
)
def test_a_sampler_is_sent_by_the_name_in_the_servers_list(
    fake: FakeA1111, project: A1111Project, sampler: str, taken: str
) -> None:
    assert project.build_one(sampler=sampler) == "generated"
    assert [one.sampler for one in fake.pictures] == [taken]


@pytest.mark.parametrize(
    ("fake", "scheduler", "taken"),
    [
        program("a1111", "sgm_uniform", "sgm_uniform"),
        program("a1111", "SGM Uniform", "sgm_uniform"),
        program("forge", "KARRAS", "karras"),
        program("reforge", "Karras Dynamic", "karras dynamic"),
        program("sd-server", "Karras", "karras"),
    ],
    indirect=["fake"],
)
def test_a_scheduler_is_found_by_its_name_or_what_a_person_sees(
    fake: FakeA1111, project: A1111Project, scheduler: str, taken: str
) -> None:
    assert project.build_one(sampler=fake.program.samplers[1], scheduler=scheduler) == "generated"
    assert [one.scheduler for one in fake.pictures] == [taken]


@pytest.mark.parametrize("fake", ["a1111", "forge", "sdnext"], indirect=True)
@pytest.mark.parametrize("name", ["two", "two.safetensors"])
def test_a_checkpoint_is_loaded_for_the_images_that_name_it(fake: FakeA1111, project: A1111Project, name: str) -> None:
    project.job(
        items=[
            {"name": "other", "prompt": "one", "a1111": {"checkpoint": name}},
            {"name": "first", "prompt": "two"},
        ]
    )
    assert set(project.build().values()) == {"generated"}, project.report
    assert {one.prompt: one.checkpoint for one in fake.pictures} == {
        "one": "two.safetensors",
        "two": "anime/one.safetensors",
    }


@pytest.mark.parametrize("fake", ["sd-server", "koboldcpp", "draw-things"], indirect=True)
def test_the_only_checkpoint_is_taken_where_the_job_names_none(fake: FakeA1111, project: A1111Project) -> None:
    assert project.build_one() == "generated"
    assert [one.checkpoint for one in fake.pictures] == [fake.program.checkpoints[0]]
    assert "override_settings" not in fake.bodies[0]


@every_program
def test_a_lora_is_applied_with_its_strength(fake: FakeA1111, project: A1111Project) -> None:
    name = LORAS.get(fake.program.name, "tint")
    assert project.build_one(a1111={"loras": {name: 0.8}}).partition(":")[0] == "generated"
    assert [dict(one.loras) for one in fake.pictures] == [{name: 0.8}]
    assert "<lora" not in fake.pictures[0].prompt


@every_program
def test_an_image_is_generated_from_a_file_and_from_another_output(fake: FakeA1111, project: A1111Project) -> None:
    Image.new("L", (100, 90), 200).save(project.root / "grey.png")
    images = [("file", "grey.png"), ("output", "portraits:alone")]
    items = [
        {"name": name, "prompt": name, "a1111": {"images": {"init": origin}, "strength": 0.4}}
        for name, origin in images
    ]
    project.job(items=[{"name": "alone", "prompt": "alone"}, *items])
    assert set(project.build().values()) == {"generated"}, project.report
    made = {one.prompt.rstrip(", "): one for one in fake.pictures}
    assert (made["alone"].init, made["alone"].strength) == ("", 1.0)
    assert [made[name].strength for name, _ in images] == [0.4, 0.4]
    assert len({made[name].init for name, _ in images} - {"", "what is on the app's canvas"}) == 2


@pytest.mark.parametrize("fake", ["draw-things"], indirect=True)
def test_nothing_that_the_app_shows_gets_into_an_image(fake: FakeA1111, project: A1111Project) -> None:
    assert project.build_one() == "generated"
    (made,) = fake.pictures
    assert (made.prompt, made.negative, made.loras) == ("a red fox", "", {})
    left = {"batch_count", "batch_size", "loras", "hires_fix", "controls", "upscaler", "refiner_model"}
    assert not left & {*made.app}


@pytest.mark.parametrize("fake", ["sd-server", "koboldcpp"], indirect=True)
def test_a_seed_of_ours_is_sent_as_one_that_the_server_takes_and_recorded(
    fake: FakeA1111, project: A1111Project
) -> None:
    project.job(items=[{"name": f"n{number}", "prompt": "a red fox"} for number in range(6)])
    assert set(project.build().values()) == {"generated"}
    outputs = [*project.outputs().values()]
    folded = {output.fingerprint: (output.request.seed or 0) % 2**31 for output in outputs}
    assert any((output.request.seed or 0) >= 2**31 for output in outputs)
    assert sorted(one.seed for one in fake.pictures) == sorted(folded.values())
    store = project.project().store
    assert {key: [one.facts["seed"] for one in store.entries(key)] for key in folded} == {
        key: [seed] for key, seed in folded.items()
    }


@pytest.mark.parametrize("fake", ["sd-server"], indirect=True)
def test_a_seed_of_the_job_is_never_changed(fake: FakeA1111, project: A1111Project) -> None:
    assert "seed 2147483653: sd-server would take it for 5" in project.build_one(seed=2**31 + 5)
    assert fake.pictures == []


@pytest.mark.parametrize("fake", ["a1111", "forge", "reforge", "sdnext", "draw-things"], indirect=True)
def test_the_greatest_seed_is_sent_as_it_is(fake: FakeA1111, project: A1111Project) -> None:
    assert project.build_one(seed=2**32 - 1) == "generated"
    assert [one.seed for one in fake.pictures] == [2**32 - 1]


@every_program
def test_what_generated_an_image_is_recorded(fake: FakeA1111, project: A1111Project) -> None:
    assert project.build_one() == "generated"
    names = {"a1111": "A1111 v1.10.1", "forge": "Forge", "reforge": "reForge", "sdnext": "SD.Next"}
    names |= {"koboldcpp": "KoboldCpp", "sd-server": "sd-server", "draw-things": "Draw Things"}
    assert names[fake.program.name].lower() in project.lock().decode().lower()
