"""What the sections of several backends have in common: how options are declared, removed and recovered."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from imagegen.errors import InputError, Problem
from imagegen.plan.request import Request

__all__ = [
    *("ALL_FIELDS", "INIT_STRENGTH", "LORAS", "NAME", "STRENGTH"),
    *("address", "find_url", "normalise", "option", "recover_options", "remove_options", "resolve_loras"),
]

ALL_FIELDS = frozenset({"prompt", "negative", "width", "height", "steps", "cfg", "sampler", "scheduler", "seed"})
"""Those of a request that decide the pixels, where a backend takes them all."""
NAME = {"type": "text", "minlength": 1, "maxlength": 500}
"""A name or a path."""
STRENGTH = {"type": "number", "min": -100, "max": 100}
"""Of a LoRA."""


def option(description: str, **rules: Any) -> dict[str, Any]:
    """Return the schema of an option. description: shown by editors, beside what `meta` of the rules has."""
    return {**rules, "meta": {**rules.get("meta", {}), "description": description}}


def address(example: str) -> dict[str, Any]:
    """Return the rules of a server's address. example: such as http://127.0.0.1:8188."""
    return {
        "type": "text",
        "regex": r"https?://[^/\s@]+(/[^\s@]*)?",
        "meta": {"expected": f"address such as {example}, without a user or password in it"},
    }


def find_url(extra: Mapping[str, Any], default: str) -> str:
    """Return the address of the server that a job's section names, or else the default."""
    return str(extra.get("server", {}).get("url") or default).rstrip("/")


LORAS = option("LoRAs: each name with its strength.", type="mapping", keysrules=NAME, valuesrules=STRENGTH)
INIT_STRENGTH = option(
    "How far the picture may go from images.init: 0 keeps it, 1 ignores it.", type="number", min=0, max=1
)


def normalise(name: str) -> str:
    """Return a file's name as it is written on every system, so that a job is the same on all of them."""
    return name.replace("\\", "/")


def resolve_loras(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a section's `loras` comes to; nothing if it has none."""
    loras = section.get("loras", {})
    return {"loras": {normalise(name): float(strength) for name, strength in loras.items()}} if loras else {}


def remove_options(request: Request, names: Collection[str]) -> Request:
    """Return the request without these options of its section, as for `Backend.strip_local`."""
    return replace(request, extra={key: value for key, value in request.extra.items() if key not in names})


def recover_options(fields: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return these options of recorded fields, as for `Backend.recover_section`. Raises ImagegenError."""
    if "images" in fields:
        what = "was generated from reference images, of which only the digests are recorded"
        raise InputError(Problem("", what, "add an item to a job that names them, or give --backend"))
    return {key: fields[key] for key in names if key in fields}
