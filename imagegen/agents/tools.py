"""The tools that an agent gets: each is a command of doit, with those of its options that an agent may use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imagegen.commands.command import COMMANDS
from imagegen.config.settings import SETTINGS
from imagegen.run_options import RUN_OPTIONS

__all__ = ["MOST_NAMES", "TOOLS", "Tool"]

MOST_NAMES = 200
"""Images and jobs that one call may name."""
_NAME = r"^(?!-)[^\x00-\x1f\x7f=*?\[\]]{1,300}$"
"""What is safe on doit's command line: neither an option, nor a variable, nor a pattern."""


@dataclass(frozen=True)
class Tool:
    """What an agent may call.

    Attributes:
        name: by which it is called.
        command: of doit; `run` for building.
        about: what a model has to know besides the command's own summary.
        options: those of the command that it offers.
        fixed: options that are always given.
        limits: more of the schema of an option.
        acts: whether it changes anything in the project: such a tool is offered only with --allow-build.
        generates: whether it may generate images, and so cost money: it takes a budget.
        replaces: whether a file may be another one afterwards.
        is_repeatable: whether a second call with the same arguments changes nothing more.

    """

    name: str
    command: str
    about: str
    options: Sequence[str] = ()
    fixed: Sequence[str] = ()
    limits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    acts: bool = False
    generates: bool = False
    replaces: bool = False
    is_repeatable: bool = True

    @property
    def declared(self) -> list[Mapping[str, Any]]:
        """The options that it offers, as the command declares them."""
        every = RUN_OPTIONS if self.command == "run" else COMMANDS[self.command].options
        known = {one["long"]: one for one in every}
        return [known[name] for name in self.options]

    @property
    def words(self) -> str:
        """What it may be given besides, as the command's help says it."""
        return "[IMAGE|JOB...]" if self.command == "run" else COMMANDS[self.command].words

    @property
    def description(self) -> str:
        """What a model reads."""
        summary = _BUILD if self.command == "run" else COMMANDS[self.command].summary
        return " ".join(filter(None, [summary, self.about, _OF_BUDGET if self.generates else ""]))

    @property
    def input_schema(self) -> dict[str, Any]:
        """What it takes, as JSON Schema."""
        properties = {one["long"]: {**_option_schema(one), **self.limits.get(one["long"], {})} for one in self.declared}
        required = []
        if self.words:
            properties = {"images": _names_schema(self.words), **properties}
            required = [] if self.words.startswith("[") else ["images"]
        if self.generates:
            (help_text,) = (one.help for one in SETTINGS if one.name == "budget")
            text = f"{help_text}, in US dollars; without it, only what costs nothing is generated"
            properties["budget"] = {"type": "number", "minimum": 0, "description": text}
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def _option_schema(param: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an option's value."""
    schema: dict[str, Any] = {"description": param["help"]}
    if param["type"] is list:
        return {**schema, "type": "array", "items": {"type": "string"}, "maxItems": MOST_NAMES}
    schema["type"] = _TYPES[param["type"]]
    if choices := [choice for choice, _ in param.get("choices", ())]:
        schema["enum"] = choices
    return schema


def _names_schema(words: str) -> dict[str, Any]:
    """Return the schema of the names that follow a command, from how its help shows them."""
    with_jobs = "JOB" in words
    text = "names of images (JOB:IMAGE)" + (" or of whole jobs (JOB)" if with_jobs else "")
    is_optional = words.startswith("[")
    return {
        "type": "array",
        "items": {"type": "string", "pattern": _NAME},
        "minItems": 0 if is_optional else 1,
        "maxItems": MOST_NAMES if "..." in words else 1,
        "description": f"{text}; none: all of them" if is_optional else text,
    }


_BUILD = "Bring images up to date: generate, derive or restore whatever is stale, and nothing else."
_OF_BUDGET = (
    "Without budget, nothing that costs money, or whose price is not known, is generated; images of local generators "
    "cost nothing."
)

_DECLARED = (
    Tool(
        "why",
        "why",
        "Call it before build: it says which images are stale and for which reasons, and what building them would take "
        "and cost. With names, in detail.",
    ),
    Tool("settings", "settings", "Secrets are not shown."),
    Tool(
        "doctor",
        "doctor",
        "Call it when a build fails because of a server, a model or a program. It may contact the servers of the "
        "jobs. exit_code 1 means that it found something that keeps a job from being built.",
    ),
)
TOOLS: Mapping[str, Tool] = {tool.name: tool for tool in _DECLARED}
