"""The grammar of a job's section `ollama`, with the types and rules of `config.schema`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["DEFAULT_MODEL", "OPTIONS"]

DEFAULT_MODEL = "x/z-image-turbo"
_NAME = (
    r"(?:(?:[A-Za-z0-9_][A-Za-z0-9_.-]*(?::[0-9]+)?/)?[A-Za-z0-9_][A-Za-z0-9_-]{0,79}/)?"
    r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,79})?"
)
"""HOST/NAMESPACE/MODEL:TAG as Ollama 0.32.5 takes it. No part begins with a dot, and so none leads out of a folder."""

OPTIONS: Mapping[str, Any] = {
    "model": {
        "type": "text",
        "minlength": 1,
        "maxlength": 350,
        "regex": _NAME,
        "meta": {"description": "The model that draws.", "expected": f"model ID, such as {DEFAULT_MODEL}"},
    }
}
