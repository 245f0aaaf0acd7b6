"""Which build of PyTorch a machine wants, where it comes from, and about how much that is."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from imagegen.backends.comfyui.commands import ask
from imagegen.errors import ImagegenError, Problem, did_you_mean

__all__ = ["BUILDS", "TorchBuild", "check_build", "detect"]

_WHEELS = "https://download.pytorch.org/whl"
_GB = 1024**3


@dataclass(frozen=True)
class TorchBuild:
    """A build: the package index that has it (empty: pip's own), and about how many bytes it takes.

    download: with all that it needs. disk: installed, and while it is installed.
    """

    index: str
    download: int
    disk: int


BUILDS = {
    "cuda": TorchBuild(f"{_WHEELS}/cu130", 3 * _GB, 8 * _GB),
    "rocm": TorchBuild(f"{_WHEELS}/rocm7.2", 5 * _GB, 20 * _GB),
    "mps": TorchBuild("", _GB // 5, _GB),
    "cpu": TorchBuild(f"{_WHEELS}/cpu", _GB // 4, _GB),
    "none": TorchBuild("", 0, 0),
}
"""By the names of the setting `comfyui.torch`. Indexes: ComfyUI's own installation guide."""


def check_build(name: str) -> None:
    """Raise ImagegenError where there is no build of this name (`auto` is one)."""
    names = ["auto", *BUILDS]
    if name not in names:
        near = did_you_mean(name, names)
        raise ImagegenError(Problem("--torch", f"there is no build '{name}'{near}", f"one of {', '.join(names)}"))


def detect() -> tuple[str, str]:
    """The build for this machine, and what tells so."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mps", "a Mac with Apple silicon"
    program = shutil.which("nvidia-smi")
    listed = (ask([program, "-L"], Path.cwd()) or "") if program else ""
    if listed.startswith("GPU "):
        return "cuda", f"nvidia-smi lists {listed.splitlines()[0].partition(': ')[2].partition(' (')[0] or 'a GPU'}"
    if sys.platform == "linux" and os.path.exists("/dev/kfd"):  # noqa: PTH110 - a device
        return "rocm", "/dev/kfd is there: an AMD GPU"
    if sys.platform == "linux" and shutil.which("rocminfo"):
        return "rocm", "rocminfo is installed: an AMD GPU"
    return "cpu", "neither nvidia-smi nor /dev/kfd shows a GPU"
