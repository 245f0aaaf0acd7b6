"""Prompt sources: files that yield items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "MAX_ITEMS",
    "SourceItem",
]


MAX_ITEMS = 200_000
"""Of one prompt source: no job can have more images."""


@dataclass(frozen=True)
class SourceItem:
    """An item as its source gives it, unchecked."""

    name: str
    prompt: str
    negative: str | None
    overrides: Mapping[str, Any]  # its own fields of `generate`
    marks: Mapping[str, str]  # `file:line:column` of 'name', 'prompt', and each override
