"""`doit models` and `doit models:pull`."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagegen.backends.sd.known_models import KNOWN_MODELS
from tests.backends.file_server import DATA, FileServer, Served, file_server
from tests.project_folder import ProjectFolder
from tests.valid_results import check_lines

FOLDER = Path("tools/ComfyUI/models/checkpoints")
TOKEN = "hf_hush"  # noqa: S105 - no real one


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as server:
        for name in ("one", "two"):
            server.files[f"/o/r/resolve/main/{name}.safetensors"] = Served()
        yield server


@pytest.fixture
def shelf(project: ProjectFolder, server: FileServer) -> ProjectFolder:
    """A project that lists two models."""
    project.write("tools/ComfyUI/main.py", "")
    project.environment |= {"HF_ENDPOINT": server.url, "HF_TOKEN": TOKEN}
    models(project, "one", "two")
    return project


def models(project: ProjectFolder, *names: str, size: object = len(DATA)) -> None:
    sha256 = hashlib.sha256(DATA).hexdigest()
    project.write(
        "pyproject.toml",
        "".join(
            f'[tool.imagegen.models.{name}]\nrepo = "o/r"\nfile = "{name}.safetensors"\nfolder = "checkpoints"\n'
            f'sha256 = "{sha256}"\nsize = {size}\n'
            for name in names
        ),
    )


def rows(out: str) -> dict[str, str]:
    """Each model's state."""
    cells = [re.split(" {2,}", line) for line in out.splitlines() if FOLDER.as_posix() in line]
    return {key: state for state, key, *_ in cells}


def test_looking_downloads_nothing_and_pulling_gets_what_is_missing(shelf: ProjectFolder, server: FileServer) -> None:
    run = shelf.doit("models")
    assert (run.code, rows(run.out)) == (0, {"one": "missing", "two": "missing"})
    assert run.out.splitlines()[-1].startswith("0 of 2 models are there; 6 MB to download, ")
    assert server.asked == []
    run = shelf.doit("models:pull")
    assert run.code == 0, run.out + run.err
    first, *lines = run.out.splitlines()
    assert first.startswith("2 models: 6 MB to download, ")
    assert [line.split()[:2] for line in lines] == [
        [state, name] for name in ("one", "two") for state in ("pulling", "pulled")
    ]
    assert "licence: https://huggingface.co/o/r" in run.out
    assert (shelf.root / FOLDER / "one.safetensors").read_bytes() == DATA
    assert rows(shelf.doit("models").out) == {"one": "there", "two": "there"}


def test_one_model_is_counted_as_one(shelf: ProjectFolder) -> None:
    models(shelf, "one")
    assert shelf.doit("models").out.splitlines()[-1].startswith("0 of 1 model is there; 3 MB to download, ")
    assert shelf.doit("models:pull").code == 0
    assert shelf.doit("models").out.splitlines()[-1] == "1 of 1 model is there"


def test_what_is_there_is_not_asked_for_again(shelf: ProjectFolder, server: FileServer) -> None:
    shelf.doit("models:pull", "two")
    assert [asked.path for asked in server.asked] == ["/o/r/resolve/main/two.safetensors"]
    shelf.doit("models:pull")
    assert len(server.asked) == 2
    run = shelf.doit("models:pull")
    assert (run.code, run.out.splitlines()[-1], len(server.asked)) == (0, "2 of 2 models are there", 2)


def test_a_model_that_fails_does_not_hold_up_the_others(shelf: ProjectFolder, server: FileServer) -> None:
    server.files["/o/r/resolve/main/one.safetensors"] = Served(b"", 403)
    run = shelf.doit("models:pull", "--json")
    (answer,) = check_lines(run)
    assert (run.code, {"event": "progress", "text": "failed   one"} in run.events) == (1, True)
    what = "Hugging Face does not give one.safetensors to the account of HF_TOKEN (403 Forbidden)"
    assert [(problem["where"], problem["what"]) for problem in run.problems] == [("one", what)]
    assert answer["result"]["pulled"] == ["two"]
    assert "pulled   two" in run.err
    assert f"one: {what}" in shelf.doit("models:pull").out
    assert rows(shelf.doit("models").out) == {"one": "missing", "two": "there"}
    result = shelf.doit("models", "--json").result
    assert {one["name"]: (one["state"], one["bytes"], one["size"]) for one in result["models"]} == {
        "one": ("missing", 0, len(DATA)),
        "two": ("there", len(DATA), len(DATA)),
    }
    assert result["missing_bytes"] == len(DATA)


def test_nothing_is_asked_for_where_there_is_no_room_or_no_such_name(shelf: ProjectFolder, server: FileServer) -> None:
    run = shelf.doit("models:pull", "tow")
    assert (run.code, run.out.count("no model 'tow' is listed; did you mean 'two'?")) == (2, 1)
    models(shelf, "one", "two", size='"900 TB"')
    run = shelf.doit("models:pull")
    assert run.code == 1
    assert "one, two: 1800.0 TB to download" in run.out
    assert server.asked == []


def test_the_token_is_sent_and_told_nowhere_and_kept_nowhere(shelf: ProjectFolder, server: FileServer) -> None:
    runs = [shelf.doit("models:pull"), shelf.doit("models"), shelf.doit("settings")]
    assert {asked.authorization for asked in server.asked} == {f"Bearer {TOKEN}"}
    assert not any(TOKEN in run.out + run.err for run in runs)
    assert not any(TOKEN.encode() in path.read_bytes() for path in shelf.root.rglob("*") if path.is_file())


def begun(shelf: ProjectFolder, size: int) -> Path:
    """Wait until so much of the first model is there."""
    part = shelf.root / FOLDER / "one.safetensors.part"
    deadline = time.monotonic() + 30
    while not part.exists() or part.stat().st_size < size:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return part


def test_ctrl_c_leaves_what_came_and_the_next_pull_goes_on_from_there(shelf: ProjectFolder, server: FileServer) -> None:
    hold = threading.Event()
    server.files["/o/r/resolve/main/one.safetensors"] = Served(cut_after=[2_000_000], hold=hold)
    process = shelf.start("models:pull", "one")
    begun(shelf, 1_900_000)
    second = shelf.doit("models:pull", "one")
    assert (second.code, "another download into" in second.out) == (1, True)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    hold.set()
    assert process.returncode == 130
    assert "stopped; what was downloaded stays, and doit models:pull goes on from there" in out
    assert "Traceback" not in out + err
    assert rows(shelf.doit("models").out)["one"] == "63 %"
    server.files["/o/r/resolve/main/one.safetensors"] = Served()
    assert shelf.doit("models:pull", "one").code == 0
    assert server.ranges == ["", "bytes=2000000-"]
    assert (shelf.root / FOLDER / "one.safetensors").read_bytes() == DATA


def test_a_terminal_gets_a_bar_while_it_comes(shelf: ProjectFolder, server: FileServer) -> None:
    pytest.importorskip("pty", reason="there are pseudo-terminals on POSIX only")
    from tests.endtoend.test_terminal import on_a_terminal

    hold = threading.Event()
    server.files["/o/r/resolve/main/one.safetensors"] = Served(cut_after=[2_000_000], hold=hold)

    def release() -> None:
        while not any(one.path.endswith("one.safetensors") for one in server.asked) and releasing:
            time.sleep(0.02)
        time.sleep(1.0)  # for the bar to be drawn some times
        hold.set()

    releasing = [True]
    thread = threading.Thread(target=release)
    thread.start()
    os.environ["HF_ENDPOINT"] = server.url
    try:
        shown = on_a_terminal(shelf, "models:pull", "one")
    finally:
        del os.environ["HF_ENDPOINT"]
        releasing.clear()
        thread.join()
    assert "1.9/3.0 MiB" in shown
    assert "pulled   one" in shown
    assert "Traceback" not in shown


def test_a_project_that_lists_none_is_told_how(project: ProjectFolder) -> None:
    for command in ("models", "models:pull"):
        run = project.doit(command)
        assert (run.code, "[tool.imagegen.models]" in run.out) == (0, True)


def test_in_a_project_without_comfyui_files_belong_to_no_program_and_are_known_as_models_of_sd(
    project: ProjectFolder, server: FileServer
) -> None:
    project.environment |= {"HF_ENDPOINT": server.url}
    models(project, "one")
    known = KNOWN_MODELS["z-image-turbo"].parts["llm"]
    with (project.root / "pyproject.toml").open("a") as file:
        file.write(
            f'[tool.imagegen.models.mine]\nrepo = "{known.repo}"\nfile = "{known.file}"\nfolder = "{known.folder}"\n'
            f'sha256 = "{known.sha256}"\nsize = {known.size}\n'
        )
    assert project.doit("models:pull", "one").code == 0
    assert (project.root / "tools/models/checkpoints/one.safetensors").read_bytes() == DATA
    run = project.doit("models")
    assert run.code == 0, run.out + run.err
    one, mine, closing = run.out.splitlines()
    assert one.startswith("there    one   3 MB    tools/models/checkpoints/one.safetensors")
    assert mine.split("  ")[-1] == "sd: flux2-klein-4b, z-image-turbo"
    assert closing.startswith("1 of 2 models is there; ")


def test_what_is_wrong_in_the_table_is_told_all_at_once(shelf: ProjectFolder) -> None:
    shelf.write("pyproject.toml", '[tool.imagegen.models.m]\nrepo = "r"\nfolder = "lora"\n')
    run = shelf.doit("models")
    assert run.code == 2
    for message in (
        "m.repo",
        "m.file",
        "m.folder: 'lora' is not a kind of model; did you mean 'loras'?",
        "m.sha256",
        "m.size",
    ):
        assert f"pyproject.toml: [tool.imagegen]: models: {message}" in run.out
