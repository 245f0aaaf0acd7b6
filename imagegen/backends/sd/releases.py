"""Which build of stable-diffusion.cpp fits a machine: one pinned release, and what each of its builds needs.

The release's archives were not downloaded by this project. Each size and sha256 was found alike in the sources of at
least two projects that do not depend on each other; two are named above each. All of them are in the manifest of
ardanlabs/malina (pkg/download/library_manifest.json @ 465e11a759fd), too.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from imagegen.backends.machine import Machine, this_machine
from imagegen.errors import NotBegunError, Problem

__all__ = [
    "BUILDS",
    "DEVICES",
    "LICENCE",
    "PAGE",
    "RELEASE",
    "Asset",
    "Build",
    "Device",
    "Host",
    "choose_build",
    "detect_device",
    "explain_own_build",
    "find_build",
    "has_gpu",
    "inspect_host",
    "suggest_loader",
]

RELEASE = "master-929-3f8527a"
"""Of 2026-09-27."""
LICENCE = "MIT licence"
PAGE = f"https://github.com/leejet/stable-diffusion.cpp/releases/tag/{RELEASE}"
_DOWNLOADS = f"https://github.com/leejet/stable-diffusion.cpp/releases/download/{RELEASE}"

Device = Literal["cpu", "vulkan", "metal", "rocm", "cuda"]
DEVICES: Sequence[Device] = get_args(Device)


@dataclass(frozen=True)
class Asset:
    """An archive of the release."""

    name: str
    size: int
    sha256: str

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{_DOWNLOADS}/{self.name}"


@dataclass(frozen=True)
class Build:
    """A build of the release.

    Attributes:
        device: what it generates on.
        assets: the archives that it is in, the program's first.
        needs: what it needs on the machine, for a person; empty if that is checked.
        libraries: what it needs and the system loads → the package that has it.
    """

    device: Device
    assets: Sequence[Asset]
    needs: str = ""
    libraries: Mapping[str, str] | None = None


_GOMP = {"libgomp.so.1": "libgomp1 (Debian, Ubuntu), libgomp (Fedora) or gcc-libs (Arch)"}
_LINUX_LOADER, _WINDOWS_LOADER = "libvulkan.so.1", "vulkan-1.dll"
_LOADER = {_LINUX_LOADER: "libvulkan1 (Debian, Ubuntu), vulkan-loader (Fedora) or vulkan-icd-loader (Arch)"}
_WINDOWS = {_WINDOWS_LOADER: "the GPU's current driver"}

BUILDS: Mapping[tuple[str, str], Sequence[Build]] = {
    ("Linux", "x86_64"): (
        Build(
            "cpu",
            [
                # Heretek-AI/homebrew-tap (Formula/stable-diffusion-cpp.rb); gopherstein/yggdrasil-core
                # (internal/imagegen/runtime.go @ 446603f95514)
                Asset(
                    "sd-master-3f8527a-bin-Linux-Ubuntu-24.04-x86_64.zip",
                    26_025_088,
                    "9ad35ed309dbe59f5e66f35edafac9a69e6cc233ea6b9577071feae829159d37",
                )
            ],
            libraries=_GOMP,
        ),
        Build(
            "vulkan",
            [
                # HerRei/local-upscale (scripts/build_edit_runtime.py @ 648e5a770857); Oliver494/Vareliox-AI
                # (src-tauri/src/ai/local_media.rs @ b98063b3ccfa)
                Asset(
                    "sd-master-3f8527a-bin-Linux-Ubuntu-24.04-x86_64-vulkan.zip",
                    36_886_217,
                    "e35cc73cf5ba9637d1dc1d717760e7b8428376a4905d57e72ec8c871864f62c7",
                )
            ],
            libraries={**_GOMP, **_LOADER},
        ),
        Build(
            "rocm",
            [
                # ardanlabs/malina; Heretek-AI/homebrew-tap
                Asset(
                    "sd-master-3f8527a-bin-Linux-Ubuntu-24.04-x86_64-rocm-7.14.0.zip",
                    278_027_875,
                    "b4877986cc25cc04decc073874eed5ea411fc0bb19f5338f0ea3511a8e8b1c58",
                )
            ],
            "AMD's ROCm 7 (hip, hipblas, rocblas)",
            _GOMP,
        ),
    ),
    ("Darwin", "arm64"): (
        Build(
            "metal",
            [
                # Heretek-AI/homebrew-tap; gopherstein/yggdrasil-core
                Asset(
                    "sd-master-3f8527a-bin-Darwin-macOS-26.6.2-arm64.zip",
                    35_049_086,
                    "1c8ee6c8e413e3335b1223bbc657ea5d86dae1819f8426a98b84c265587eb192",
                )
            ],
        ),
    ),
    ("Windows", "x86_64"): (
        Build(
            "cpu",
            [
                # HerRei/local-upscale; Oliver494/Vareliox-AI
                Asset(
                    "sd-master-3f8527a-bin-win-cpu-x64.zip",
                    17_486_440,
                    "5e7caca2080321b25a12c1fa4175cb7d953f2b182309f8f73bfc9c725231d26c",
                )
            ],
        ),
        Build(
            "vulkan",
            [
                # ardanlabs/malina; gopherstein/yggdrasil-core
                Asset(
                    "sd-master-3f8527a-bin-win-vulkan-x64.zip",
                    30_067_605,
                    "60e6850d650417409f18c2170ab5e27335db96da70cd3d1ad1e930bcffc2fd35",
                )
            ],
            libraries=_WINDOWS,
        ),
        Build(
            "cuda",
            [
                # ardanlabs/malina; HerRei/local-upscale
                Asset(
                    "sd-master-3f8527a-bin-win-cuda12-x64.zip",
                    337_915_440,
                    "217d6dead9abd3f827fc338268555cc179234e7e6330ef21ecb1c985e19d2dc7",
                ),
                # HerRei/local-upscale; earshot-run/fornax (internal/modelrt/sd.go): the same in many releases
                Asset(
                    "cudart-sd-bin-win-cu12-x64.zip",
                    563_452_046,
                    "fe20366827d357c00797eebb58244dddab7fd9a348d70090c3871004c320f38d",
                ),
            ],
            "NVIDIA's driver 551 or later",
        ),
        Build(
            "rocm",
            [
                # ardanlabs/malina; HerRei/local-upscale
                Asset(
                    "sd-master-3f8527a-bin-win-rocm-7.14.0-x64.zip",
                    203_432_945,
                    "13fd3a7f159a73b6ff6b046665db4009fc4f253eef8c14d93f0e9612818606e3",
                )
            ],
            "AMD's ROCm 7 (amdhip64_7.dll, hipblas.dll)",
        ),
    ),
}
"""By system and processor. There is no build for CUDA on Linux, where Vulkan does it."""

_GLIBC = (2, 38)
"""The Linux builds are made on Ubuntu 24.04."""
_MACOS, _MACOS_BEFORE = 26, 15
"""The build is made on macOS 26 for just that. A Python that was built for an earlier one calls it 16 (CPython issue
135675); there was none between 15 and 26."""
_PROCESSORS = {"AMD64": "x86_64", "ARM64": "arm64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Host:
    """A machine, as far as it decides which build runs on it.

    Attributes:
        machine: its system and processor.
        glibc: the version of its C library; None if it has another.
        macos: the version of macOS; 0 elsewhere.
        has_gpu: whether there is a GPU, as far as that can be seen.
        libraries: those that the system can load.
    """

    machine: Machine
    glibc: tuple[int, ...] | None = None
    macos: int = 0
    has_gpu: bool = False
    libraries: frozenset[str] = frozenset()

    @property
    def builds(self) -> Mapping[Device, Build]:
        """The builds for its system and processor, whether it has what they need or not."""
        processor = _PROCESSORS.get(self.machine.processor, self.machine.processor)
        return {build.device: build for build in BUILDS.get((self.machine.system, processor), ())}


def inspect_host() -> Host:
    """Return the machine that this runs on."""
    machine = this_machine()
    name, version = platform.libc_ver()
    names = {"Linux": (*_GOMP, *_LOADER), "Windows": tuple(_WINDOWS)}.get(machine.system, ())
    return Host(
        machine,
        _numbers(version) if name == "glibc" else None,
        (_numbers(platform.mac_ver()[0]) or (0,))[0],
        machine.system == "Windows" or has_gpu(Path("/")),  # there, the loader comes with a GPU's driver
        frozenset(filter(_can_load, names)),
    )


def has_gpu(root: Path) -> bool:
    """Return whether a Linux machine has a GPU that Vulkan runs on. root: of its file system.

    A virtual machine's device for rendering is none: there, only software acts as a GPU, which the engine does not use.
    """
    drivers = {
        (root / "sys/class/drm" / node.name / "device/driver").resolve().name
        for node in (root / "dev/dri").glob("renderD*")
    }
    return bool(drivers & _GPU_DRIVERS) or any((root / "dev").glob("nvidia[0-9]*"))


_GPU_DRIVERS = frozenset({"amdgpu", "asahi", "i915", "nouveau", "nvidia", "panthor", "xe"})
"""Linux's drivers of GPUs that Vulkan generates on."""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _can_load(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def detect_device(host: Host) -> Device:
    """Return what a build should generate on: Metal, Vulkan where there is a GPU and Vulkan's loader, else the CPU."""
    if host.machine.system == "Darwin":
        return "metal"
    has_loader = bool(host.libraries & {_LINUX_LOADER, _WINDOWS_LOADER})
    return "vulkan" if host.has_gpu and has_loader and "vulkan" in host.builds else "cpu"


def suggest_loader(host: Host) -> str:
    """Return what to install so that a GPU that is there can be used; empty if nothing is known to be missing."""
    if host.machine.system != "Linux" or not host.has_gpu or _LINUX_LOADER in host.libraries:
        return ""
    return f"there is a GPU; to use it, install {_LOADER[_LINUX_LOADER]}, and run doit sd:setup --device=vulkan"


def choose_build(host: Host, device: Device) -> Build:
    """Return the build for this machine and device. Raises ImagegenError if there is none that can run here."""
    machine, builds = host.machine, host.builds
    if not builds:
        what = f"stable-diffusion.cpp has no build for {_name(machine)}"
        raise NotBegunError(Problem("", what, explain_own_build(host)))
    if machine.system == "Linux" and (host.glibc or (0,)) < _GLIBC:
        found = ".".join(map(str, host.glibc)) if host.glibc else "another C library"
        what = f"stable-diffusion.cpp's build needs glibc {_GLIBC[0]}.{_GLIBC[1]} or later, and this system has {found}"
        raise NotBegunError(Problem("", what, explain_own_build(host)))
    if machine.system == "Darwin" and host.macos <= _MACOS_BEFORE:
        what = f"stable-diffusion.cpp's build needs macOS {_MACOS} or later, and this is {host.macos}"
        raise NotBegunError(Problem("", what, explain_own_build(host)))
    build = builds.get(device)
    if build is None:
        nvidia = "; Vulkan runs on NVIDIA's GPUs, too" if device == "cuda" and "vulkan" in builds else ""
        hint = f"take one of these: doit sd:setup --device={' or --device='.join(builds)}{nvidia}"
        what = f"stable-diffusion.cpp has no build for {device} on {_name(machine)}"
        raise NotBegunError(Problem("", what, hint))
    for library, package in (build.libraries or {}).items():
        if library not in host.libraries:
            cpu = ", or take the CPU build: doit sd:setup --device=cpu" if library in (*_LOADER, *_WINDOWS) else ""
            raise NotBegunError(Problem("", f"the build for {device} needs {library}", f"install {package}{cpu}"))
    return build


def find_build(sha256: str) -> Build | None:
    """Return the build whose program is in the archive with this sha256."""
    return next((one for builds in BUILDS.values() for one in builds if one.assets[0].sha256 == sha256), None)


def explain_own_build(host: Host) -> str:
    """Return how to compile a build of one's own. Source: docs/build.md of stable-diffusion.cpp, and its CMakeLists.

    For -DSD_VULKAN=ON, cmake requires Vulkan with its glslc.
    """
    system = host.machine.system
    option, without = "", ""
    if system == "Darwin":
        option, without = " -DSD_METAL=ON", "; for the CPU alone, leave out -DSD_METAL=ON"
    elif host.has_gpu:
        packages = ", or Debian's libvulkan-dev and glslc" if system == "Linux" else ""
        sdk = f"Vulkan's SDK (https://www.lunarg.com/vulkan-sdk{packages})"
        option, without = " -DSD_VULKAN=ON", f", and {sdk}; for the CPU alone, leave out -DSD_VULKAN=ON"
    suffix = "Release/sd-server.exe" if system == "Windows" else "sd-server"
    return "\n        ".join(
        (
            f"compile it in the project's folder, with {_TOOLS.get(system, _OTHER_TOOLS)}{without}:",
            f"git clone --recursive --branch {RELEASE} https://github.com/leejet/stable-diffusion.cpp",
            f"cmake -S stable-diffusion.cpp -B stable-diffusion.cpp/build{option} -DCMAKE_BUILD_TYPE=Release",
            "cmake --build stable-diffusion.cpp/build --config Release --target sd-server --parallel 4",
            f'then add to [tool.imagegen.sd] in pyproject.toml: program = "stable-diffusion.cpp/build/bin/{suffix}"',
            "and run doit sd:setup again, for the model",
        )
    )


_OTHER_TOOLS = "git, cmake and a C++ compiler"
_TOOLS = {
    "Linux": f"{_OTHER_TOOLS} (Debian, Ubuntu: sudo apt install git cmake g++)",
    "Darwin": f"{_OTHER_TOOLS} (xcode-select --install)",
    "Windows": "git, cmake and Visual Studio's C++ compiler",
}


def _name(machine: Machine) -> str:
    return f"{ {'Darwin': 'macOS'}.get(machine.system, machine.system) } {machine.processor}"
