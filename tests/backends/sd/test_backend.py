"""The backend `sd` keeps every rule that imagegen relies on."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagegen.backends.base import Backend
from imagegen.backends.sd import SdBackend
from imagegen.plan.request import Request
from imagegen.testing import BackendContract
from tests.backends.sd.fake_sd_server.fixture import FakeSd
from tests.backends.sd.model_files import write_model


class TestSd(BackendContract):
    @pytest.fixture(autouse=True)
    def _project(self, tmp_path: Path, fake: FakeSd, monkeypatch: pytest.MonkeyPatch) -> None:
        """A project, in which the program is where sd:setup puts it."""
        (tmp_path / "tools/sd").mkdir(parents=True)
        (tmp_path / "tools/sd/sd-server").symlink_to(fake.program)
        write_model(tmp_path / "tools/models/checkpoints/one.safetensors")
        monkeypatch.chdir(tmp_path)

    def backend(self) -> Backend:
        return SdBackend()

    def request(self) -> Request:
        return Request(
            "sd",
            "One",
            "a red fox",
            width=64,
            height=64,
            steps=2,
            seed=1,
            model="one.safetensors",
            extra={"files": {"model": "one.safetensors"}},
            given=("height", "steps", "width"),
        )
