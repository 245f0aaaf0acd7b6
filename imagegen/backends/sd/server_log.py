"""What `sd-server` writes: how far its model is loaded, an image's steps, its errors and its device.

A bar is written again and again in one line, each time after a carriage return. Of a log of any size, only so much is
read. Source of the forms: stable-diffusion.cpp's util.cpp and log.cpp, and ggml's ggml-vulkan.cpp, ggml-cuda.cu and
ggml-metal-device.m, July 2026.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from imagegen.backends.text import one_line, plain_lines

__all__ = ["LOG", "ServerLog", "Stage"]

LOG = Path(".imagegen/sd/server.log")
"""The server's log, from the project's root; its record and lock are beside it."""
_MOST = 256 * 1024
"""Bytes of the log that are looked at: an image writes some 10 KB."""
_RECENT = 16 * 1024
"""Bytes of it that tell what goes on: a bar has some 80, and an image at most 100 steps."""
_LONGEST = 300


@dataclass(frozen=True)
class Stage:
    """How far an image is: steps that are done, of so many; then the picture is decoded."""

    done: int
    total: int
    is_decoding: bool = False


class ServerLog:
    """The log of the project at `root`, from `mark` on."""

    def __init__(self, root: Path) -> None:
        self._path = root / LOG
        self._begin = 0

    def mark(self) -> None:
        """Look from now on only at what is written from now on."""
        with suppress(OSError):
            self._begin = self._path.stat().st_size

    def mark_last_image(self) -> None:
        """Look at what is written since the last image was begun: an earlier run began it."""
        with suppress(OSError), self._path.open("rb") as log:
            begin = max(0, log.seek(0, os.SEEK_END) - _MOST)
            log.seek(begin)
            self._begin = begin + max(0, log.read(_MOST).rfind(_IMAGE))

    def read_loading(self) -> int | None:
        """Return how much of the model is loaded, in per cent; None if that is not written."""
        found = re.findall(_LOADING, self._read(_RECENT))
        return min(100, 100 * int(found[-1][0]) // max(1, int(found[-1][1]))) if found else None

    def read_stage(self) -> Stage | None:
        """Return how far the image is; None before its first step."""
        _, has_begun, text = self._read(_RECENT).rpartition(_SAMPLING)
        sampling, is_sampled, _ = text.partition(_SAMPLED)
        found = re.findall(_STEP, sampling) if has_begun else []
        done, total = map(int, found[-1]) if found else (0, 0)
        return Stage(done, total, bool(is_sampled)) if 0 < done <= total else None

    def read_errors(self) -> list[str]:
        """Return the lines that say what went wrong, without where in the engine's code that was."""
        lines = [re.sub(_BAR, "", line) for line in plain_lines(self._read(_MOST))]
        return [one_line(match[1] or match[2], _LONGEST) for line in lines if (match := re.search(_ERROR, line))]

    def read_idle_loras(self) -> list[str]:
        """Return the LoRAs that had no effect on an image, which is generated all the same: their paths."""
        return [one_line(match[1] or match[2], _LONGEST) for match in re.finditer(_IDLE_LORA, self._read(_MOST))]

    def has_text_encoder(self) -> bool:
        """Return whether the model can read prompts: without that, sd-server loads it, and ends at its first image."""
        return _NO_ENCODER not in self._read(_MOST)

    def read_device(self) -> str:
        """Return the device that the model is on, such as `vulkan: NVIDIA GeForce RTX 4070`; empty if it isn't named.

        Of several, it is the first, as in the engine, unless SD_VK_DEVICE chose another.
        """
        header = self._read(_MOST, from_begin=True)
        for kind, pattern in _DEVICES.items():
            if found := re.findall(pattern, header):
                chosen = re.search(_CHOSEN, header)
                number = int(chosen[1]) if chosen else 0
                return f"{kind}: {one_line(found[min(number, len(found) - 1)], 60)}"
        return "cpu" if re.search(_CPU, header) else ""

    def has_no_gpu(self) -> bool:
        """Return whether a program that is built for a GPU finds none that it can use."""
        return bool(re.search(_NO_GPU, self._read(_MOST, from_begin=True)))

    def _read(self, most: int, *, from_begin: bool = False) -> str:
        """Return the last `most` bytes since the mark, or the first ones of all; of a new, shorter log too."""
        with suppress(OSError), self._path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            begin = self._begin if size >= self._begin else 0
            log.seek(0 if from_begin else max(begin, size - most))
            return log.read(most).decode("utf-8", "replace")
        return ""


_LOADING = r"\| (\d{1,9})/(\d{1,9}) - [\d.]+[KMG]?B/s"
_STEP = r"\| (\d{1,6})/(\d{1,6}) - [\d.]+(?:s/it|it/s)"
_IMAGE = b" - generate_image "
_SAMPLING, _SAMPLED = "generating image: ", "sampling completed"
"""Written before an image's first step and after its last. Coding in tiles has a bar of the same form as the steps."""
_BAR = r"^ *\|[=> ]*\| \d+/\d+ - [\d.]+(?:[KMG]?B/s|s/it|it/s)"
"""An error may come right after it: its line ends only with the last step."""
_ERROR = (
    r"^\[ERROR\] (?:\S+:\d+ +- +)?(.+)"
    r"|^(?:\S*[/\\])?([\w.-]+\.(?:c|cc|cpp|cu|cuh|h|hpp|m|mm):\d+: .+"
    r"|terminate called .+|libc\+\+abi: .+| *what\(\): .+|ggml_\w+: .*(?:[Ee]rror|fail).*)"
)
"""Errors of the engine; and what ggml or the language's runtime writes past its log, often before it ends."""
_IDLE_LORA = r"Only \(0 / \d+\) LoRA tensors .*lora_file_path = (.+)|lora model loader from file failed: '(.+)'"
_NO_ENCODER = "No text encoders provided"
_DEVICES = {
    "vulkan": r"ggml_vulkan: \d+ = (.+) \([^()]*\) \|",
    "rocm": r"- +Device \d+: (.+?), gfx",
    "cuda": r"- +Device \d+: (.+?), compute capability",
    "metal": r"(?m)GPU name: +(.+?) *$",
}
_CHOSEN = r"Selecting Vulkan(\d{1,3}) as main device"
_CPU = r"- Using CPU backend"
_NO_GPU = r"ggml_vulkan: No devices found|failed to initialize (?:CUDA|ROCm|MUSA): |- loading CPU backend"
"""Written before it generates on the CPU all the same. A GPU that is software, such as llvmpipe, is none for Vulkan."""
