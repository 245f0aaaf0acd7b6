"""The grammar of a job file: one Cerberus schema, from which everything else that knows it is derived.

Types are our own, because Cerberus takes True as an integer and NaN as a float.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["ITEM_SCHEMA", "job_schema"]

Schema = dict[str, Any]

SEED: Schema = {"type": "whole", "min": 0, "max": 2**64 - 1}

COMMON: Schema = {
    "width": {"type": "whole", "min": 16, "max": 8192},
    "height": {"type": "whole", "min": 16, "max": 8192},
    "steps": {"type": "whole", "min": 1, "max": 10_000},
    "cfg": {"type": "number", "min": 0, "max": 1000},
    "sampler": {"type": "text", "minlength": 1, "maxlength": 100},
    "scheduler": {"type": "text", "minlength": 1, "maxlength": 100},
    "negative": {"type": "text", "maxlength": 20_000},
    "timeout_s": {"type": "number", "min": 0.01, "max": 7 * 24 * 3600},
}
"""The fields of `generate`, and of an item, but for the seed: an item's is one number, a job's may be a rule."""

ITEM_SCHEMA: Schema = {
    "name": {"type": "text", "required": True, "minlength": 1, "maxlength": 200},
    "prompt": {"type": "text", "required": True, "minlength": 1, "maxlength": 20_000},
    **COMMON,
    "seed": SEED,
}

_AXIS_NAME = "^[a-z][a-z0-9_]*$"
_VALUE_TEXT: Schema = {"type": ["text", "whole", "number"]}
_AXIS: Schema = {
    "anyof": [
        {"type": "list", "minlength": 1, "schema": _VALUE_TEXT},
        {"type": "mapping", "minlength": 1, "valuesrules": _VALUE_TEXT},
    ]
}
_INCLUDED: Schema = {
    "anyof": [_VALUE_TEXT, {"type": "mapping", "minlength": 1, "maxlength": 1, "valuesrules": _VALUE_TEXT}]
}
"""A value by its name, or a value of its own: {name: text}."""


def _cells(value: Schema) -> Schema:
    """Entries that name cells of the matrix: axis → value."""
    return {"type": "list", "minlength": 1, "schema": {"type": "mapping", "minlength": 1, "valuesrules": value}}


def job_schema(sections: Mapping[str, Mapping[str, Any]]) -> Schema:
    """The schema of a job file. sections: each backend's name → the schema of its section."""
    return {
        "description": {"type": "text", "maxlength": 1000},
        "backend": {"type": "text", "allowed": sorted(sections)},
        "generate": {
            "type": "mapping",
            "schema": {
                **COMMON,
                "seed": {
                    "type": ["whole", "mapping"],
                    "min": 0,
                    "max": 2**63,
                    "schema": {
                        "mode": {"type": "text", "allowed": ["by-name", "sequence", "fixed", "random"]},
                        "base": {"type": "whole", "min": 0, "max": 2**63},
                    },
                },
            },
        },
        "prompt": {
            "type": "mapping",
            "schema": {
                "prefix": {"type": "text", "maxlength": 20_000},
                "suffix": {"type": "text", "maxlength": 20_000},
            },
        },
        "source": {"type": "text", "minlength": 1, "maxlength": 500},
        "items": {
            "type": "list",
            "minlength": 1,
            "schema": {"type": "mapping", "schema": ITEM_SCHEMA},
        },
        "matrix": {
            "type": "mapping",
            "minlength": 1,
            "keysrules": {"type": "text", "regex": _AXIS_NAME, "forbidden": ["slug", "item", "variant"]},
            "schema": {"include": _cells(_INCLUDED), "exclude": _cells(_VALUE_TEXT)},
            "allow_unknown": _AXIS,  # every other key is an axis
        },
        "variants": {"type": "whole", "min": 1, "max": 1000},
        "output": {
            "type": "mapping",
            "schema": {
                "dir": {"type": "text", "minlength": 1, "maxlength": 500},
                "name": {"type": "text", "minlength": 1, "maxlength": 200},
                "format": {"type": "text", "allowed": ["png", "webp", "jpeg"]},
                "quality": {"type": "whole", "min": 1, "max": 100},
                "overwrite": {"type": "text", "allowed": ["own", "never", "always"]},
                "metadata": {"type": "text", "allowed": ["full", "none"]},
            },
        },
        **{name: {"type": "mapping", "schema": dict(options)} for name, options in sections.items()},
    }
