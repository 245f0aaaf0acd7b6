"""What the sections of several backends have in common: how options are declared."""

from __future__ import annotations

from typing import Any

__all__ = ["NAME", "STRENGTH", "address", "normalise", "option"]

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


def normalise(name: str) -> str:
    """Return a file's name as it is written on every system, so that a job is the same on all of them."""
    return name.replace("\\", "/")
