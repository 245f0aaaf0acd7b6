"""Whole runs of doit with a server of A1111's API: nothing is generated twice, and no half-done image is kept."""

from __future__ import annotations

import base64
import signal
import subprocess
from itertools import pairwise

import pytest

from tests.backends.a1111.fake_a1111 import FakeA1111
from tests.backends.a1111.project import A1111Project
from tests.backends.sd.fake_sd_server.fixture import until
from tests.marks import all_but_long
from tests.project_folder import picture, press_ctrl_c

ALL = ["portraits:mallsing", "portraits:okka", "portraits:yrr"]


def end(project: A1111Project, process: subprocess.Popen[str]) -> str:
    """Wait for its end. Returns all that it says."""
    out, err = process.communicate(timeout=project.patience_s)
    assert "Traceback" not in out + err
    return out + err


def test_a_run_with_nothing_to_do_contacts_nobody(fake: FakeA1111, project: A1111Project) -> None:
    project.job()
    run = project.doit()
    assert run.tasks("generated") == ALL, run.out
    before = len(fake.asked)
    assert project.doit().out.startswith("3 fresh")
    assert len(fake.asked) == before


@pytest.mark.parametrize("fake", all_but_long(["a1111", "sdnext"], ("a1111",)), indirect=True)
def test_ctrl_c_pressed_twice_stops_the_image_and_keeps_nothing_of_it(fake: FakeA1111, project: A1111Project) -> None:
    project.job()
    gate = fake.hold("a small figure")
    process = project.start()
    gate.wait_reached()
    press_ctrl_c(process)
    process.send_signal(signal.SIGINT)
    said = end(project, process)
    assert process.returncode == 130, said
    assert fake.interrupts == 1
    assert [one.is_whole for one in fake.pictures if one.prompt == "a small figure"] == [False]
    assert not project.image("yrr").exists()
    run = project.doit()
    assert "portraits:yrr" in run.tasks("generated"), run.out
    assert all(one.is_whole for one in fake.pictures[-1:])
    assert sum(one.is_whole for one in fake.pictures) == 3


def test_ctrl_c_with_another_persons_image_at_the_server_stops_neither(fake: FakeA1111, project: A1111Project) -> None:
    project.one()
    with fake.other_client():
        process = project.start()
        until(lambda: "a red fox" in fake.queue)
        press_ctrl_c(process)
        process.send_signal(signal.SIGINT)
        assert "goes on" in end(project, process)
        assert fake.interrupts == 0
    until(lambda: not fake.queue)
    assert [one.is_whole for one in fake.pictures] == [True, True]


def test_a_killed_run_leaves_an_image_at_the_server_and_the_next_run_its_own(
    fake: FakeA1111, project: A1111Project
) -> None:
    project.job()
    gate = fake.hold("a small figure")
    process = project.start()
    gate.wait_reached()
    until(project.files)  # the first one is finished beside it
    process.kill()
    process.communicate()
    before = len(project.files())
    again = project.start()
    until(lambda: len(fake.queue) == 2)
    gate.open()
    said = end(project, again)
    assert again.returncode == 0, said
    assert len(project.files()) == 3
    assert len(fake.pictures) == 4
    assert before < 3


def test_images_of_one_checkpoint_are_generated_one_after_another(fake: FakeA1111, project: A1111Project) -> None:
    for job in ("portraits", "others"):
        models = [{"checkpoint": ("one", "two")[at % 2]} for at in range(4)]
        project.job(
            job,
            items=[{"name": f"n{at}", "prompt": f"{job} {at}", "a1111": model} for at, model in enumerate(models)],
        )
    run = project.doit()
    assert run.code == 0, run.out
    order = [one.checkpoint for one in fake.pictures]
    assert len(order) == 8
    assert sum(before != after for before, after in pairwise(order)) == 1


def test_each_file_of_a_folder_becomes_an_image_of_its_own(fake: FakeA1111, project: A1111Project) -> None:
    side = project.base_job["generate"]["width"]
    files = {name: picture(name, (side, side)) for name in ("red", "green", "blue")}
    (project.root / "art").mkdir()
    for name, data in files.items():
        (project.root / f"art/{name}.png").write_bytes(data)
    section = {**project.base_job.get("a1111", {}), "images": {"init": "{file}"}}
    project.job(items={"folder": "art/*.png", "prompt": "an oil painting"}, a1111=section)
    run = project.doit()
    assert run.tasks("generated") == ["portraits:blue", "portraits:green", "portraits:red"], run.out
    sent = [base64.b64decode(image) for body in fake.bodies for image in body["init_images"]]
    assert sorted(sent) == sorted(files.values())
    (project.root / "art/red.png").write_bytes(picture("pink", (side, side)))
    assert project.doit().tasks("generated") == ["portraits:red"]
    assert len(fake.bodies) == 4


def test_two_servers_generate_at_the_same_time(fake: FakeA1111, project: A1111Project) -> None:
    with FakeA1111() as other:
        urls = [fake.url, other.url] * 2
        project.job(
            items=[
                {"name": f"n{at}", "prompt": f"{at}", "a1111": {"server": {"url": url}}} for at, url in enumerate(urls)
            ]
        )
        gates = [one.hold() for one in (fake, other)]
        run = project.start()
        for gate in gates:
            gate.wait_reached()
        assert [len(one.bodies) for one in (fake, other)] == [1, 1]
        for gate in gates:
            gate.open()
        said = end(project, run)
    assert run.returncode == 0, said
    assert [len(one.pictures) for one in (fake, other)] == [2, 2]


def test_a_server_that_goes_away_costs_one_image_and_is_said_to_be_gone(fake: FakeA1111, project: A1111Project) -> None:
    project.job()
    fake.fault("vanish")
    run = project.doit()
    assert run.code != 0
    assert fake.url in run.out + run.err
    assert run.tasks("generated") == []
    assert len(fake.pictures) == 1


def test_doctor_says_what_the_server_is(fake: FakeA1111, project: A1111Project) -> None:
    project.job()
    said = project.doit("doctor").out
    for word in (fake.url, "A1111", "2: anime/one.safetensors, two.safetensors", "loaded: anime/one", "samplers"):
        assert word in said
    assert "A1111_AUTH" not in said
    assert fake.bodies == []


def test_doctor_finds_nothing_wrong_with_a_job_that_leaves_its_checkpoint_to_the_server(
    fake: FakeA1111, project: A1111Project
) -> None:
    fake.program.checkpoints = ("two.safetensors",)
    project.job(a1111={})
    doctor = project.doit("doctor")
    assert (doctor.code, fake.bodies) == (0, []), doctor.out
    assert project.doit().tasks("generated") == ALL


def test_the_command_line_names_the_checkpoint(fake: FakeA1111, project: A1111Project) -> None:
    project.job()
    assert project.doit("checkpoint=two").tasks("generated") == ALL
    assert {picture.checkpoint for picture in fake.pictures} == {"two.safetensors"}


def test_one_off_images_are_given_their_checkpoint_by_the_commands_own_option(project: A1111Project) -> None:
    image = ("image", "--backend=a1111", "--prompt", "a raven")
    assert "name one: --model: anime/one.safetensors, two.safetensors" in project.doit(*image).out
    assert project.doit(*image, "--model=two").code == 0
