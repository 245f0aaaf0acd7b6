"""How much memory a model needs, and how much this machine has."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from imagegen.backends.managed_server import environment_without_secrets
from imagegen.backends.text import size_text
from imagegen.errors import Problem

__all__ = [
    "PLACEMENT",
    "Machine",
    "check_memory",
    "describe_tight_memory",
    "estimate_work",
    "this_machine",
]

_GPU_BUILDS = ("vulkan", "cuda", "rocm")
"""Builds whose models go into the memory of a GPU. Metal's is all there is, and a CPU's too."""
PLACEMENT = frozenset(
    {
        *("--backend", "--params-backend", "--max-vram", "--auto-fit", "--mmap"),
        *("--clip-on-cpu", "--vae-on-cpu", "--control-net-cpu", "--type", "--tensor-type-rules", "--vae-tiling"),
    }
)
"""The engine's arguments that decide how much of a model goes where: with one of them, nothing is known here."""
_LEAST_GPU = 2 * 1024**3
"""What is less is a share of main memory that the driver enlarges as it needs."""


@dataclass(frozen=True)
class Machine:
    """Its memory in bytes.

    Attributes:
        memory: main memory.
        swap: what may be written to the disk in its place, at least.
        gpu: of the GPU that has most; 0 if unknown.
        is_strict: whether the GPU takes no more than it has: NVIDIA's driver for Linux refuses it, others use main
            memory, slowly.
    """

    memory: int
    swap: int
    gpu: int = 0
    is_strict: bool = False


@lru_cache(maxsize=1)
def this_machine() -> Machine:
    """Return the machine that this runs on."""
    import psutil

    memory = psutil.virtual_memory().total
    swap = psutil.swap_memory().total
    if not sys.platform.startswith("linux"):  # macOS and Windows enlarge it as they need
        swap = max(swap, memory)
    nvidia = _ask_nvidia()
    return Machine(memory, swap, nvidia or _read_amdgpu(), bool(nvidia) and sys.platform.startswith("linux"))


def _ask_nvidia() -> int:
    """Return the memory of the largest NVIDIA GPU; 0 if there is none. Source: `nvidia-smi --help-query-gpu`."""
    program = shutil.which("nvidia-smi")
    if not program:
        return 0
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        ran = subprocess.run(
            [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"],
            capture_output=True,
            timeout=10,
            check=True,
            env=environment_without_secrets(),
            stdin=subprocess.DEVNULL,
        )
        return max(map(int, ran.stdout.split())) * 1024**2
    return 0


def _read_amdgpu() -> int:
    """Return the memory of the largest AMD GPU on Linux; 0 if there is none. Source: the kernel's amdgpu docs."""
    found = [0]
    for file in Path("/sys/class/drm").glob("card*/device/mem_info_vram_total"):
        with suppress(OSError, ValueError):
            found.append(int(file.read_text("ascii")))
    return max(found)


def estimate_work(kind: str, pixels: int) -> int:
    """Return about how many bytes the engine takes beside the weights, for an image of so many pixels.

    What is largest counts: a part's buffer is freed before the next part begins. The VAE takes 6.5 KiB a pixel, since
    its decoder has 128 channels at full size: 26 MB were seen at 64×64, and 1664 MB at 512×512. The UNet of SD 1.x
    compares each latent pixel with each other, eight times, in four bytes: 560 MB were seen at 512×512, and 8.4 GB at
    1024×1024. Of other kinds only the VAE is known.
    """
    vae = 6656 * pixels
    latent = pixels // 64
    return max(vae, 32 * latent * latent) if kind == "SD 1.x" else vae


def check_memory(weights: int, device: str, *, offload: bool, machine: Machine) -> Problem | None:
    """Return the problem that a model surely has no room; None if it has, or if that is unknown.

    Args:
        weights: bytes that are loaded.
        device: what the program was built for; empty if unknown.
        offload: whether the weights are kept in main memory, and not in the GPU's.
    """
    is_on_gpu = device in _GPU_BUILDS
    if is_on_gpu and not offload:
        if machine.is_strict and weights > machine.gpu:
            what = f"the model's weights take {size_text(weights)}, and the GPU has {size_text(machine.gpu)}"
            return Problem("", what, "offload: true under sd in the job, or offload = true in [tool.imagegen.sd]")
        return None
    if (is_on_gpu or device in ("cpu", "metal")) and weights > machine.memory + machine.swap:
        swap = f" and {size_text(machine.swap)} of swap" if machine.swap else ""
        what = f"the model's weights take {size_text(weights)}, and this machine has {size_text(machine.memory)}{swap}"
        return Problem("", what, "take a smaller quantisation of it, or a smaller model")
    return None


def describe_tight_memory(weights: int, work: int, device: str, *, offload: bool, machine: Machine) -> str:
    """Return what to say where it may work, slowly, or fail; empty if there is room, or if that is unknown.

    Args:
        weights: as for `check_memory`, and so are the others.
        work: bytes that the largest image takes beside them.
    """
    if device in _GPU_BUILDS and not offload:
        if _LEAST_GPU <= machine.gpu < weights:
            return (
                f"the model's weights take {size_text(weights)}, and the GPU has {size_text(machine.gpu)}: "
                "offload = true in [tool.imagegen.sd] keeps them in main memory"
            )
        return ""
    if device in ("cpu", "metal") and weights + work > machine.memory:
        return (
            f"this takes about {size_text(weights + work)} of memory, and this machine has "
            f"{size_text(machine.memory)}: a smaller image or model is quicker, and sure to fit"
        )
    return ""
