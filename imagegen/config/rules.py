"""The rules of a Cerberus schema, one function for each kind of value."""

from __future__ import annotations

from typing import Any, get_args

__all__ = ["Schema", "list_of", "mapping", "number", "one_of", "rules", "text", "whole"]

Schema = dict[str, Any]


def rules(types: str | list[str], description: str = "", **others: Any) -> Schema:
    """Return the rules of a value of these types, with its description for editors."""
    meta = others.pop("meta", {}) | ({"description": description} if description else {})
    return {"type": types, **others, **({"meta": meta} if meta else {})}


def whole(description: str, least: int, most: int, **others: Any) -> Schema:
    """Return the rules of a whole number from least to most."""
    return rules("whole", description, min=least, max=most, **others)


def number(description: str, least: float, most: float, **others: Any) -> Schema:
    """Return the rules of a number from least to most."""
    return rules("number", description, min=least, max=most, **others)


def text(description: str, longest: int, shortest: int = 1, **others: Any) -> Schema:
    """Return the rules of a text of so many characters."""
    return rules("text", description, **({"minlength": shortest} if shortest else {}), maxlength=longest, **others)


def one_of(values: Any, description: str, **others: Any) -> Schema:
    """Return the rules of a text that is one of a Literal's values."""
    return rules("text", description, allowed=list(get_args(values)), **others)


def mapping(description: str, keys: Schema, **others: Any) -> Schema:
    """Return the rules of a mapping with these keys."""
    return rules("mapping", description, schema=keys, **others)


def list_of(description: str, entry: Schema) -> Schema:
    """Return the rules of a list that has at least one entry."""
    return rules("list", description, minlength=1, schema=entry)
