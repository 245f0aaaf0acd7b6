"""Keys of what a job file says: where two have the same key, they say the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.config.document import Document

__all__ = ["Keys", "keys_of"]


@dataclass(frozen=True)
class Keys:
    """head: of all but the items. items: of each, in order."""

    head: str
    items: tuple[str, ...]


def keys_of(document: Document) -> Keys | None:
    """Of a job whose outputs each follow from their own item and from what all share; None of any other.

    A source has items of its own, a sheet shows all of them, derived files follow from images, and seeds in sequence
    from their places.
    """
    values = document.values
    items = values.get("items") if isinstance(values, dict) else None
    if not isinstance(items, list) or not items or values.keys() & {"source", "derive", "sheet"} or _counts(values):
        return None
    head = {key: value for key, value in values.items() if key != "items"}
    return Keys(_key(head), tuple(map(_key, items)))


def _counts(values: Mapping[str, Any]) -> bool:
    generate = values.get("generate")
    seed = generate.get("seed") if isinstance(generate, dict) else None
    return isinstance(seed, dict) and seed.get("mode") == "sequence"


def _key(value: object) -> str:
    """repr tells 7, 7.0, True and '7' apart. That it tells of the order of keys too only costs time."""
    return hashlib.blake2b(repr(value).encode("utf-8"), digest_size=12).hexdigest()
