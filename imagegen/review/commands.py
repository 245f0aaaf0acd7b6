"""What a page may ask for: which commands, and how each is written on the command line."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from imagegen.plan.remark import LONGEST_NOTE, MARKS

__all__ = ["read_command"]

_OPTIONS: Mapping[str, Mapping[str, type | re.Pattern[str]]] = {
    "build": {},
    "pick": {"variant": int},
    "reroll": {},
    "accept": {},
    "mark": {
        "as": re.compile("|".join([*MARKS, "none"])),
        "note": re.compile(rf"[^\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]{{0,{LONGEST_NOTE}}}"),
    },
    "restore": {"to": re.compile(r"[0-9a-f]{8,64}|[1-9]\d{0,5}", re.ASCII)},
}
"""The commands, each with its options: a type, or what a text matches."""


def read_command(body: Mapping[str, Any], known: Collection[str]) -> list[str] | str:
    """Return the words after `doit`, or why there are none.

    Args:
        body: `{"command": "pick", "images": ["portraits:mallsing"], "variant": 3}`.
        known: names of images and jobs.

    """
    command, images = body.get("command"), body.get("images")
    if not isinstance(command, str) or command not in _OPTIONS:
        return f"there is no command {command!r}"
    if (
        not isinstance(images, list)
        or not images
        or not all(isinstance(name, str) and name in known for name in images)
    ):
        return "it names no images"
    options = []
    for name, kind in _OPTIONS[command].items():
        value = body.get(name)
        if value is not None:
            if not _is_valid(value, kind):
                return f"{name} is not valid"
            # doit takes a word of its own that has = in it for a variable
            options += [f"--{name}={value}"] if name == "note" else [f"--{name}", str(value)]
    if command == "build":
        return [*images]
    confirmed = ["--yes"] if command == "reroll" and len(images) > 1 else []
    return [command, *images, *options, *confirmed]


def _is_valid(value: object, kind: type | re.Pattern[str]) -> bool:
    if isinstance(kind, type):
        return type(value) is kind
    return isinstance(value, str) and kind.fullmatch(value) is not None
