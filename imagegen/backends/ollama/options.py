"""The grammar of a job's section `ollama`, with the types and rules of `config.schema`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["DEFAULT_MODEL", "OPTIONS"]

DEFAULT_MODEL = "x/z-image-turbo"
_NAME = r"(?:[\w.-]+(?::\d+)?/)?(?:[\w.-]+/)?[\w][\w.-]*(?::[\w.-]+)?"

OPTIONS: Mapping[str, Any] = {
    "model": {
        "type": "text",
        "minlength": 1,
        "maxlength": 350,
        "regex": _NAME,
        "meta": {"description": "The model that draws.", "expected": f"a model ID, such as {DEFAULT_MODEL}"},
    }
}
