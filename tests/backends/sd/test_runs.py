"""Whole runs of doit with sd-server: each model is loaded once, nothing is generated twice, nothing is left running.

Each holds for the fake server, and for the real one where SD_SERVER names a program and SD_MODEL a file.
"""

from __future__ import annotations

import base64
import os
import signal
import subprocess
from typing import Any

import pytest
from PIL import Image

from tests.backends.sd.model_files import write_model
from tests.backends.sd.project import SdProject
from tests.marks import long
from tests.project_folder import picture, press_ctrl_c

ALL = ["portraits:mallsing", "portraits:okka", "portraits:yrr"]
MODELS = {1: {"model": "one.safetensors"}, 2: {"model": "two.safetensors"}}


def numbered(count: int, models: tuple[int, ...] = (1,)) -> list[dict[str, Any]]:
    """Return items with the seeds 101, 102, …, and the models in turn."""
    return [
        {"name": f"n{at}", "prompt": f"number {at}", "seed": 100 + at, "sd": MODELS[models[at % len(models)]]}
        for at in range(1, count + 1)
    ]


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.mark.parametrize("words", [[], long(["-n", "2"]), long(["-n", "2", "-P", "thread"])], ids=" ".join)
def test_each_model_is_loaded_once_in_a_run(either: SdProject, words: list[str]) -> None:
    either.job(items=numbered(4, models=(1, 2)))
    either.job("others", items=numbered(2, models=(2, 1)))
    run = either.doit(*words)
    assert (run.code, len(run.tasks("generated"))) == (0, 6), run.out
    assert sorted(either.server.loads) == [["one.safetensors"], ["two.safetensors"]]
    assert either.server.running == []


def test_a_run_with_nothing_to_do_starts_nothing_and_contacts_nobody(either: SdProject) -> None:
    either.job()
    assert either.doit().tasks("generated") == ALL
    uses = either.server.uses
    assert either.doit().out.startswith("3 fresh")
    assert either.doit("list", "--status").code == 0
    assert either.server.uses == uses


def test_each_file_of_a_folder_becomes_an_image_of_its_own(project: SdProject) -> None:
    files = {name: picture(name, (64, 64)) for name in ("red", "green", "blue")}
    (project.root / "art").mkdir()
    for name, data in files.items():
        (project.root / f"art/{name}.png").write_bytes(data)
    section = {"model": "one.safetensors", "images": {"init": "{file}"}, "strength": 0.5}
    project.job(items={"folder": "art/*.png", "prompt": "an oil painting"}, sd=section)
    run = project.doit()
    assert run.tasks("generated") == ["portraits:blue", "portraits:green", "portraits:red"], run.out
    assert sorted(base64.b64decode(body["init_image"]) for body in project.fake.bodies) == sorted(files.values())
    assert len(project.fake.loads) == 1
    (project.root / "art/red.png").write_bytes(picture("pink", (64, 64)))
    assert project.doit().tasks("generated") == ["portraits:red"]


def test_a_killed_run_makes_no_image_twice_and_the_next_takes_its_server_over(either: SdProject) -> None:
    either.job(items=numbered(10))
    gate = either.server.pause_at(105)
    process = either.start()
    pid = either.server.wait_paused(gate)
    either.wait_until_noted()
    kill(process)
    assert either.server.running == [pid]
    either.server.resume(gate)
    run = either.doit()
    assert run.code == 0, run.out
    assert sorted(either.server.seeds_begun) == list(range(101, 111))
    assert len(either.server.loads) == 1
    assert either.server.running == []
    assert either.doit().out.startswith("10 fresh")


@pytest.mark.long
def test_a_server_with_another_model_that_a_killed_run_left_is_ended(either: SdProject) -> None:
    either.job(items=numbered(2))
    either.job("others", items=numbered(1, models=(2,)))
    gate = either.server.pause_at(102)
    process = either.start("portraits")
    pid = either.server.wait_paused(gate)
    kill(process)
    assert either.doit("others").code == 0
    assert not either.server.running, pid
    assert either.server.loads == [["one.safetensors"], ["two.safetensors"]]


def test_a_server_of_the_users_own_is_used_and_left_alone(either: SdProject) -> None:
    url = either.server.start("--model", str(either.models / "checkpoints/one.safetensors"))
    (pid,) = either.server.running
    either.job(items=numbered(2), sd={"model": "one.safetensors", "server": {"url": url}})
    run = either.doit("portraits:n1")
    assert run.tasks("generated") == ["portraits:n1"], run.out
    gate = either.server.pause_at(102)
    process = either.start()
    either.server.wait_paused(gate)
    press_ctrl_c(process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=either.patience_s)
    assert process.returncode == 130
    assert (either.server.running, len(either.server.loads)) == ([pid], 1)
    either.server.resume(gate)


@pytest.mark.parametrize("how", ["once", "twice"])
def test_ctrl_c_finishes_the_image_and_pressed_twice_ends_our_server_alone(either: SdProject, how: str) -> None:
    model = str(either.models / "checkpoints/one.safetensors")
    either.server.start("--model", model)
    (other,) = either.server.running
    either.job(items=numbered(3))
    gate = either.server.pause_at(102)
    process = either.start()
    pid = either.server.wait_paused(gate)
    assert pid != other
    press_ctrl_c(process)
    if how == "twice":
        process.send_signal(signal.SIGINT)
    else:
        either.server.resume(gate)
    out, err = process.communicate(timeout=either.patience_s)
    assert process.returncode == 130, out
    assert "Traceback" not in out + err
    assert either.server.running == [other]
    assert either.server.seeds_completed == [101, 102][: 1 + (how == "once")]


def test_a_server_that_dies_costs_one_image_and_the_next_has_a_new_one(either: SdProject) -> None:
    either.job(items=numbered(3))
    gate = either.server.pause_at(102)
    process = either.start()
    os.kill(either.server.wait_paused(gate), signal.SIGSEGV)
    either.server.resume(gate)
    out, _ = process.communicate(timeout=either.patience_s)
    assert "by signal 11" in out
    assert [either.image(f"n{at}").exists() for at in (1, 2, 3)] == [True, False, True]
    assert len(either.server.loads) == 2
    assert either.server.running == []
    assert either.doit().tasks("generated") == ["portraits:n2"]


@pytest.mark.long
def test_an_image_that_takes_too_long_ends_its_server_and_the_next_has_a_new_one(either: SdProject) -> None:
    first, second = numbered(2)
    either.job(items=[{**first, "steps": 100, "timeout_s": 4}, second])
    either.server.pause_at(101)
    run = either.doit()
    assert run.tasks("failed") == ["portraits:n1"]
    assert "not done after 4 s" in run.out
    assert run.tasks("generated") == ["portraits:n2"], run.out
    assert either.server.seeds_completed == [102]
    assert len(either.server.loads) == 2
    assert either.server.running == []


def test_an_image_is_made_from_another_items_output(either: SdProject) -> None:
    child = {"name": "child", "prompt": "a child", "sd": {"images": {"init": "portraits:mallsing"}, "strength": 0.6}}
    either.job("children", items=[child, {"name": "alone", "prompt": "a child", "seed": 7}])
    either.job()
    run = either.doit("children")
    assert run.tasks("generated") == ["children:alone", "children:child", "portraits:mallsing"], run.out
    assert either.image("child", job="children").read_bytes() != either.image("alone", job="children").read_bytes()
    assert "fresh, nothing to do" in either.doit("children").out


def test_a_lora_is_applied_with_its_strength_and_leaves_no_trace_in_later_images(either: SdProject) -> None:
    write_model(either.models / "loras/tint.safetensors", "lora")

    def item(name: str, **sd: Any) -> dict[str, Any]:
        return {"name": name, "prompt": "a cat", "seed": 5, "sd": sd}

    def lora(strength: float) -> dict[str, dict[str, float]]:
        return {"loras": {"tint.safetensors": strength}}

    either.job(items=[item("plain"), item("half", **lora(50)), item("full", **lora(100)), item("again", rng="cuda")])
    assert either.doit().code == 0
    first = {name: either.image(name).read_bytes() for name in ("plain", "half", "full", "again")}
    assert len({first["plain"], first["half"], first["full"]}) == 3
    assert either.doit("-a", "portraits:plain", "portraits:again").code == 0
    assert either.image("plain").read_bytes() == first["plain"]


SPLIT = {"diffusion_model": "klein.safetensors", "llm": "qwen.gguf", "vae": "ae.safetensors"}


def write_split(project: SdProject) -> None:
    project.model("klein.safetensors", "flux2_klein")
    project.model("qwen.gguf", "llm")
    project.model("ae.safetensors", "flux2_vae")


@pytest.mark.long
@pytest.mark.parametrize("whose", ["single", "split"])
def test_an_item_takes_a_model_of_another_kind_than_its_job(project: SdProject, whose: str) -> None:
    write_split(project)
    models = {"single": {"model": "one.safetensors"}, "split": SPLIT}
    other = models["split" if whose == "single" else "single"]
    items = [{"name": "same", "prompt": "x"}, {"name": "other", "prompt": "x", "sd": other}]
    project.job(sd=models[whose], items=items)
    run = project.doit()
    assert run.tasks("generated") == ["portraits:other", "portraits:same"], run.out
    assert sorted(project.fake.loads) == [["klein.safetensors", "ae.safetensors", "qwen.gguf"], ["one.safetensors"]]


def test_an_item_that_names_another_model_of_the_same_kind_keeps_the_job_s_other_files(project: SdProject) -> None:
    project.model("vae.safetensors", "vae")
    own = {"model": "two.safetensors"}
    sd = {"model": "one.safetensors", "vae": "vae.safetensors"}
    project.job(sd=sd, items=[{"name": "other", "prompt": "x", "sd": own}])
    assert project.doit().code == 0
    assert project.fake.loads == [["two.safetensors", "vae.safetensors"]]


def test_an_image_is_made_from_a_greyscale_one(either: SdProject) -> None:
    Image.new("L", (64, 64), 200).save(either.root / "grey.png")
    Image.new("RGB", (64, 64), "red").save(either.root / "red.webp")
    for name in ("grey.png", "red.webp"):
        images = {"images": {"init": name}, "strength": 0.5}
        either.job(name[:3], items=[{"name": name[:3], "prompt": "x", "seed": 7, "sd": images}])
    run = either.doit()
    assert (run.code, len(run.tasks("generated"))) == (0, 2), run.out
    assert either.image("gre", job="gre").read_bytes() != either.image("red", job="red").read_bytes()


@pytest.mark.parametrize("where", ["job", long("settings")])
def test_backend_sd_builds_the_jobs_of_another_backend(project: SdProject, where: str) -> None:
    project.job(backend="placeholder", sd={"model": "one.safetensors"} if where == "job" else {})
    project.settings_file(**({"model": "'one.safetensors'"} if where == "settings" else {}))
    run = project.doit("backend=sd")
    assert run.tasks("generated") == ALL, run.out
    assert project.server.loads == [["one.safetensors"]]


def test_a_model_in_several_files_follows_reference_images_and_another_items_output(project: SdProject) -> None:
    write_split(project)
    (project.root / "face.png").write_bytes(picture())
    own: dict[str, dict[str, str]] = {
        "none": {},
        "one": {"ref1": "face.png"},
        "two": {"ref1": "face.png", "ref2": "portraits:none"},
    }
    items = [{"name": name, "prompt": "x", "seed": 1, "sd": {"images": images}} for name, images in own.items()]
    project.job(sd=SPLIT, items=items)
    assert project.doit().code == 0
    assert len({project.image(name).read_bytes() for name in own}) == 3
    assert sorted(len(body.get("ref_images", ())) for body in project.fake.bodies) == [0, 1, 2]
    assert project.fake.loads == [["klein.safetensors", "ae.safetensors", "qwen.gguf"]]
    assert project.doit().out.startswith("3 fresh")
