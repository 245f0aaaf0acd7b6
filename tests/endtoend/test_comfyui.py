"""`backend: comfyui`, with the real doit: against the fake server always, against a real server where one is named.

    COMFYUI_TEST_URL=http://127.0.0.1:8188 pytest tests/endtoend/test_comfyui.py

takes any ComfyUI with at least one checkpoint (of the SD family, which draws 64×64).
"""

from __future__ import annotations

import io
import json
import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest
import requests
from PIL import Image

from tests.backends.comfyui.fake_server import FakeComfyUI
from tests.endtoend.comfyui import Server
from tests.images.pictures import read
from tests.project_folder import ProjectFolder, press_ctrl_c

REAL = os.environ.get("COMFYUI_TEST_URL", "").rstrip("/")


def fake_server() -> Iterator[Server]:
    with FakeComfyUI(seconds=0.3) as server:

        def slow() -> None:
            server.seconds = 60

        yield Server(server.url, "fake.safetensors", lambda: set(server.executions), slow)


def real() -> Iterator[Server]:
    checkpoint = requests.get(f"{REAL}/models/checkpoints", timeout=30).json()[0]
    yield Server(REAL, checkpoint, lambda: set(requests.get(f"{REAL}/history", timeout=30).json()))


@pytest.fixture(
    params=[
        "fake",
        pytest.param("real", marks=pytest.mark.skipif(not REAL, reason="COMFYUI_TEST_URL names no real server")),
    ]
)
def server(request: pytest.FixtureRequest, project: ProjectFolder) -> Iterator[Server]:
    for found in real() if request.param == "real" else fake_server():
        project.environment["COMFYUI_URL"] = found.url
        yield found
        assert found.queue() == ([], []), "nothing of ours is left on the server"


def eventually(holds: Callable[[], object]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def size(project: ProjectFolder, slug: str) -> tuple[int, int]:
    with Image.open(project.image(slug)) as image:
        return image.width, image.height


def pixels(project: ProjectFolder, slug: str) -> bytes:
    with Image.open(project.image(slug)) as image:
        return bytes(image.tobytes())


def test_the_largest_seed_of_comfyui_reaches_it_and_is_recorded_exactly(project: ProjectFolder, server: Server) -> None:
    seed = 2**64 - 1
    before = server.executed()
    project.build_job(**server.job("Fox", generate={"seed": {"mode": "fixed", "base": seed}}))
    (new,) = server.executed() - before
    sent = requests.get(f"{server.url}/history/{new}", timeout=30).json()[new]["prompt"][2]
    assert [node["inputs"]["seed"] for node in sent.values() if node["class_type"] == "KSampler"] == [seed]
    (line,) = project.lines()
    assert line["request"]["seed"] == seed
    record = read(project.image("fox").read_bytes())
    assert record is not None
    assert record["request"]["seed"] == seed
    assert project.doit().closing.startswith("1 fresh")
    assert f"seed {seed}" in project.doit("why", "-v").out + project.doit("why", "portraits:fox").out


def test_a_job_is_drawn_once_and_is_fresh_then(project: ProjectFolder, server: Server) -> None:
    before = server.executed()
    run = project.build_job(**server.job(generate={"width": 64, "height": 128}))
    assert run.tasks("generated") == ["portraits:bird", "portraits:fox", "portraits:stone"]
    assert size(project, "fox") == (64, 128)
    assert len({project.image(slug).read_bytes() for slug in ("bird", "fox", "stone")}) == 3
    assert len(server.executed() - before) == 3
    assert "3 fresh, nothing to do" in project.doit().out
    (line,) = [line for line in project.lines() if line["output"] == "fox"]
    assert line["request"]["model"] == server.checkpoint


@pytest.mark.long
def test_a_clip_skip_makes_its_images_stale_and_its_default_does_not(project: ProjectFolder, server: Server) -> None:
    size = {"width": 64, "height": 64}
    project.build_job(**server.job(generate=size))
    project.job(**server.job(generate={**size, "clip_skip": 1}))
    assert "3 fresh, nothing to do" in project.doit().out
    project.job(**server.job(generate={**size, "clip_skip": 2}))
    run = project.doit()
    assert run.tasks("generated") == ["portraits:bird", "portraits:fox", "portraits:stone"]
    assert "clip_skip none → 2" in run.out
    assert {line["request"]["clip_skip"] for line in project.lines() if "path" in line} == {2}
    assert project.doit("image", "--like", "assets/portraits/fox.png").code == 0
    (line,) = project.lines("image")
    assert line["request"]["clip_skip"] == 2


def test_the_same_request_is_the_same_picture(project: ProjectFolder, server: Server) -> None:
    project.build_job(**server.job("Fox", generate={"seed": {"mode": "fixed", "base": 5}}))
    first = pixels(project, "fox")
    run = project.doit("-a", "portraits")
    assert run.tasks("generated") == ["portraits:fox"]
    assert pixels(project, "fox") == first


def test_a_random_seed_is_drawn_by_the_run_and_kept(project: ProjectFolder, server: Server) -> None:
    project.build_job(**server.job("Fox", generate={"seed": {"mode": "random"}}))
    (seed,) = [line["request"]["seed"] for line in project.lines() if line.get("output") == "fox" and "request" in line]
    assert isinstance(seed, int)
    assert "1 fresh" in project.doit().out


def test_an_image_made_anew_is_a_prompt_of_its_own(project: ProjectFolder, server: Server) -> None:
    project.build_job(**server.job("Fox"))
    before = server.executed()
    for _ in range(2):
        assert project.doit("-a", "portraits:fox").tasks("generated") == ["portraits:fox"]
    assert len(server.executed() - before) == 2


def test_a_checkpoint_that_is_not_there_stops_the_job_before_anything_is_queued(
    project: ProjectFolder, server: Server
) -> None:
    before = server.executed()
    project.job(**server.job(comfyui={"checkpoint": "nope.safetensors"}))
    run = project.doit()
    assert run.code != 0
    assert run.out.count("comfyui.checkpoint: 'nope.safetensors' is not there") == 1
    assert server.checkpoint in run.out.partition("'nope.safetensors' is not there\n")[2]
    assert server.executed() == before


def test_a_wrong_sampler_and_a_wrong_size_are_told_at_once(project: ProjectFolder, server: Server) -> None:
    before = server.executed()
    job = server.job("Fox", "Bird", generate={"sampler": "eular", "scheduler": "norml"})
    job["items"][0]["width"] = 70
    project.job(**job)
    run = project.doit()
    assert run.code != 0
    for message in ("sampler: 'eular' is not there", "choose one of euler", "scheduler: 'norml' is not there"):
        assert message in run.out
    assert run.out.count("portraits:fox: generate.width: 70 is not a multiple of 8") == 1
    assert server.executed() == before


def test_a_workflow_as_it_was_exported(project: ProjectFolder, server: Server) -> None:
    project.write("jobs/workflows/x.json", json.dumps(server.workflow()))
    job = server.job("Fox", "Bird", comfyui={"workflow": "jobs/workflows/x.json"})
    job["generate"] = {}
    job["items"][1]["width"] = 128
    run = project.build_job(**job)
    assert run.tasks("generated") == ["portraits:bird", "portraits:fox"]
    assert (size(project, "fox"), size(project, "bird")) == ((64, 64), (128, 64))


def test_a_reference_image_is_uploaded_and_decides_its_own_images(project: ProjectFolder, server: Server) -> None:
    for number, name in enumerate(("a", "b")):
        picture = Image.radial_gradient("L").resize((64, 64)).rotate(90 * number).convert("RGB")
        picture.putpixel((number, 0), (255, 0, 0))
        buffer = io.BytesIO()
        picture.save(buffer, "png")
        (project.root / "refs").mkdir(exist_ok=True)
        (project.root / f"refs/{name}.png").write_bytes(buffer.getvalue())
    project.write("jobs/workflows/x.json", json.dumps(server.from_image()))
    job = server.job("Fox", "Bird", comfyui={"workflow": "jobs/workflows/x.json", "images": {"10.image": "refs/a.png"}})
    job["generate"] = {}
    job["items"][1]["comfyui"] = {"images": {"10.image": "refs/b.png"}}
    project.build_job(**job)
    assert "2 fresh, nothing to do" in project.doit().out
    first = project.image("bird").read_bytes()
    (project.root / "refs/b.png").write_bytes((project.root / "refs/a.png").read_bytes())
    run = project.doit()
    assert run.tasks("generated") == ["portraits:bird"]
    assert project.image("bird").read_bytes() != first


def test_each_file_of_a_folder_becomes_an_image_of_its_own(project: ProjectFolder, server: Server) -> None:
    sizes = {"a 1": (64, 64), "b": (72, 64), "c": (64, 80)}
    (project.root / "art").mkdir()
    for name, wanted in sizes.items():
        Image.radial_gradient("L").resize(wanted).convert("RGB").save(project.root / f"art/{name}.png")
    project.write("jobs/workflows/x.json", json.dumps(server.from_image()))
    job = server.job(comfyui={"workflow": "jobs/workflows/x.json", "images": {"10.image": "{file}"}})
    job |= {"generate": {}, "items": {"folder": "art/", "prompt": "an oil painting"}}
    before = server.executed()
    project.build_job(**job)
    found = {name: size(project, name.replace(" ", "-")) for name in sizes}
    assert found == sizes
    assert len(server.executed() - before) == 3
    Image.new("RGB", (64, 64), "red").save(project.root / "art/b.png")
    assert project.doit().tasks("generated") == ["portraits:b"]
    assert size(project, "b") == (64, 64)
    assert "3 fresh, nothing to do" in project.doit().out


def test_a_reference_image_may_be_another_output(project: ProjectFolder, server: Server) -> None:
    project.write("jobs/workflows/x.json", json.dumps(server.from_image()))
    project.job(backend="placeholder", derive={"small": {"width": 32, "format": "webp"}})
    children = server.job(
        "Fox", "Bird", comfyui={"workflow": "jobs/workflows/x.json", "images": {"10.image": "portraits:yrr"}}
    )
    children["generate"] = {}
    children["items"][1]["comfyui"] = {"images": {"10.image": "portraits:yrr:small"}}
    project.job("children", **children)
    before = server.executed()
    run = project.doit("children")
    assert run.tasks("generated") == ["children:bird", "children:fox", "portraits:yrr"]
    assert run.tasks("derived") == ["portraits:yrr:small"]
    first = project.image("fox", job="children").read_bytes()
    Image.new("RGB", (64, 64), "red").save(project.image("yrr"))
    run = project.doit("children")
    assert run.tasks("generated") == ["children:bird", "children:fox"]
    assert run.out.count("(portraits:yrr changed)") == 2
    assert project.image("fox", job="children").read_bytes() != first
    assert len(server.executed() - before) == 4


def test_a_build_that_is_killed_and_started_again_makes_nothing_twice(project: ProjectFolder, server: Server) -> None:
    before = server.executed()
    project.job(**server.job("Fox", variants=6, generate={"steps": 20}))
    process = project.start()
    assert process.stdout is not None
    while "generated" not in process.stdout.readline():
        assert process.poll() is None
    eventually(lambda: sum(map(len, server.queue())) == 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    run = project.doit()
    assert run.code == 0
    assert len(run.tasks("generated")) in (4, 5)
    assert len(server.executed() - before) == 6
    assert "6 fresh" in project.doit().out


def test_a_time_out_names_the_image_and_takes_it_off_the_server(project: ProjectFolder, server: Server) -> None:
    server.slow()
    project.job(**server.job("Fox", "Bird", generate={"steps": 5000, "timeout_s": 1}))
    run = project.doit()
    assert run.code != 0
    assert "wait: not done after 1 s" in run.out
    assert run.tasks("failed") == ["portraits:bird", "portraits:fox"]
    eventually(lambda: server.queue() == ([], []))


def test_stopping_takes_our_prompts_off_the_server_and_nobody_elses(project: ProjectFolder, server: Server) -> None:
    other = server.submit()
    try:
        project.job(**server.job(generate={"steps": 500}))
        process = project.start()
        eventually(lambda: len(server.queue()[1]) == 2)
        press_ctrl_c(process)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 130, out
        assert server.queue() == ([other], [])
    finally:
        requests.post(f"{server.url}/interrupt", json={"prompt_id": other}, timeout=30)
        eventually(lambda: server.queue() == ([], []))


def test_doctor_shows_the_server_and_the_jobs_checkpoint(project: ProjectFolder, server: Server) -> None:
    project.job(**server.job())
    run = project.doit("doctor")
    assert run.code == 0, run.out
    assert f"server {server.url}" in run.out
    assert f"checkpoint {server.checkpoint}" in run.out
    assert "HF_TOKEN" in run.out
