"""The request: everything that decides the pixels of one image, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Request", "canonical_fields", "fingerprint"]


@dataclass(frozen=True)
class Request:
    """One image, fully resolved; immutable.

    width, height: pixels. seed: None only while a random seed has not been drawn yet.
    model: the checkpoint or model ID, empty where the backend has none.
    extra: the job's section for this backend, by key. given: the fields that the job itself gives, sorted; of the
    others the values are our defaults.
    """

    backend: str
    name: str
    prompt: str
    negative: str = ""
    width: int = 1024
    height: int = 1024
    steps: int = 20
    cfg: float = 7.0
    sampler: str = "euler"
    scheduler: str = "normal"
    seed: int | None = None
    model: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    given: tuple[str, ...] = ()


def canonical_fields(request: Request, parameters: Iterable[str]) -> dict[str, Any]:
    """What decides the pixels: backend, model, and those of the request's fields that the backend honours.

    A parameter that is no field of `Request` is looked up in `extra`, and left out where it is not there: so
    a field that a later release adds makes nothing stale.
    """
    fields: dict[str, Any] = {"backend": request.backend, "model": request.model}
    for name in parameters:
        if name in Request.__dataclass_fields__:
            fields[name] = getattr(request, name)
        elif name in request.extra:
            fields[name] = request.extra[name]
    return fields


def fingerprint(fields: Mapping[str, Any]) -> str:
    """SHA-256 (64 hex digits) of the canonical JSON of `canonical(...)`."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
