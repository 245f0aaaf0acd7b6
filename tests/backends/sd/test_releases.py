"""Which build fits which machine."""

from __future__ import annotations

import platform
import re
from dataclasses import replace
from pathlib import Path

import pytest

from imagegen.backends.machine import Machine
from imagegen.backends.sd.releases import (
    BUILDS,
    RELEASE,
    Device,
    Host,
    choose_build,
    detect_device,
    explain_own_build,
    find_build,
    has_gpu,
    inspect_host,
    suggest_loader,
)
from imagegen.errors import ImagegenError

GOMP, VULKAN = "libgomp.so.1", "libvulkan.so.1"
LINUX = Host(Machine("Linux", "x86_64"), glibc=(2, 39), libraries=frozenset({GOMP}))
LINUX_GPU = replace(LINUX, has_gpu=True, libraries=frozenset({GOMP, VULKAN}))
WINDOWS = Host(Machine("Windows", "AMD64"), has_gpu=True)
WINDOWS_GPU = replace(WINDOWS, libraries=frozenset({"vulkan-1.dll"}))
MAC = Host(Machine("Darwin", "arm64"), macos=26)


def refusal(host: Host, device: Device) -> str:
    with pytest.raises(ImagegenError) as caught:
        choose_build(host, device)
    return str(caught.value)


def test_each_archive_is_of_the_release_and_pinned_by_size_and_sha256() -> None:
    assets = [asset for builds in BUILDS.values() for build in builds for asset in build.assets]
    short = RELEASE.rpartition("-")[2]
    for asset in assets:
        assert re.fullmatch("[0-9a-f]{64}", asset.sha256)
        assert asset.size > 10_000_000
        assert asset.url == f"https://github.com/leejet/stable-diffusion.cpp/releases/download/{RELEASE}/{asset.name}"
        assert short in asset.name or asset.name.startswith("cudart-")
    assert len({asset.sha256 for asset in assets}) == len(assets) == 9


@pytest.mark.parametrize(
    ("host", "device"),
    [
        (LINUX, "cpu"),
        (LINUX_GPU, "vulkan"),
        (replace(LINUX_GPU, has_gpu=False), "cpu"),
        (replace(LINUX, has_gpu=True), "cpu"),
        (WINDOWS, "cpu"),
        (WINDOWS_GPU, "vulkan"),
        (MAC, "metal"),
    ],
)
def test_a_gpu_is_used_where_there_is_one_and_vulkans_loader(host: Host, device: Device) -> None:
    assert detect_device(host) == device
    assert choose_build(host, device).device == device


@pytest.mark.parametrize(
    ("drivers", "devices", "is_gpu"),
    [
        ({}, [], False),
        ({"renderD128": "amdgpu"}, ["dri/renderD128"], True),
        ({"renderD128": "xe"}, ["dri/renderD128"], True),
        ({"renderD128": "i915", "renderD129": "nvidia"}, ["dri/renderD129"], True),
        ({"renderD128": "virtio-pci"}, ["dri/renderD128"], False),
        ({"renderD128": "vmwgfx"}, ["dri/renderD128"], False),
        ({"renderD128": "virtio-pci", "renderD129": "nouveau"}, ["dri/renderD128", "dri/renderD129"], True),
        ({"renderD128": "amdgpu"}, [], False),  # a container that the GPU is not given to
        ({}, ["dri/renderD128"], False),
        ({}, ["nvidia0", "nvidiactl"], True),  # NVIDIA's container toolkit
        ({}, ["nvidiactl"], False),
    ],
)
def test_a_gpu_is_a_device_here_with_the_driver_of_one(
    tmp_path: Path, drivers: dict[str, str], devices: list[str], is_gpu: bool
) -> None:
    for node, driver in drivers.items():
        (tmp_path / "sys/bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
        device = tmp_path / "sys/class/drm" / node / "device"
        device.mkdir(parents=True)
        (device / "driver").symlink_to(f"../../../../bus/pci/drivers/{driver}")
    for name in devices:
        (tmp_path / "dev" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "dev" / name).touch()
    assert has_gpu(tmp_path) is is_gpu


def test_a_gpu_without_the_loader_is_named_with_what_it_needs() -> None:
    assert "install libvulkan1" in suggest_loader(replace(LINUX, has_gpu=True))
    assert [suggest_loader(host) for host in (LINUX, LINUX_GPU, WINDOWS, MAC)] == [""] * 4


def test_rocm_and_cuda_are_there_for_who_asks() -> None:
    assert choose_build(LINUX, "rocm").needs.startswith("AMD's ROCm 7")
    assert len(choose_build(WINDOWS, "cuda").assets) == 2


@pytest.mark.parametrize(
    ("host", "what"),
    [
        (replace(LINUX, glibc=(2, 37)), "needs glibc 2.38 or later, and this system has 2.37"),
        (replace(LINUX, glibc=None), "needs glibc 2.38 or later, and this system has another C library"),
        (replace(LINUX, machine=Machine("Linux", "aarch64")), "has no build for Linux aarch64"),
        (replace(WINDOWS, machine=Machine("Windows", "ARM64")), "has no build for Windows ARM64"),
        (replace(MAC, macos=15), "needs macOS 26 or later, and this is 15"),
        (replace(MAC, machine=Machine("Darwin", "x86_64")), "has no build for macOS x86_64"),
        (Host(Machine("FreeBSD", "amd64")), "has no build for FreeBSD amd64"),
    ],
)
def test_where_no_build_runs_it_says_how_to_compile_one(host: Host, what: str) -> None:
    message = refusal(host, detect_device(host))
    assert what in message
    assert "cmake --build stable-diffusion.cpp/build --config Release --target sd-server" in message
    assert "[tool.imagegen.sd] in pyproject.toml: program = " in message
    assert message.endswith("and run doit sd:setup again, for the model")


def test_macos_26_may_be_called_16() -> None:
    assert choose_build(replace(MAC, macos=16), "metal").device == "metal"


def test_how_to_compile_one_fits_the_system() -> None:
    assert "build -DSD_METAL=ON " in explain_own_build(Host(Machine("Darwin", "x86_64")))
    assert "sd-server.exe" in explain_own_build(Host(Machine("Windows", "ARM64"), has_gpu=True))
    with_gpu = explain_own_build(Host(Machine("Linux", "aarch64"), has_gpu=True))
    assert "build -DSD_VULKAN=ON " in with_gpu
    assert "Vulkan's SDK" in with_gpu
    without = explain_own_build(Host(Machine("Linux", "x86_64")))
    assert "sudo apt install git cmake g++" in without
    assert "VULKAN" not in without.upper()


def test_a_device_without_a_build_is_refused_with_those_that_have_one() -> None:
    message = refusal(LINUX_GPU, "cuda")
    assert "has no build for cuda on Linux x86_64" in message
    assert "doit sd:setup --device=cpu or --device=vulkan or --device=rocm; Vulkan runs on NVIDIA's GPUs" in message
    assert "--device=metal" in refusal(MAC, "cpu")


def test_a_library_that_is_missing_is_named_with_its_package() -> None:
    assert "needs libgomp.so.1\n    install libgomp1" in refusal(replace(LINUX, libraries=frozenset()), "cpu")
    message = refusal(LINUX, "vulkan")
    assert "the build for vulkan needs libvulkan.so.1\n    install libvulkan1" in message
    assert message.endswith("or take the CPU build: doit sd:setup --device=cpu")
    assert "vulkan-1.dll" in refusal(WINDOWS, "vulkan")


def test_a_build_is_found_by_its_archive() -> None:
    build = choose_build(WINDOWS, "cuda")
    assert find_build(build.assets[0].sha256) is build
    assert find_build(build.assets[1].sha256) is None
    assert find_build("") is None


def test_this_machine_is_known() -> None:
    host = inspect_host()
    assert host.machine.system == platform.system()
    assert bool(host.glibc) == (platform.libc_ver()[0] == "glibc")
    assert bool(host.macos) == (platform.system() == "Darwin")
