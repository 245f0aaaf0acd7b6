"""The backend as the executor drives it: preflight of every job, then what must be done before the first image."""

from __future__ import annotations

import threading

from imagegen.backends.comfyui.backend import ComfyUIBackend
from imagegen.backends.comfyui.standin import StandIn
from imagegen.execute.progress import ImageProgress
from tests.backends.comfyui.sections import Sections
from tests.backends.comfyui.stand_in import ComfyFolder


def test_each_job_is_checked_by_a_server_that_came_after_preflight(sections: Sections) -> None:
    folder = ComfyFolder(sections.root)
    sections.write("tools/ComfyUI/models/checkpoints/stand-in.safetensors", b"")
    sections.environment = {"COMFYUI_URL": folder.url, "COMFYUI_CKPT": "stand-in.safetensors"}
    good, bad = sections.request(), sections.request(sampler="eulr")
    backend = ComfyUIBackend()
    assert [list(backend.preflight([request])) for request in (good, bad)] == [[], []]
    progress = ImageProgress(60, threading.Event())
    with StandIn(port=folder.port):
        try:
            assert list(backend.prepare([good], progress)) == []
            problems = backend.prepare([bad], progress)
        finally:
            backend.close()
    assert [problem.what for problem in problems] == ["generate.sampler: 'eulr' is not there"]
