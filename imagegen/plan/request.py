"""The request: everything that decides the pixels of one image, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from imagegen.config.schema import GenerateFields

__all__ = ["Request", "canonical_fields", "fingerprint", "select_parameters"]


@dataclass(frozen=True)
class _Item:
    backend: str
    name: str
    prompt: str


@dataclass(frozen=True)
class Request(GenerateFields, _Item):
    """One image, fully resolved; immutable.

    width, height: pixels. seed: None only while a random seed has not been drawn yet.
    model: the checkpoint or model ID, empty where the backend has none.
    extra: the job's section for this backend, by key. given: the fields that the job itself gives, sorted; of the
    others the values are our defaults.
    """

    seed: int | None = None
    model: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    given: tuple[str, ...] = ()


_FIRST = frozenset({"negative", "width", "height", "steps", "cfg", "sampler", "scheduler"})
"""The fields of the first release, which are in every fingerprint."""
_ADDED = {one.name: one.default for one in fields(GenerateFields) if one.name not in _FIRST}
"""Those of later releases, with the values at which they are left out, so that adding them made nothing stale."""


def select_parameters(
    request: Request, parameters: frozenset[str], only_if_given: frozenset[str] = frozenset()
) -> frozenset[str]:
    """Return the parameters that enter this request's fingerprint.

    Args:
        parameters: those that the backend honours.
        only_if_given: those among them that count where the job gives them, whatever their value: what the backend
            takes otherwise, from a workflow for example, need not be our default.

    """
    unchanged = {name for name, default in _ADDED.items() if getattr(request, name) == default}
    return parameters - (only_if_given - {*request.given}) - (unchanged - only_if_given)


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
    """SHA-256 (64 hex digits) of the canonical JSON of `canonical_fields`."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
