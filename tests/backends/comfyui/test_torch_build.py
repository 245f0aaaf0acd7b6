from __future__ import annotations

import sys
from pathlib import Path

import pytest

from imagegen.backends.comfyui.torch_build import BUILDS, detect
from imagegen.config.settings import SETTINGS

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or Path("/dev/kfd").exists(), reason="a machine whose build is told by something else"
)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder with programs that is searched."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_an_nvidia_gpu_wants_cuda(programs: Path) -> None:
    program(programs / "nvidia-smi", 'echo "GPU 0: NVIDIA GeForce RTX 3060 (UUID: GPU-1)"')
    program(programs / "rocminfo", "")
    assert detect() == ("cuda", "nvidia-smi lists NVIDIA GeForce RTX 3060")


@pytest.mark.parametrize("script", ["exit 9", 'echo "No devices were found"'])
def test_a_driver_without_a_gpu_is_no_gpu(programs: Path, script: str) -> None:
    program(programs / "nvidia-smi", script)
    assert detect()[0] == "cpu"


def test_an_amd_gpu_wants_rocm(programs: Path) -> None:
    program(programs / "rocminfo", "")
    assert detect()[0] == "rocm"


def test_without_a_gpu_it_is_the_cpu(programs: Path) -> None:
    assert list(programs.iterdir()) == []
    assert detect()[0] == "cpu"


def test_the_setting_takes_each_build_that_there_is() -> None:
    (setting,) = (setting for setting in SETTINGS if setting.name == "comfyui.torch")
    for name in ("auto", *BUILDS):
        assert setting.kind.read(name) == name
