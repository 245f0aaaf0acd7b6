"""A project whose settings name a fake `sd-server`, or the real one, and a folder with small models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.backends.sd.fake_sd_server.fixture import FakeSd, until
from tests.backends.sd.model_files import Kind, write_model
from tests.backends.sd.real_server import RealSd
from tests.project_folder import ProjectFolder

__all__ = ["JOB", "SdProject"]

JOB: dict[str, Any] = {
    "backend": "sd",
    "generate": {"width": 64, "height": 64, "steps": 2},
    "sd": {"model": "one.safetensors"},
    "items": [
        {"name": "Mallsing", "prompt": "a tall figure"},
        {"name": "Yrr", "prompt": "a small figure"},
        {"name": "Okka", "prompt": "a broad figure"},
    ],
}
FOLDERS: Mapping[str, str] = {
    **dict.fromkeys(("sd1", "sd2", "sdxl"), "checkpoints"),
    **dict.fromkeys(("vae", "flux2_vae"), "vae"),
    **dict.fromkeys(("clip_l", "clip_g", "t5xxl", "llm"), "text_encoders"),
    "lora": "loras",
}
"""The folder of a file by its kind; the others are diffusion models."""


class SdProject(ProjectFolder):
    """Its settings name the server's program; it has the checkpoints `one` and `two` in `models`."""

    def __init__(self, root: Path, server: FakeSd | RealSd) -> None:
        super().__init__(root, {**JOB, "generate": {**JOB["generate"], "steps": server.steps}})
        self.server = server
        self.patience_s = server.patience_s
        self.models = root / "tools/models"
        self.settings_file()
        for name in ("one", "two"):
            server.write_model(self.models / f"checkpoints/{name}.safetensors", name)

    @property
    def fake(self) -> FakeSd:
        """Its server, in a test with the fake server."""
        assert isinstance(self.server, FakeSd)
        return self.server

    def settings_file(self, **sd: Any) -> None:
        """Write pyproject.toml. sd: more of [tool.imagegen.sd], each value as TOML, `__` in its name a dot."""
        lines = [f"{key.replace('__', '.')} = {value}" for key, value in sd.items()]
        self.write(
            "pyproject.toml", "\n".join(["[tool.imagegen.sd]", f"program = '{self.server.program}'", *lines, ""])
        )

    def wait_until_noted(self) -> None:
        """Wait until the run has heard of the job of its image: killed before, it leaves an image that nobody can find."""

        def is_noted() -> bool:
            with suppress(OSError, ValueError):
                notes = json.loads((self.root / ".imagegen/sd/job.json").read_bytes())
                return bool(notes) and all(note["job"] for note in notes.values())
            return False

        until(is_noted)

    def model(self, name: str, kind: Kind = "sd1", content: str = "") -> Path:
        """Write a model file into the folder of its kind."""
        folder = FOLDERS.get(kind, "diffusion_models")
        return write_model(self.models / folder / name, kind, content)
