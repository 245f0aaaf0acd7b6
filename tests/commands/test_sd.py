"""`doit sd:setup` and `sd:update`, in the real doit; the program in the zip is the fake one."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagegen.backends.sd.program import FOLDER
from tests.backends.archives import zipped
from tests.backends.file_server import Served, file_server
from tests.backends.sd.fake_sd_server.fixture import FakeSd, until
from tests.backends.sd.model_files import write_model
from tests.faults.mounted import needs_mounts, small_disk
from tests.project_folder import DODO, ProjectFolder
from tests.valid_results import check_lines

JOB = {"backend": "sd", "items": [{"name": "Yrr", "prompt": "a small figure"}], "sd": {"model": "one.safetensors"}}


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeSd]:
    made = FakeSd(tmp_path / "sd")
    try:
        yield made
    finally:
        made.stop()


def zip_of(fake: FakeSd) -> bytes:
    return zipped(
        ("sd-server", fake.program.read_bytes(), {"mode": 0o755}), ("libggml.so", os.urandom(100_000), {"mode": 0o755})
    )


def settings(data: bytes, archive: str, backend: str = "") -> str:
    lines = ["[tool.imagegen]", f'backend = "{backend}"'] if backend else []
    lines += ["[tool.imagegen.sd]", f'archive = "{archive}"', 'model = "one.safetensors"']
    return "\n".join([*lines, f'archive_sha256 = "{hashlib.sha256(data).hexdigest()}"', ""])


@pytest.fixture
def project(tmp_path: Path, fake: FakeSd) -> ProjectFolder:
    """A project with the zip and a model in it, and nothing installed."""
    project = ProjectFolder(tmp_path / "project", JOB)
    write_model(project.root / "tools/ComfyUI/models/checkpoints/one.safetensors", "sd1", "one")
    data = zip_of(fake)
    (project.root / "sd.zip").write_bytes(data)
    project.write("pyproject.toml", settings(data, "sd.zip"))
    return project


def test_setup_installs_it_and_says_how_to_go_on(project: ProjectFolder) -> None:
    run = project.doit("sd:setup", "--yes")
    assert run.code == 0, run.out
    assert "stable-diffusion.cpp sd.zip is set up in tools/sd" in run.out
    assert run.closing == 'next: doit image --backend sd --prompt "a raven on a standing stone"', "there is no job yet"
    assert (project.root / FOLDER / "sd-server").exists()
    again = project.doit("sd:setup", "--json")
    assert again.code == 0, "there is nothing to ask"
    assert "unpacking" not in again.out
    (answer,) = check_lines(again)
    program = {"path": "tools/sd/sd-server", "build": "master-525-0752cc9", "device": "", "url": None}
    assert answer["result"] == {
        "program": program,
        "model": "one.safetensors",
        "models": [],
        "downloaded": [],
        "next": 'doit image --backend sd --prompt "a raven on a standing stone"',
    }
    assert {"event": "progress", "text": "the project's model is one.safetensors"} in again.events
    (answer,) = check_lines(project.doit("sd:update", "--json"))
    assert answer["result"] == program


def test_what_was_set_up_generates(project: ProjectFolder) -> None:
    assert project.doit("sd:setup", "--yes").code == 0
    project.job()
    run = project.doit()
    assert run.tasks("generated") == ["portraits:yrr"], run.out


def test_without_a_terminal_it_needs_yes(project: ProjectFolder) -> None:
    run = project.doit("sd:setup", "--device=cpu")
    assert run.code != 0
    assert "nothing was downloaded: there is no terminal to ask on" in run.out
    assert "to go ahead without the question: doit sd:setup --device=cpu --yes" in run.out
    assert not (project.root / "tools/sd").exists()


@pytest.mark.parametrize(
    ("default", "of_job", "command"),
    [
        ("sd", "placeholder", "doit"),
        ("", "sd", "doit"),
        ("", "placeholder", 'doit backend=sd; or for good: backend = "sd" under [tool.imagegen] in pyproject.toml'),
    ],
)
def test_the_next_step_fits_the_jobs(project: ProjectFolder, default: str, of_job: str, command: str) -> None:
    data = (project.root / "sd.zip").read_bytes()
    project.write("pyproject.toml", settings(data, "sd.zip", backend=default))
    project.job(backend=of_job)
    assert project.doit("sd:setup", "--yes").closing == f"next: {command}"


def test_an_unknown_model_is_refused_before_anything_is_installed(project: ProjectFolder) -> None:
    run = project.doit("sd:setup", "--model=sd-turb", "--yes")
    assert run.code != 0
    assert "no model 'sd-turb' is known; did you mean 'sd-turbo'?" in run.out
    assert "flux2-klein-4b" in run.out
    assert not (project.root / "tools/sd").exists()


def test_after_the_program_it_asks_for_the_model(project: ProjectFolder) -> None:
    assert project.doit("sd:setup", "--yes").code == 0
    run = project.doit("sd:setup", "--model=sd-turbo")
    assert run.code != 0
    assert "no model was set up: there is no terminal to ask on" in run.out
    assert "to go ahead without the question: doit sd:setup --model=sd-turbo --yes" in run.out
    assert "sd-turbo" not in (project.root / "pyproject.toml").read_text()


def test_with_a_build_of_ones_own_it_goes_on_with_the_model(project: ProjectFolder, fake: FakeSd) -> None:
    project.write("pyproject.toml", f'[tool.imagegen.sd]\nprogram = "{fake.program}"\n')
    run = project.doit("sd:setup", "--model=sd-turbo")
    assert run.code != 0
    assert f"your own build is used: {fake.program}, build master-525-0752cc9\nmodel sd-turbo: SD-Turbo" in run.out
    assert "no model was set up: there is no terminal to ask on" in run.out


def without_model(project: ProjectFolder) -> None:
    pyproject = project.root / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('model = "one.safetensors"\n', ""))


@pytest.mark.long
def test_the_only_checkpoint_is_the_model_and_the_one_that_is_recorded_stays_it(project: ProjectFolder) -> None:
    without_model(project)
    before = (project.root / "pyproject.toml").read_text()
    project.base_job = {"items": JOB["items"]}
    project.job()
    line = "jobs that name no model use one.safetensors; to use another one: doit sd:setup --model=NAME"
    assert line in project.doit("sd:setup", "--yes").out.splitlines()
    assert project.doit("backend=sd").tasks("generated") == ["portraits:yrr"]
    write_model(project.root / "tools/ComfyUI/models/checkpoints/two.safetensors", "sd1", "two")
    again = project.doit("sd:setup", "--yes")
    assert again.out.splitlines()[-2:] == [line, project.doit("sd:setup").closing]
    assert (project.root / "pyproject.toml").read_text() == before
    another = project.doit("sd:setup", "--model=sd-1.5").out
    assert "  images that this makes stale: 1, generated with one.safetensors\n" in another
    assert (project.root / "pyproject.toml").read_text() == before, "nobody agreed"


def test_the_models_of_jobs_that_name_no_backend_are_set_up(project: ProjectFolder, fake: FakeSd) -> None:
    project.write("pyproject.toml", f"[tool.imagegen.sd]\nprogram = '{fake.program}'\n")
    project.base_job = {"items": JOB["items"]}
    project.job(sd={"model": "dreamshaper-8-lcm"})
    project.job("others", backend="placeholder", sd={"model": "sd-1.5"})
    project.job("broken", sd={"diffusion_model": "a.gguf", "model": "b.gguf"})
    run = project.doit("sd:setup")
    assert (
        "jobs/broken.yaml is broken, and its models, if any, are left out: doit doctor backend=sd says why" in run.out
    )
    assert [line for line in run.out.splitlines() if line.startswith("model ")] == [
        "model dreamshaper-8-lcm: DreamShaper 8 LCM, for paintings and game art, 16 bits"
    ]
    assert "for jobs that name no model" not in run.out
    assert "no model was set up: there is no terminal to ask on" in run.out


def test_a_server_of_ones_own_has_its_model(project: ProjectFolder) -> None:
    project.write("pyproject.toml", '[tool.imagegen.sd]\nserver.url = "http://127.0.0.1:9"\n')
    run = project.doit("sd:setup")
    assert run.code == 0, run.out
    assert run.out.startswith("the server at http://127.0.0.1:9 is used: nothing is installed")


def test_an_unknown_device_is_refused(project: ProjectFolder) -> None:
    run = project.doit("sd:setup", "--device=gpu")
    assert run.code != 0
    assert "vulkan" in run.out + run.err
    assert not (project.root / "tools/sd").exists()


def test_ctrl_c_says_what_stays_and_the_next_goes_on_from_there(project: ProjectFolder, fake: FakeSd) -> None:
    data = zip_of(fake)
    with file_server() as server:
        server.files["/sd.zip"] = held = Served(data, cut_after=[70_000], hold=threading.Event())
        project.write("pyproject.toml", settings(data, f"{server.url}/sd.zip"))
        process = project.start("sd:setup", "--yes")
        until(lambda: any(path.stat().st_size for path in project.root.glob(".imagegen/sd/*.part")))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert held.hold
        held.hold.set()
        assert process.returncode == 130, out + err
        assert "stopped; what was downloaded stays, and doit sd:setup goes on from there" in out
        assert "Traceback" not in out + err
        server.files["/sd.zip"] = Served(data)
        assert project.doit("sd:setup", "--yes").code == 0
        assert server.ranges == ["", "bytes=70000-"]


@needs_mounts
def test_a_full_disk_and_one_that_takes_no_writes_are_reported_and_it_goes_on_once_there_is_room(
    tmp_path: Path, fake: FakeSd
) -> None:
    data = zip_of(fake)
    with small_disk(tmp_path / "disk", 600) as disk, file_server() as server:
        server.files["/sd.zip"] = Served(data)

        def setup() -> str:
            done = disk.run(sys.executable, "-B", "-m", "doit", "sd:setup", "--yes")
            assert "Traceback" not in done.stdout + done.stderr
            return done.stdout + done.stderr

        assert disk.run("sh", "-c", 'printf "%s" "$0" > dodo.py', DODO).returncode == 0
        text = settings(data, f"{server.url}/sd.zip")
        files = 'mkdir -p jobs; printf "%s" "$0" > pyproject.toml; cat "$1" > one.safetensors'
        model = str(write_model(tmp_path / "one.safetensors", "sd1", "one"))
        assert disk.run("sh", "-c", files, text, model).returncode == 0
        disk.run("sh", "-c", "head -c 400000 /dev/zero > filler")
        assert "too little room: about" in setup()
        disk.fill()
        assert "too little room: about" in setup()
        disk.free()
        disk.remount("ro")
        assert "Read-only file system" in setup()
        disk.remount("rw")
        disk.run("rm", "-f", "filler", "filler.2")
        assert "is set up in tools/sd" in setup()
