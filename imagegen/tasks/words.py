"""The words after a task that is a command: options, also among the names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from doit.cmdparse import CmdOption, CmdParse, CmdParseError

from imagegen.errors import ImagegenError, Problem

__all__ = ["AS_JSON", "option", "with_options"]

AS_JSON = {"name": "as_json", "long": "json", "type": bool, "default": False, "help": "print it as JSON"}


def option(name: str, kind: type, default: Any, text: str, short: str = "") -> dict[str, Any]:
    """A parameter of a task."""
    return {
        "name": name.replace("-", "_"),
        "long": name,
        "short": short,
        "type": kind,
        "default": default,
        "help": text,
    }


def with_options(
    words: Sequence[str], params: Sequence[dict[str, Any]], given: dict[str, Any]
) -> tuple[list[str], dict[str, Any]]:
    """The names, and the options also where they follow a name: doit itself takes all that follows one for names.

    given: the options as doit found them. Raises ImagegenError for an option that there is not.
    """
    parser = CmdParse([CmdOption(param) for param in params])
    names: list[str] = []
    rest = list(words)
    try:
        while rest:
            found, rest = parser.parse_only(rest)
            given = {**given, **found}
            names += rest[:1]
            rest = rest[1:]
    except CmdParseError as error:
        what = " ".join(str(error).partition(" (parsing options")[0].split())
        raise ImagegenError(Problem("", what, "doit help shows a task's options")) from None
    return names, given
