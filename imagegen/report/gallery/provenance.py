"""What a request, a lock file or the store says of how a picture was generated, as the page shows it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from imagegen.plan.record import OutputLine
from imagegen.report.gallery.picture import Provenance
from imagegen.state.store import StoreEntry

__all__ = ["as_text", "provenance_of", "to_provenance"]

_SHOWN_SEPARATELY = frozenset({"backend", "model", "name", "prompt", "negative", "seed"})
"""Fields of a request that `Provenance` has itself, or that say nothing of how the picture was generated."""


def to_provenance(request: Mapping[str, Any], **known: Any) -> Provenance:
    """Return what a request's canonical fields say, and fields of `Provenance` that no request has."""
    return Provenance(
        prompt=as_text(request.get("prompt", "")),
        negative=as_text(request.get("negative", "")),
        seed=as_text(request.get("seed")),
        backend=as_text(request.get("backend", "")),
        model=as_text(request.get("model", "")),
        parameters=tuple(_flat({key: value for key, value in request.items() if key not in _SHOWN_SEPARATELY})),
        **known,
    )


def provenance_of(source: OutputLine | StoreEntry, request: Mapping[str, Any]) -> Provenance:
    """Return how a picture was generated, by its line in the lock file or its entry in the store."""
    return to_provenance(
        request,
        version=source.backend_version,
        digest=source.model_digest or "",
        seconds=source.seconds,
        time=source.time,
    )


def _flat(fields: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield field by field; of mappings, key by key."""
    for key, value in sorted(fields.items()):
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", as_text(value)


def as_text(value: object) -> str:
    """Return a value of a request as the page shows it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return str(value) if type(value) is int else _as_json(value)


_as_json = json.JSONEncoder(ensure_ascii=False).encode
"""`json.dumps` would make an encoder for each value."""
