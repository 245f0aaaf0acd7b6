"""What an agent asks for, checked, and as words of a command line. No word of it can mean anything else to doit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imagegen.agents.tools import Tool
from imagegen.errors import InputError, Problem, printable

__all__ = ["WAIT_S", "command_line"]

WAIT_S = 60
"""Seconds that a call that acts waits for another doit that is at work in the project."""
_LONGEST = 24_000
"""Characters of a command line: Windows takes 32,767, with the path of Python and the options of doit."""


def command_line(tool: Tool, arguments: Mapping[str, Any]) -> list[str]:
    """Return the words after `doit`.

    Raises:
        InputError: the arguments are not what the tool takes.
    """
    check(tool, arguments)
    variables = [f"wait={WAIT_S}"] if tool.acts else []
    if tool.generates:
        variables.append(f"budget={_dollars(arguments.get('budget', 0))}")
    options = [word for param in tool.declared for word in _option_words(param, arguments.get(param["long"]))]
    words = [*variables, tool.command, "--json", *tool.fixed, *options, *arguments.get("images", ())]
    if (size := sum(map(len, words))) > _LONGEST:
        raise InputError(Problem("arguments", f"they are too long: {size} characters", "make several calls"))
    return words


def check(tool: Tool, arguments: Mapping[str, Any]) -> None:
    """Raise InputError with everything that is wrong with the arguments."""
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(tool.input_schema)
    problems = [
        Problem(".".join(["arguments", *map(str, error.absolute_path)]), _explain(error.message), "")
        for error in validator.iter_errors(dict(arguments))
    ]
    problems += [
        Problem(f"arguments.{where}", "it has a character that no text has", "write it again")
        for where, text in _texts(arguments)
        if "\0" in text or (not text.isprintable() and _has_surrogate(text))
    ]
    if problems:
        raise InputError(*problems)


def _explain(message: str) -> str:
    return printable(message if len(message) <= 300 else f"{message[:299]}…")


def _texts(arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in arguments.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                yield name, text


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _option_words(param: Mapping[str, Any], value: object) -> list[str]:
    """Return an option with its value; in one word, whatever the value begins with or has in it."""
    if value is None or value is False:
        return []
    if value is True:
        return [f"--{param['long']}"]
    values: Sequence[object] = value if isinstance(value, list) else [value]
    return [f"--{param['long']}={one}" for one in values]


def _dollars(amount: float) -> str:
    return f"{amount:.6f}".rstrip("0").rstrip(".") if amount else "0"
