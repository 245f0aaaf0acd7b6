"""One of the programs: what it is asked for, what it then generates, and how it refuses."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from PIL import Image, PngImagePlugin

__all__ = ["Answer", "Body", "Picture", "Program", "RejectedError", "decode_image", "sha256_of", "stem_of"]

Body = Mapping[str, Any]
Answer = tuple[int, Any]
"""A status, and JSON, or text as it is."""


@dataclass(frozen=True)
class Picture:
    """What really decides the pixels of one image.

    said: the prompt as the program repeats it. asked: the width and height of the request. app: of Draw Things, the settings that the request left to it.
    """

    prompt: str
    negative: str
    width: int
    height: int
    steps: int
    cfg: float
    seed: int
    sampler: str
    scheduler: str
    checkpoint: str
    loras: Mapping[str, float] = field(default_factory=dict)
    init: str = ""
    strength: float = 1.0
    is_whole: bool = True
    said: str = ""
    asked: tuple[int, int] = (0, 0)
    app: Mapping[str, Any] = field(default_factory=dict)

    def encode(self, kind: str) -> bytes:
        """Return the image file. kind: png, jpeg or webp."""
        decisive = json.dumps(asdict(self), sort_keys=True)
        pixels = random.Random(decisive).randbytes(3 * (self.width // 8 or 1) * (self.height // 8 or 1))  # noqa: S311 - reproducible
        small = Image.frombytes("RGB", (self.width // 8 or 1, self.height // 8 or 1), pixels)
        image, buffer = small.resize((self.width, self.height), Image.Resampling.NEAREST), io.BytesIO()
        if kind == "png":
            text = PngImagePlugin.PngInfo()
            text.add_text("parameters", f"{self.prompt}\nSteps: {self.steps}, Seed: {self.seed}")
            image.save(buffer, kind, compress_level=1, pnginfo=text)
        else:
            image.save(buffer, kind)
        return buffer.getvalue()


class RejectedError(Exception):
    """The program answers with an error."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status)
        self.status, self.body = status, body


class Program:
    """One program. Its lists may be changed by a test."""

    name: ClassVar[str]
    samplers: Sequence[str]
    schedulers: Mapping[str, str] = {}
    """Each scheduler's label by its name."""
    checkpoints: Sequence[str] = ("anime/one.safetensors", "two.safetensors")
    loras: Sequence[str] = ("tint", "styles/ink")
    format: str = "png"
    multiple: int = 8
    has_progress: bool = True

    def __init__(self) -> None:
        self.current = next(iter(self.checkpoints), "")
        """The file of the checkpoint that is loaded."""

    def get(self, path: str) -> Answer | None:
        """Answer a GET of something that does not change; None if there is no such thing."""
        raise NotImplementedError

    def read(self, path: str, body: Body) -> Picture:
        """Return what is generated for a request. path: txt2img or img2img. Raises RejectedError."""
        raise NotImplementedError

    def answer(self, image: str, info: Mapping[str, Any], body: Body) -> dict[str, Any]:
        """Return the answer with the image, and with what `describe` says."""
        return {"images": [image], "parameters": dict(body), "info": json.dumps(info) if info else ""}

    def describe(self, picture: Picture) -> dict[str, Any]:
        """Return what the program says of an image; empty if nothing."""
        del picture
        return {}

    def refuse(self, status: int, what: str, kind: str = "HTTPException") -> RejectedError:
        """Return an error as the program words it."""
        return RejectedError(status, {"error": kind, "detail": what, "body": "", "errors": ""})

    def run_out_of_memory(self) -> Answer:
        """Answer an image for which the memory does not suffice."""
        said = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.78 GiB"
        return 500, {"error": "OutOfMemoryError", "detail": "", "body": "", "errors": said}

    def answer_unknown(self) -> Answer:
        """Answer a path that there is not."""
        return 404, {"detail": "Not Found"}

    def _list_checkpoints(self) -> list[dict[str, Any]]:
        return [
            {
                "title": f"{file} [{sha256_of(file)[:10]}]",
                "model_name": file.replace("/", "_").removesuffix(".safetensors"),
                "hash": sha256_of(file)[:10],
                "sha256": sha256_of(file),
                "filename": f"/models/Stable-diffusion/{file}",
                "config": None,
            }
            for file in self.checkpoints
        ]


def sha256_of(text: str) -> str:
    """Return the sha256 that a file of this name has."""
    return hashlib.sha256(text.encode()).hexdigest()


def decode_image(text: str) -> str:
    """Return the sha256 of an image in base64 or in a data URI. Raises ValueError."""
    try:
        data = base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
        Image.open(io.BytesIO(data)).load()
    except (binascii.Error, OSError):
        raise ValueError from None
    return hashlib.sha256(data).hexdigest()


def stem_of(file: str) -> str:
    return file.rpartition("/")[2].rpartition(".")[0] or file.rpartition("/")[2]
