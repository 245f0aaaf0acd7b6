"""One image: what the server takes from a request, ignoring what it doesn't know, and pixels that follow from all of it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
import struct
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tests.backends.sd.fake_sd_server.command_line import SAMPLERS, SCHEDULERS, say

__all__ = ["InvalidError", "Picture", "read_body"]

_CELL = 8
_FORMATS = ("png", "jpeg", "webp")
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF")


class InvalidError(Exception):
    """The request is refused with 400."""


@dataclass(frozen=True)
class Picture:
    """What decides the pixels of an image, but for the model."""

    prompt: str = ""
    negative: str = ""
    width: int = 512
    height: int = 512
    seed: int = 42
    steps: int = 20
    cfg: float = 7.0
    guidance: float = 3.5
    sampler: str = "euler_a"
    scheduler: str = "discrete"
    clip_skip: int = 1
    strength: float = 0.75
    loras: Mapping[str, float] = field(default_factory=dict)
    init: str = ""
    refs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """By which a test says which image it means."""
        return f"{self.prompt} (seed {self.seed})"

    @property
    def sampled_steps(self) -> int:
        """How many steps are done: fewer where it starts from an image."""
        return min(self.steps, int(self.steps * self.strength) + 1) if self.init else self.steps

    def rounded(self, multiple: int) -> Picture:
        """Return it with its size rounded up, as the server does it."""
        width, height = (size + -size % multiple for size in (self.width, self.height))
        if (width, height) != (self.width, self.height):
            text = f"align generation request up {self.width}x{self.height} to {width}x{height} (multiple={multiple})"
            say("WARN", "stable-diffusion.cpp:2623", text)
        return replace(self, width=width, height=height)

    def encode(self, model: Mapping[str, str]) -> bytes:
        """Return the PNG. Its pixels follow from every field, and from what `model` says, but for its name."""
        decisive = asdict(self)
        if not self.init:
            decisive.pop("strength")
        decisive["loras"] = None  # their content counts, and is in `model`
        seed = json.dumps([decisive, {**model, "name": None}], sort_keys=True).encode()
        columns, rows = -(-self.width // _CELL), -(-self.height // _CELL)
        cells = hashlib.shake_256(seed).digest(3 * columns * rows)
        lines = []
        for row in range(rows):
            cut = cells[3 * columns * row : 3 * columns * (row + 1)]
            line = b"".join(cut[at : at + 3] * _CELL for at in range(0, len(cut), 3))[: 3 * self.width]
            lines += [b"\0" + line] * _CELL
        head = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        text = b"parameters\0" + self._describe(model).encode("utf-8")
        data = zlib.compress(b"".join(lines[: self.height]), 1)
        return _MAGIC[0] + _chunk(b"IHDR", head) + _chunk(b"tEXt", text) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")

    def _describe(self, model: Mapping[str, str]) -> str:
        negative = f"\nNegative prompt: {self.negative}" if self.negative else ""
        facts = {
            "Steps": self.steps,
            "CFG scale": f"{self.cfg:.6f}",
            "Guidance": f"{self.guidance:.6f}",
            "Eta": "inf",
            "Seed": self.seed,
            "Size": f"{self.width}x{self.height}",
            "Model": model["name"],
            "RNG": model["rng"],
            "Sampler": f"{self.sampler} {self.scheduler}",
            "Version": "stable-diffusion.cpp",
        }
        return f"{self.prompt}{negative}\n" + ", ".join(f"{name}: {value}" for name, value in facts.items())


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def read_body(body: Mapping[str, Any], default_sampler: str, loras: Mapping[str, str]) -> Picture:
    """Return what a request asks for: a value of the wrong type or an unknown name counts as not given.

    Args:
        default_sampler: the model's.
        loras: the file of each LoRA by its path in the folder.

    Raises:
        InvalidError: the server would refuse it.
    """
    sample = _mapping(body, "sample_params")
    guidance = _mapping(sample, "guidance")
    seed = _integer(body, "seed", 42, 64)
    width, height = _integer(body, "width", 512), _integer(body, "height", 512)
    picture = Picture(
        _text(body, "prompt"),
        _text(body, "negative_prompt"),
        width=width if width > 0 else 512,
        height=height if height > 0 else 512,
        seed=secrets.randbelow(2**31) if seed < 0 else seed,
        steps=min(100, max(1, _integer(sample, "sample_steps", 20))),
        cfg=_number(guidance, "txt_cfg", 7.0),
        guidance=_number(guidance, "distilled_guidance", 3.5),
        sampler=_one_of(sample, "sample_method", SAMPLERS, default_sampler),
        scheduler=_one_of(sample, "scheduler", SCHEDULERS, "discrete"),
        clip_skip=max(1, _integer(body, "clip_skip", -1)),
        strength=_number(body, "strength", 0.75),
        loras=_read_loras(body, loras),
        init=_image(body["init_image"], "init_image") if body.get("init_image") is not None else "",
        refs=tuple(_image(one, "ref_images") for one in _list(body, "ref_images")),
    )
    if picture.cfg < 0 or not 0 <= picture.strength <= 1:
        say("ERROR", "common.cpp:1985", "error: cfg_scale must be positive, strength in [0.0, 1.0]")
        raise InvalidError("invalid generation parameters")
    if body.get("output_format", "png").lower() not in _FORMATS:
        raise InvalidError("invalid output_format, must be one of [png, jpeg, webp]")
    return picture


def _read_loras(body: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, float]:
    """Return the strength of each LoRA by its file's content."""
    found: dict[str, float] = {}
    for one in _list(body, "lora"):
        if not isinstance(one, dict) or one.get("path") not in files:
            raise _invalid("lora")
        path = files[one["path"]]
        found[path] = found.get(path, 0.0) + one.get("multiplier", 1.0)
    return found


def _image(value: object, name: str) -> str:
    """Return the sha256 of an image in base64, or in a data URI."""
    try:
        data = base64.b64decode(str(value).rpartition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        raise _invalid(name) from None
    if not data.startswith(_MAGIC):
        raise _invalid(name)
    return hashlib.sha256(data).hexdigest()


def _invalid(name: str) -> InvalidError:
    say("ERROR", "common.cpp:1703", f"invalid {name}")
    return InvalidError("invalid generation parameters")


def _mapping(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = found.get(name)
    return value if isinstance(value, dict) else {}


def _list(found: Mapping[str, Any], name: str) -> list[Any]:
    value = found.get(name, [])
    if not isinstance(value, list):
        raise _invalid(name)
    return value


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) else ""


def _integer(found: Mapping[str, Any], name: str, default: int, bits: int = 32) -> int:
    """Return an integer as C++ reads it: 2**63 is below zero, and what 64 bits cannot hold is not an integer."""
    value: Any = found.get(name)
    if type(value) is not int or not -(2**63) <= value < 2**64:
        return default
    wrapped: int = value % 2**bits
    return wrapped - 2**bits if wrapped >= 2 ** (bits - 1) else wrapped


def _number(found: Mapping[str, Any], name: str, default: float) -> float:
    value = found.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else default


def _one_of(found: Mapping[str, Any], name: str, known: tuple[str, ...], default: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) and value in known else default
