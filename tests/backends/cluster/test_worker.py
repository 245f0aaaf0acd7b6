"""What runs at a worker: a request with its files, and the progress that it reports."""

from __future__ import annotations

import hashlib
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.base import Backend, Context, GenerationError, OverdueError
from imagegen.backends.cluster.worker import RequestBundle, WorkerProgress, pack_request, unpack_files
from imagegen.backends.comfyui import ComfyUIBackend
from imagegen.backends.ollama import OllamaBackend
from imagegen.backends.sd import SdBackend
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, Problem
from imagegen.execute.worker import ImageProgress
from imagegen.plan.request import Request, canonical_fields, fingerprint

POSE = b"a pose"
SHA256 = hashlib.sha256(POSE).hexdigest()


def request() -> Request:
    return Request("scripted", "A", "a", extra={"images": {"pose": SHA256}})


def pose(path: Path) -> Callable[[str], Path]:
    path.write_bytes(POSE)
    return {SHA256: path}.__getitem__


def test_a_request_arrives_with_the_files_that_it_names(tmp_path: Path) -> None:
    sent = pickle.dumps(pack_request(request(), pose(tmp_path / "Pose.PNG")))
    assert str(tmp_path).encode() not in sent
    (tmp_path / "Pose.PNG").unlink()
    arrived = pickle.loads(sent)  # noqa: S301 - our own
    assert arrived.request == request()
    path = unpack_files(arrived, tmp_path / "there")[SHA256]
    assert (path.read_bytes(), path.parent, path.suffix) == (POSE, tmp_path / "there", ".png")
    assert [file.name for file in path.parent.iterdir()] == [f"{SHA256}.png"]


def test_a_file_that_is_another_by_now_is_not_sent(tmp_path: Path) -> None:
    find = pose(tmp_path / "pose.png")
    (tmp_path / "pose.png").write_bytes(b"another")
    with pytest.raises(GenerationError, match="was changed in the middle of the run"):
        pack_request(request(), find)
    (tmp_path / "pose.png").unlink()
    with pytest.raises(GenerationError, match="cannot be read: No such file"):
        pack_request(request(), find)


def test_a_request_without_files_brings_none(tmp_path: Path) -> None:
    bundle = pack_request(Request("scripted", "A", "a"), ImageProgress(1, threading.Event()).file)
    assert unpack_files(bundle, tmp_path / "there") == {}
    assert not (tmp_path / "there").exists()


def never(path: str) -> bytes:
    raise ImagegenError(Problem(path, "is not read here"))


SECTIONS: dict[str, dict[str, Any]] = {
    "comfyui": {"server": {"url": "http://here:3"}, "checkpoint_dirs": ["here"]},
    "sd": {"server": {"url": "http://here:3"}, "offload": True, "model": "m.safetensors"},
}


@pytest.mark.parametrize("backend", [ComfyUIBackend(), OllamaBackend(), SdBackend()], ids=lambda backend: backend.name)
def test_a_worker_draws_with_its_own_generator_and_the_fingerprint_stays(
    tmp_path: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYUI_AUTH", "Bearer s3cret")
    here = Settings(
        comfyui_server_urls=("http://here:1",),
        ollama_host="here:2",
        comfyui_server_start="never",
        sd_server_url="http://here:4",
        sd_program="here",
    )
    section = SECTIONS.get(backend.name, {})
    backend.context = Context(tmp_path / "here", here, never)
    extra = backend.resolve(section).extra
    request = Request(backend.name, "A", "a", model="m", extra=extra)
    sent = pickle.dumps(RequestBundle(backend.strip_local(request)))
    assert b"s3cret" not in sent
    assert b"here" not in sent
    moved = backend.strip_local(request)
    assert fingerprint(canonical_fields(moved, backend.parameters)) == fingerprint(
        canonical_fields(request, backend.parameters)
    )


class Worker:
    """What a progress needs of Dask's."""

    def log_event(self, topic: str, message: Any) -> None:
        pass


def test_an_image_whose_time_is_over_is_that_at_a_worker_as_it_is_here() -> None:
    text = []
    for progress in (WorkerProgress(Worker(), "a", -1, threading.Event()), ImageProgress(-1, threading.Event())):
        with pytest.raises(OverdueError) as caught:
            progress.check()
        text.append(caught.value.problem)
    assert text[0] == text[1]
