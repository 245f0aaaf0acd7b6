"""A project whose images ComfyUI servers generate, built in this process."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from imagegen.backends.comfyui.backend import ComfyUIBackend
from imagegen.config.settings import Settings
from tests.project_folder import ProjectFolder

__all__ = ["comfyui_project", "items"]


def comfyui_project(
    root: Path, urls: Iterable[str], names: Iterable[str] = ("fox", "bird"), *, timeout_s: float = 30, **changes: Any
) -> ProjectFolder:
    """Write a project with one job: items of these names, and these keys in place of its own."""
    job = {
        "backend": "comfyui",
        "generate": {"width": 64, "height": 64, "steps": 4, "timeout_s": timeout_s},
        "comfyui": {"checkpoint": "fake.safetensors"},
        "items": items(*names),
    }
    project = ProjectFolder(root, job)
    project.settings = Settings(comfyui_server_urls=tuple(urls), comfyui_server_start="never")
    project.backends = {"comfyui": ComfyUIBackend}
    project.job(**changes)
    return project


def items(*names: str) -> list[dict[str, str]]:
    return [{"name": name, "prompt": f"a {name}"} for name in names]
