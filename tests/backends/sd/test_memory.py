"""How much memory a model needs and a machine has: what surely cannot work is refused, what is tight is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imagegen.backends.sd.memory import (
    Machine,
    check_memory,
    describe_tight_memory,
    estimate_work,
    this_machine,
)

GB = 1024**3
SMALL = Machine(8 * GB, 2 * GB)
GAMER = Machine(16 * GB, 0, 8 * GB, is_strict=True)


def refused(weights: int, device: str, machine: Machine, *, offload: bool = False) -> str:
    problem = check_memory(weights, device, offload=offload, machine=machine)
    return f"{problem.what} -> {problem.hint}" if problem else ""


def tight(weights: int, device: str, machine: Machine, *, offload: bool = False, work: int = GB) -> str:
    return describe_tight_memory(weights, work, device, offload=offload, machine=machine)


def test_what_was_measured() -> None:
    assert round(estimate_work("SD 1.x", 64 * 64) / 1024**2) == 26
    assert round(estimate_work("SD 1.x", 512 * 512) / 1024**2) == 1664
    assert round(estimate_work("SD 1.x", 1024 * 1024) / GB) == 8
    assert estimate_work("", 1024 * 1024) < estimate_work("SD 1.x", 1024 * 1024)


@pytest.mark.parametrize("device", ["cpu", "metal"])
def test_weights_beyond_all_memory(device: str) -> None:
    assert not refused(10 * GB, device, SMALL)
    assert refused(11 * GB, device, SMALL) == (
        "the model's weights take 11.0 GB, and this machine has 8.0 GB and 2.0 GB of swap "
        "-> take a smaller quantisation of it, or a smaller model"
    )


@pytest.mark.parametrize("device", ["vulkan", "cuda", "rocm"])
def test_a_gpu_with_less_than_the_weights(device: str) -> None:
    assert not refused(8 * GB, device, GAMER)
    assert refused(9 * GB, device, GAMER) == (
        "the model's weights take 9.0 GB, and the GPU has 8.0 GB "
        "-> offload: true under sd in the job, or offload = true in [tool.imagegen.sd]"
    )
    assert not refused(9 * GB, device, GAMER, offload=True)
    assert "this machine has 16.0 GB ->" in refused(17 * GB, device, GAMER, offload=True)


def test_a_driver_that_takes_main_memory_too_is_only_slow() -> None:
    machine = Machine(16 * GB, 0, 8 * GB)
    assert not refused(9 * GB, "vulkan", machine)
    assert tight(9 * GB, "vulkan", machine) == (
        "the model's weights take 9.0 GB, and the GPU has 8.0 GB: "
        "offload = true in [tool.imagegen.sd] keeps them in main memory"
    )
    assert not tight(9 * GB, "vulkan", machine, offload=True)
    assert not tight(9 * GB, "vulkan", Machine(16 * GB, 0, GB // 2)), "a share of main memory"


def test_of_what_is_unknown_nothing_is_said() -> None:
    for device, machine in (("", SMALL), ("vulkan", SMALL)):
        assert not refused(100 * GB, device, machine)
        assert not tight(100 * GB, device, machine)


def test_what_may_be_tight_on_a_cpu() -> None:
    assert not tight(7 * GB, "cpu", SMALL)
    assert tight(7 * GB, "cpu", SMALL, work=2 * GB) == (
        "this takes about 9.0 GB of memory, and this machine has 8.0 GB: "
        "a smaller image or model is quicker, and sure to fit"
    )


@pytest.mark.skipif(os.name != "posix", reason="scripts are programs there")
@pytest.mark.parametrize(
    ("text", "gpu"), [("printf '6144\\n24564\\n'", 24564 * 1024**2), ("echo no; exit 9", 0), ("echo N/A", 0)]
)
def test_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, gpu: int) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    this_machine.cache_clear()
    try:
        found = this_machine()
    finally:
        this_machine.cache_clear()
    assert found.memory > GB // 4
    assert found.gpu == gpu or not gpu
