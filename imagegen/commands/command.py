"""The project's commands: what each is called, which options and words it takes, and its help page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "AS_JSON",
    "COMMANDS",
    "OURS",
    "YES",
    "Command",
    "define",
    "option",
    "spelled",
]


OURS = "imagegen"
"""The key in a task's `meta` that marks it as one of this project's, whose story is told here."""

COMMANDS: dict[str, Command] = {}
"""Each command by the name of its task. Complete once `imagegen.tasks` is imported."""


def option(
    name: str, kind: type, default: Any, text: str, short: str = "", *, value: str = "", choices: Sequence[str] = ()
) -> dict[str, Any]:
    """Return a parameter of a command, in doit's form.

    Args:
        name: after the two dashes.
        kind: bool for a switch, list for what may be given several times.
        default: where it is not given.
        text: its line of help.
        short: one letter.
        value: what help calls its value.
        choices: all the values there are; empty where there are others.

    """
    return {
        "name": name.replace("-", "_"),
        "long": name,
        "short": short,
        "type": kind,
        "default": default,
        "help": text,
        "metavar": value or {int: "N", float: "N"}.get(kind, "TEXT"),
        "choices": [(choice, "") for choice in choices],
    }


AS_JSON = option("json", bool, False, "print it as JSON")
YES = option("yes", bool, False, "do not ask", "y")


@dataclass(frozen=True)
class Command:
    """A task that is a command.

    summary: one line, for `doit list`. examples: command lines, each with what it does.
    options: as `option` makes them. words: what may follow besides, as help shows it; empty for nothing.
    """

    name: str
    summary: str
    examples: Mapping[str, str]
    options: tuple[dict[str, Any], ...] = ()
    words: str = ""

    @property
    def takes_text(self) -> list[dict[str, Any]]:
        """Its options that may be given several times; a word without an option is likely meant for them."""
        return [one for one in self.options if one["type"] is list]

    @property
    def help(self) -> str:
        """Its help page."""
        import textwrap

        usage = " ".join(filter(None, ["doit", self.name, "[options]" if self.options else "", self.words]))
        lines = [f"Usage: {usage}", "", *textwrap.wrap(self.summary, 100), ""]
        if self.options:
            lines += ["Options:", *(line for one in self.options for line in _option_lines(one)), ""]
        lines += ["Examples:"]
        width = max(map(len, self.examples))
        lines += [f"  {line:<{width}}  {does}".rstrip() for line, does in self.examples.items()]
        return "\n".join(lines)


def define(
    name: str, summary: str, examples: Mapping[str, str], options: Sequence[dict[str, Any]] = (), words: str = ""
) -> Command:
    """Return a new command, which is one of COMMANDS from now on."""
    COMMANDS[name] = Command(name, summary, examples, tuple(options), words)
    return COMMANDS[name]


def spelled(param: Mapping[str, Any], value: str | None = None) -> str:
    """How an option is written, with a value or what stands for one: `--width=N`, `--json`."""
    import shlex

    if param["type"] is bool:
        return f"--{param['long']}"
    shown = param.get("metavar", "TEXT") if value is None else shlex.quote(value)
    return f"--{param['long']}={shown}"


def _option_lines(param: Mapping[str, Any]) -> list[str]:
    import textwrap

    short = f"-{param['short']}, " if param["short"] else ""
    head = f"  {short}{spelled(param)}"
    text = param["help"]
    if choices := ", ".join(choice for choice, _ in param["choices"]):
        text += f"; one of {choices}"
    if param["type"] is list:
        text += " (may be given several times)"
    if param["default"] not in (None, False, "", []):
        text += f" [default: {param['default']}]"
    first, *others = textwrap.wrap(text, 80)
    return [f"{head:<24}  {first}", *(" " * 26 + line for line in others)]
