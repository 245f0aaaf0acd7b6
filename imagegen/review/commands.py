"""What a page may ask for: which commands, and how each is written on the command line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagegen.doit_child import LONGEST_LINE, UNWRITABLE
from imagegen.plan.remark import LONGEST_NOTE, MARKS

__all__ = ["MOST_PICTURES", "read_command", "split_line"]

MOST_PICTURES = 32
"""Of one image that a reroll may be asked for."""
_UNUSUAL = re.compile(rf"[{UNWRITABLE}\t\n]")


@dataclass(frozen=True)
class _Command:
    """A command that a page may ask for.

    Attributes:
        options: each is a type, a range of numbers, or what a text matches.
        is_for_one: whether it takes one image at a time.
        may_be_all: whether it is for everything without a name.

    """

    options: Mapping[str, type | range | re.Pattern[str]]
    is_for_one: bool = False
    may_be_all: bool = False


_COMMANDS: Mapping[str, _Command] = {
    "build": _Command({"always": bool}, may_be_all=True),
    "pick": _Command({"variant": range(1_000_000)}, is_for_one=True),
    "reroll": _Command({"count": range(1, MOST_PICTURES + 1), "yes": bool}),
    "accept": _Command({"undo": bool}),
    "mark": _Command(
        {
            "as": re.compile("|".join([*MARKS, "none"])),
            "note": re.compile(rf"[^{UNWRITABLE}]{{0,{LONGEST_NOTE}}}"),
            "seen": re.compile(r"[0-9a-f]{8,64}(,[0-9a-f]{8,64}){0,199}"),
        }
    ),
    "restore": _Command({"to": re.compile(r"[0-9a-f]{8,64}|[1-9]\d{0,5}", re.ASCII)}, is_for_one=True),
}


def read_command(body: Mapping[str, Any], known: Collection[str]) -> list[list[str]] | str:
    """Return the words after `doit` of each command line that this takes, or why there are none.

    There are several if one would be longer than a system takes.

    Args:
        body: `{"command": "pick", "images": ["portraits:mallsing"], "variant": 3}`.
        known: names of images and jobs.

    """
    name, images = body.get("command"), body.get("images")
    command = _COMMANDS.get(name) if isinstance(name, str) else None
    if command is None:
        return f"there is no command {name!r}"
    problem = _check_images(images, command, known)
    options = problem or _read_options(body, command)
    if isinstance(options, str):
        return options
    if name == "build":
        head, options = ["-a"] if body.get("always") else [], []
    else:
        head = [str(name)]
    assert isinstance(images, list)  # noqa: S101 - it has been checked
    return split_line(head, ((name, ()) for name in dict.fromkeys(images)), options)


def _check_images(images: object, command: _Command, known: Collection[str]) -> str:
    """Return what is wrong with the names; empty if nothing is."""
    if not isinstance(images, list) or not all(isinstance(name, str) for name in images):
        return "it names no images"
    if not images and not command.may_be_all:
        return "it names no images"
    if len(images) > 1 and command.is_for_one:
        return f"it names {len(images)} images, and the command takes one"
    for name in images:
        if name not in known:
            return f"there is no image or job {name!r} any more"
        if name.startswith("-") or "=" in name or _UNUSUAL.search(name):
            return f"{name!r} cannot be written on a command line: rename it"
    return ""


def _read_options(body: Mapping[str, Any], command: _Command) -> list[str] | str:
    """Return the options as words, or what is wrong with them."""
    if others := sorted(body.keys() - command.options.keys() - {"command", "images"}):
        return f"it has no option {others[0]!r}"
    options: list[str] = []
    for name, kind in command.options.items():
        value = body.get(name)
        if value is None:
            continue
        if not _is_valid(value, kind):
            return f"{name} is not valid: {value!r}"
        if kind is bool:
            options += [f"--{name}"] if value else []
        else:
            # doit takes a word of its own that has = in it for a variable
            options += [f"--{name}={value}"] if name == "note" else [f"--{name}", str(value)]
    return options


def _is_valid(value: object, kind: type | range | re.Pattern[str]) -> bool:
    if isinstance(kind, type):
        return type(value) is kind
    if isinstance(kind, range):
        return type(value) is int and value in kind
    return isinstance(value, str) and kind.fullmatch(value) is not None


def split_line(head: Sequence[str], named: Iterable[tuple[str, Sequence[str]]], tail: Sequence[str]) -> list[list[str]]:
    """Return as many command lines as the names take.

    Args:
        head: the words before the names.
        named: each name, with the words of its own that come after all names.
        tail: the last words.

    """
    lines: list[tuple[list[str], list[str]]] = [([], [])]
    room = left = LONGEST_LINE - len(shlex.join([*head, *tail]))
    for name, own in named:
        size = len(shlex.join([name, *own])) + 1
        if size > left and lines[-1][0]:
            lines.append(([], []))
            left = room
        lines[-1][0].append(name)
        lines[-1][1].extend(own)
        left -= size
    return [[*head, *names, *own, *tail] for names, own in lines]
