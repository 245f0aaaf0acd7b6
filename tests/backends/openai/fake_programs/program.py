"""What a program with OpenAI's images API is to a fake server: what it says, and the picture that it makes."""
# ruff: noqa: ARG002 - what one program looks at, another ignores

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, ClassVar

from PIL import Image

__all__ = ["Answer", "Picture", "Program", "Refusal", "each_side", "read_size", "refuse"]


@dataclass(frozen=True)
class Answer:
    """What is said over HTTP. body: JSON; a text or bytes are sent as they are."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> tuple[bytes, str]:
        """Return the body, and its type."""
        if isinstance(self.body, bytes):
            return self.body, "application/octet-stream"
        if isinstance(self.body, str):
            return self.body.encode(), "text/html" if self.body.startswith("<") else "text/plain"
        return (b"" if self.body is None else json.dumps(self.body).encode()), "application/json"


class Refusal(Exception):  # noqa: N818 - an answer
    def __init__(self, status: int, body: Any = None, **headers: str) -> None:
        super().__init__(status)
        self.answer = Answer(status, body, headers)


@dataclass(frozen=True)
class Picture:
    """What a picture was made with, as the program understood it."""

    prompt: str
    size: tuple[int, int]
    seed: int
    negative: str = ""
    steps: int = 20
    cfg: float = 7.0
    true_cfg: float | None = None
    sampler: str = ""
    scheduler: str = ""
    model: str = ""
    quality: str = ""
    background: str = ""
    format: str = "png"

    def encode(self) -> bytes:
        """Return the file: two colours that follow from everything else."""
        digest = hashlib.sha256(repr(replace(self, format="")).encode()).digest()
        width, height = self.size
        image = Image.new("RGB", self.size, tuple(digest[:3]))
        image.paste(tuple(digest[3:6]), (0, 0, width, height // 2))
        buffer = io.BytesIO()
        image.save(buffer, self.format, **({"compress_level": 1} if self.format == "png" else {}))
        return buffer.getvalue()


class Program:
    """One program. gets: what it answers to a GET, by path."""

    prefix: ClassVar[str] = "/v1"
    headers: ClassVar[Mapping[str, str]] = {}
    gets: Mapping[str, Any] = {}

    def get(self, path: str) -> Answer:
        found = self.gets.get(path)
        return (
            found if isinstance(found, Answer) else self.missing("GET", path) if found is None else Answer(200, found)
        )

    def missing(self, method: str, path: str) -> Answer:
        """Return the answer to a path that it does not have."""
        del method, path
        return Answer(404, {"detail": "Not Found"})

    def unauthorized(self, authorization: str | None) -> Answer:
        """Return the answer to a request without its key."""
        del authorization
        return Answer(401, {"error": "Unauthorized"})

    def is_open(self, path: str) -> bool:
        """Whether the path needs no key."""
        return not path.startswith("/v1")

    def read(self, body: Any, authorization: str | None) -> Picture:
        """Return the picture that it makes for a request. Raises Refusal."""
        del authorization
        raise Refusal(404, self.missing("POST", "").body)

    def present(self, picture: Picture, image: str, body: Mapping[str, Any]) -> Any:
        """Return the answer with the image, in base64."""
        del picture, body
        return {"created": 1795952061, "data": [{"b64_json": image}]}

    def price(self, picture: Picture) -> Decimal:
        """Return what a picture cost, in US dollars."""
        del picture
        return Decimal(0)


def refuse(status: int, message: str, kind: str = "", **more: Any) -> Refusal:
    """Return a refusal in OpenAI's form."""
    return Refusal(status, {"error": {"message": message, "type": kind, "param": None, "code": None, **more}})


def read_size(text: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    return (int(found[1]), int(found[2])) if found else None


def each_side(size: tuple[int, int], change: Callable[[int], int]) -> tuple[int, int]:
    return change(size[0]), change(size[1])
