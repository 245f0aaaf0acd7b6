"""Real packages, built and installed in temporary folders with no network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["ROOT", "build", "install"]

ROOT = Path(__file__).parents[1]


def build(source: Path, target: str, folder: Path) -> Path:
    """The wheel or sdist (target) of the project at `source`, written to `folder`."""
    _run("hatchling", "build", "--target", target, "--directory", str(folder), cwd=source)
    (built,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return built


def install(wheel: Path, folder: Path) -> Path:
    """The folder, for PYTHONPATH, with the wheel installed in it."""
    _run("pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder), str(wheel), cwd=wheel.parent)
    return folder


def _run(module: str, *arguments: str, cwd: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
