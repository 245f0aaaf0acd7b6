"""The command line as Ollama reads it: flags anywhere before `--`, all else in its order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Arguments", "WrongUseError", "parse"]


class WrongUseError(Exception):
    """What Ollama says of it."""


@dataclass(frozen=True)
class Arguments:
    """`flags` has the values of those that were given."""

    words: list[str]
    flags: dict[str, str]

    def number(self, name: str, default: int) -> int:
        return int(self.flags[name], 0) if name in self.flags else default


def parse(arguments: list[str], known: Mapping[str, str], short: Mapping[str, str]) -> Arguments:
    """`known` has the kind of each flag: `int`, `string` or `bool`; `short` the name behind a letter."""
    words: list[str] = []
    flags: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return Arguments(words + rest, flags)
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("--"):
            if word[1] not in short:
                raise WrongUseError(f"unknown shorthand flag: '{word[1]}' in {word}")
            name = short[word[1]]
        if name not in known:
            raise WrongUseError(f"unknown flag: --{name}")
        if known[name] == "bool":
            flags[name] = value or "true"
            continue
        if not equals:
            if not rest:
                raise WrongUseError(f"flag needs an argument: --{name}")
            value = rest.pop(0)
        flags[name] = value
        if known[name] == "int":
            _number(name, value)
    return Arguments(words, flags)


def _number(name: str, value: str) -> None:
    try:
        inside = -(2**63) <= int(value, 0) < 2**63
        fault = "" if inside else "value out of range"
    except ValueError:
        fault = "invalid syntax"
    if fault:
        raise WrongUseError(
            f'invalid argument "{value}" for "--{name}" flag: strconv.ParseInt: parsing "{value}": {fault}'
        )
