"""Secrets with marked values: looked for in all that a run says, leaves, starts and sends.

The server is the worst there is that was sent one: it repeats it in everything.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
import pytest

from imagegen.backends.comfyui.client import Client
from imagegen.backends.comfyui.server import probe
from imagegen.backends.json_api import Refused
from imagegen.images.formats import write_png
from tests.backends.comfyui.fake_program import ComfyFolder
from tests.backends.comfyui.fake_server import FakeComfyUI, Fault
from tests.backends.file_server import DATA, FileServer, Served, file_server, listed
from tests.faults.middleman import Middleman, Trick, answer
from tests.faults.raw_server import raw_server
from tests.project_folder import ProjectFolder, Run

TOKEN = "hf_MARKEDmarkedMARKED01"  # noqa: S105 - no real one
WORD = "MARKEDwordOFcomfyui02"
AUTH = f"Bearer {WORD}"
KEY = "comfyui-MARKEDkey03"
MARKS = (TOKEN, WORD, KEY)


@pytest.fixture
def project(tmp_path: Path) -> ProjectFolder:
    project = ProjectFolder(tmp_path / "project")
    project.environment |= {"HF_TOKEN": TOKEN, "COMFYUI_AUTH": AUTH, "COMFY_API_KEY": KEY}
    return project


class Watch:
    """What the processes below this one were started with, for as long as it lasts."""

    def __init__(self) -> None:
        self.command_lines: set[str] = set()
        self.environments: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            for process in psutil.Process().children(recursive=True):
                try:
                    words = " ".join(process.cmdline())
                    self.command_lines.add(words)
                    if "doit" not in words:
                        self.environments.add(json.dumps(process.environ()))
                except (psutil.Error, OSError):
                    continue


def marked(project: ProjectFolder, *runs: Run, watch: Watch | None = None) -> list[str]:
    """Where a mark was found."""
    texts = {f"said by run {number}": run.out + run.err for number, run in enumerate(runs)}
    texts |= {
        path.relative_to(project.root).as_posix(): f"{path.name} {path.read_bytes().decode('latin-1')}"
        for path in project.root.rglob("*")
        if path.is_file()
    }
    for number, words in enumerate(sorted((watch.command_lines | watch.environments) if watch else ())):
        texts[f"process {number}"] = words
    return [place for place, text in texts.items() if any(mark in text for mark in MARKS)]


def repeating(body: bytes) -> Iterable[bytes]:
    """The server's answer, with the secret put in wherever it can be read."""
    if body.startswith(write_png([])):
        return [answer(body, f"200 {AUTH}", "image/png")]
    for name in (b'"comfyui_version": "', b'"name": "', b'"os": "', b'"exception_message": "', b'"message": "'):
        body = body.replace(name, name + AUTH.encode() + b" ")
    return [answer(body, f"200 {AUTH}")]


def test_a_run_with_a_server_that_repeats_its_secret_in_everything_keeps_it_nowhere(project: ProjectFolder) -> None:
    with FakeComfyUI(seconds=0.1, auth=AUTH) as comfy, Middleman(comfy.url) as middleman, Watch() as watch:
        for method in ("GET", "POST"):
            middleman.tricks.append(Trick("/", repeating, method, times=None, arrives=True))
        comfy.faults.append(Fault("error", "bird", message=f"I was told {AUTH}"))
        project.environment["COMFYUI_URL"] = middleman.url
        items = [{"name": name, "prompt": f"a {name}"} for name in ("fox", "bird")]
        options = {"checkpoint": "fake.safetensors"}
        generate = {"width": 64, "height": 64, "steps": 4}
        project.job(backend="comfyui", items=items, comfyui=options, generate=generate)
        job = project.root / "jobs/portraits.yaml"
        job.write_text(job.read_text().replace("scripted:\n  script: script.json\n", ""))
        runs = [project.doit(), project.doit("doctor"), project.doit("server:status")]
        middleman.tricks[:0] = [Trick("/", lambda _: [answer(AUTH.encode(), f"500 {AUTH}")], times=None)]
        runs += [project.doit(), project.doit("doctor")]
    assert (runs[0].tasks("generated"), runs[0].tasks("failed")) == (["portraits:fox"], ["portraits:bird"])
    assert "I was told …" in runs[0].out
    assert watch.command_lines
    assert marked(project, *runs, watch=watch) == []
    assert not any(TOKEN in str(entry) for entry in comfy.log)


@pytest.mark.parametrize("status", [200, 302, 401, 403, 404, 500, 502])
def test_no_error_of_the_server_repeats_its_secret(status: int) -> None:
    head = f"HTTP/1.1 {status} {AUTH}\r\nLocation: http://x/?{AUTH}\r\n\r\n{AUTH} {WORD}"
    with raw_server(lambda _: [head.encode()]) as url:
        with pytest.raises(Exception) as raised:  # noqa: PT011 - whichever it is
            Client(url, AUTH).system_stats()
        assert WORD not in str(raised.value) + getattr(raised.value, "hint", "")
        assert WORD not in repr(probe(url, auth=AUTH))


def test_an_image_with_the_secret_in_it_is_not_kept() -> None:
    with file_server() as server:
        server.files["/view"] = Served(write_png([]) + b"tEXt" + WORD.encode())
        with pytest.raises(Refused, match=r"^the image has in it what COMFYUI_AUTH or COMFY_API_KEY holds$"):
            Client(server.url, AUTH).view({"filename": "x.png"}, lambda: None)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as server:
        yield server


@pytest.mark.long
def test_a_download_tells_no_token_and_sends_it_to_no_other(project: ProjectFolder, server: FileServer) -> None:
    model = listed(repo="o/r", file="m.safetensors")
    path = "/o/r/resolve/main/m.safetensors"
    table = (
        f'[tool.imagegen.models.m]\nfolder = "checkpoints"\nrepo = "o/r"\nfile = "m.safetensors"\n'
        f'size = {model.size}\nsha256 = "{model.sha256}"\n'
    )
    project.write("pyproject.toml", table)
    project.environment["HF_ENDPOINT"] = server.url
    with file_server("localhost") as other, Watch() as watch:
        other.files["/m"] = Served(DATA)
        runs = []
        for served in (
            Served(TOKEN.encode(), 403, headers={"X-Error-Message": TOKEN, "Authorization": TOKEN}),
            Served(status=302, headers={"Location": f"https://{TOKEN}.example/"}),
            Served(status=302, headers={"Location": f"{other.url}/m?{TOKEN}"}),
        ):
            server.files[path] = served
            runs.append(project.doit("models:pull"))
    assert [run.code for run in runs] == [1, 1, 0], [run.out for run in runs]
    assert {asked.authorization for asked in server.asked} == {f"Bearer {TOKEN}"}
    assert [asked.authorization for asked in other.asked] == [""]
    assert marked(project, *runs, watch=watch) == []


def test_a_server_that_is_started_gets_no_secret(project: ProjectFolder) -> None:
    comfy = ComfyFolder(project.root)
    project.environment["COMFYUI_URL"] = comfy.url
    try:
        run = project.doit("server:start")
        assert run.code == 0, run.out
        (start,) = comfy.starts
        assert not any(mark in json.dumps(start) for mark in MARKS)
        assert os.environ["PATH"] == start["environment"]["PATH"]
        stop = project.doit("server:stop")
        assert marked(project, run, stop) == []
    finally:
        comfy.end()
