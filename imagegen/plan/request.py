"""The request: everything that decides the pixels of one image, and its fingerprint."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from imagegen.config.schema import GenerateFields

__all__ = ["ADDED_FIELDS", "CanonicalFields", "Request", "canonical_fields", "fingerprint", "select_parameters"]


@dataclass(frozen=True)
class _Item:
    backend: str
    name: str
    prompt: str


@dataclass(frozen=True)
class Request(GenerateFields, _Item):
    """One image, fully resolved; immutable."""

    seed: int | None = None  # None: a random seed has not been chosen yet
    model: str = ""  # the checkpoint or model ID, if the backend has any
    extra: Mapping[str, Any] = field(default_factory=dict)  # the job's section for this backend
    given: tuple[str, ...] = ()  # the fields that the job gives, sorted; the others are our defaults


_FIRST = frozenset({"negative", "width", "height", "steps", "cfg", "sampler", "scheduler"})
"""The fields of the first release, which are in every fingerprint."""
ADDED_FIELDS = {one.name: one.default for one in fields(GenerateFields) if one.name not in _FIRST}
"""Those of later releases, with the values at which they are left out, so that adding them made nothing stale."""


def select_parameters(
    request: Request, parameters: frozenset[str], only_if_given: frozenset[str] = frozenset()
) -> frozenset[str]:
    """Return the parameters that enter this request's fingerprint.

    Args:
        request: the request.
        parameters: those that the backend uses.
        only_if_given: those of them that count only if the job gives them, and then whatever their value: what the
            backend uses otherwise, from a workflow for example, may not be our default.
    """
    unchanged = tuple([name for name, default in ADDED_FIELDS.items() if getattr(request, name) == default])
    return _select(parameters, only_if_given, request.given, unchanged)


@functools.lru_cache(maxsize=1024)
def _select(
    parameters: frozenset[str], only_if_given: frozenset[str], given: tuple[str, ...], unchanged: tuple[str, ...]
) -> frozenset[str]:
    """Return the parameters: the same object for all images of a job that are alike in this."""
    return parameters - only_if_given.difference(given) - frozenset(unchanged).difference(only_if_given)


def canonical_fields(request: Request, parameters: Iterable[str]) -> dict[str, Any]:
    """Return what decides the pixels: backend, model, and the parameters.

    A parameter that is not a field of `Request` is looked up in `extra`, and left out if it is not there.
    """
    fields: dict[str, Any] = {"backend": request.backend, "model": request.model}
    for name in parameters:
        if name in Request.__dataclass_fields__:
            fields[name] = getattr(request, name)
        elif name in request.extra:
            fields[name] = request.extra[name]
    return fields


class CanonicalFields(Mapping[str, Any]):
    """What `canonical_fields` returns, found when it is asked for: a dict of each image takes seven times as much."""

    __slots__ = ("_parameters", "_request")

    def __init__(self, request: Request, parameters: frozenset[str]) -> None:
        self._request, self._parameters = request, parameters

    def __getitem__(self, name: str) -> Any:
        return canonical_fields(self._request, self._parameters & {name})[name]

    def __iter__(self) -> Iterator[str]:
        return iter(canonical_fields(self._request, self._parameters))

    def __len__(self) -> int:
        return len(canonical_fields(self._request, self._parameters))


def fingerprint(fields: Mapping[str, Any]) -> str:
    """Return the SHA-256 (64 hex digits) of the canonical JSON of `canonical_fields`."""
    return hashlib.sha256(_ENCODER.encode(fields).encode("utf-8")).hexdigest()


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
