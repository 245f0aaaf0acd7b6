"""The hosted API, and what only looks like one. Read in openai-python 3.57.0, LM Studio's and llama.cpp's documents."""
# ruff: noqa: ARG002, S311 - what one program looks at, another ignores; and no seed is a secret

from __future__ import annotations

import random
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

from tests.backends.openai.fake_programs.program import Answer, Picture, Program, Refusal, read_size, refuse

__all__ = ["Hosted", "LMStudio", "LlamaCpp", "Page", "Unknown"]


class Hosted(Program):
    """OpenAI's own: it refuses what it does not know, and charges for each picture."""

    headers: ClassVar[Mapping[str, str]] = {"x-request-id": "req_fake0001"}
    models: tuple[str, ...] = ("gpt-image-2", "gpt-image-1-mini", "gpt-5.5")
    has_models: bool = True
    """Whether it lists its models: some that speak this API don't."""
    changes: Mapping[str, Any] = {}
    """What its answers say otherwise."""
    own_size: tuple[int, int] | None = None
    """That of each picture, whatever was asked for."""
    PRICES: ClassVar[Mapping[str, str]] = {"low": "0.006", "medium": "0.053", "high": "0.211"}
    _KEYS = frozenset(
        "model prompt n size quality background output_format output_compression moderation user".split()  # noqa: SIM905
    )

    def get(self, path: str) -> Answer:
        if path == "/v1/models" and self.has_models:
            data = [{"id": name, "object": "model", "created": 1, "owned_by": "system"} for name in self.models]
            return Answer(200, {"object": "list", "data": data})
        return super().get(path)

    def missing(self, method: str, path: str) -> Answer:
        return Answer(404, refuse(404, f"Invalid URL ({method} {path})", "invalid_request_error").answer.body)

    def unauthorized(self, authorization: str | None) -> Answer:
        said = f"Incorrect API key provided: {authorization}" if authorization else "You didn't provide an API key."
        return Answer(401, refuse(401, said, "invalid_request_error", code="invalid_api_key").answer.body)

    def read(self, body: Any, authorization: str | None) -> Picture:
        for key in body:
            if key not in self._KEYS:
                what = f"Unknown parameter: '{key}'."
                raise refuse(400, what, "invalid_request_error", param=key, code="unknown_parameter")
        if body.get("model") not in self.models:
            what = f"The model '{body.get('model')}' does not exist."
            raise refuse(404, what, "invalid_request_error", code="model_not_found")
        size = (1024, 1024) if body.get("size", "auto") == "auto" else read_size(body["size"])
        if not size or size[0] % 16 or size[1] % 16 or not 655_360 <= size[0] * size[1] <= 8_294_400:
            raise refuse(400, f"Invalid size '{body.get('size')}'.", "invalid_request_error", param="size")
        quality = body.get("quality", "auto")
        if quality not in ("auto", "low", "medium", "high"):
            raise refuse(400, f"Invalid value: '{quality}'.", "invalid_request_error", param="quality")
        background = body.get("background", "auto")
        kind = body.get("output_format", "png")
        if background == "transparent" and kind == "jpeg":
            raise refuse(400, "Transparent background is not supported for this format.", param="background")
        return Picture(
            body["prompt"],
            self.own_size or size,
            seed=random.randrange(2**32),
            model=body["model"],
            quality="medium" if quality == "auto" else quality,
            background="opaque" if background == "auto" else background,
            format=kind,
        )

    def present(self, picture: Picture, image: str, body: Mapping[str, Any]) -> Any:
        usage = {"input_tokens": 10, "output_tokens": 1056, "total_tokens": 1066}
        return {
            **super().present(picture, image, body),
            "background": picture.background,
            "output_format": picture.format,
            "quality": picture.quality,
            "size": "{}x{}".format(*picture.size),
            "usage": usage,
            **self.changes,
        }

    def price(self, picture: Picture) -> Decimal:
        return Decimal(self.PRICES[picture.quality])


class LMStudio(Program):
    """LM Studio: 200 to everything."""

    gets: Mapping[str, Any] = {
        "/v1/models": {
            "object": "list",
            "data": [{"id": "qwen3-4b", "object": "model", "owned_by": "organization_owner"}],
        },
        "/api/v1/models": {"models": [{"key": "qwen3-4b"}]},
    }

    def missing(self, method: str, path: str) -> Answer:
        return Answer(200, {"error": f"Unexpected endpoint or method. ({method} {path})"})

    def read(self, body: Any, authorization: str | None) -> Picture:
        raise Refusal(200, self.missing("POST", "/v1/images/generations").body)


class LlamaCpp(Program):
    """llama.cpp's server."""

    headers: ClassVar[Mapping[str, str]] = {"Server": "llama.cpp"}
    gets: Mapping[str, Any] = {
        "/v1/models": {"object": "list", "data": [{"id": "m.gguf", "object": "model", "owned_by": "llamacpp"}]},
        "/health": {"status": "ok"},
    }

    def missing(self, method: str, path: str) -> Answer:
        return Answer(404, {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}})


class Page(Program):
    """A web application: its page for every path."""

    def missing(self, method: str, path: str) -> Answer:
        return Answer(200, "<!doctype html><title>Open WebUI</title>")


class Unknown(Hosted):
    """Some proxy that has this API, and does not say what is behind it."""

    def get(self, path: str) -> Answer:
        if path == "/v1/models":
            return Answer(200, {"object": "list", "data": [{"id": "flux", "object": "model", "owned_by": "us"}]})
        return super().get(path)
