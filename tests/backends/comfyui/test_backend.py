"""The backend as the executor drives it: preflight of every job, then what must be done before the first image."""

from __future__ import annotations

import threading

import pytest

from imagegen.backends.base import GenerationError
from imagegen.backends.comfyui.backend import ComfyUIBackend
from imagegen.execute.worker import ImageProgress
from tests.backends.a1111.fake_a1111 import FakeA1111
from tests.backends.comfyui.fake_program import ComfyFolder, free_port
from tests.backends.comfyui.fake_server import FakeComfyUI
from tests.backends.comfyui.sections import Sections
from tests.backends.file_server import file_server


def test_each_job_is_checked_by_a_server_that_came_after_preflight(sections: Sections) -> None:
    folder = ComfyFolder(sections.root)
    sections.write("tools/ComfyUI/models/checkpoints/fake.safetensors", b"")
    sections.environment = {"COMFYUI_URL": folder.url, "COMFYUI_CKPT": "fake.safetensors"}
    good, bad = sections.request(), sections.request(sampler="eulr")
    backend = ComfyUIBackend()
    assert [list(backend.preflight([request])) for request in (good, bad)] == [[], []]
    progress = ImageProgress(60, threading.Event())
    with FakeComfyUI(port=folder.port):
        try:
            assert list(backend.prepare([good], progress)) == []
            problems = backend.prepare([bad], progress)
        finally:
            backend.close()
    assert [problem.what for problem in problems] == ["generate.sampler: 'eulr' is not there"]


@pytest.mark.parametrize("settings", [{}, {"COMFYUI_URL": "http://comfyui.invalid"}])
def test_the_only_checkpoint_is_not_taken_from_folders_that_no_server_would_use(
    sections: Sections, settings: dict[str, str]
) -> None:
    sections.write("tools/ComfyUI/models/checkpoints/fake.safetensors", b"")
    sections.environment = {"COMFYUI_URL": f"http://127.0.0.1:{free_port()}", **settings}
    with pytest.raises(GenerationError, match=r"^no ComfyUI answers at http://") as error:
        ComfyUIBackend().choose_model(sections.request())
    assert ("doit comfyui:setup" in error.value.problem.hint) == (not settings)


def test_an_address_with_nothing_of_comfyui_is_told_as_such(sections: Sections) -> None:
    with file_server() as server:
        sections.environment = {"COMFYUI_URL": f"{server.url}/prefix"}
        with pytest.raises(GenerationError, match=r"/prefix is not ComfyUI$"):
            ComfyUIBackend().choose_model(sections.request())
        (problem,) = ComfyUIBackend().preflight([sections.request()])
    assert problem.what == f"what answers at {server.url}/prefix is not ComfyUI"
    assert "COMFYUI_URL" in problem.hint


def test_koboldcpp_gets_no_image_to_generate(sections: Sections) -> None:
    with FakeA1111("koboldcpp") as fake:
        sections.environment = {"COMFYUI_URL": fake.url}
        (problem,) = ComfyUIBackend().preflight([sections.request()])
    assert "is koboldcpp" in problem.what
    assert problem.hint == f"write backend: a1111, and a1111.server.url: {fake.url}"
