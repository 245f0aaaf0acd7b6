"""The tools that an agent gets: each is a command of doit, with those of its options that an agent may use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imagegen.commands.command import COMMANDS
from imagegen.config.settings import SETTINGS
from imagegen.report.doit_results import DOIT_RESULTS
from imagegen.report.run_summary import RunSummary
from imagegen.run_options import RUN_OPTIONS

__all__ = ["DEFAULT_SIZE", "MOST_LISTED", "MOST_PICTURES", "TOOLS", "Tool"]

_MOST_NAMES = 200
"""Images and jobs that one call may name."""
MOST_PICTURES = 8
"""That one call may be shown."""
DEFAULT_SIZE = 256
"""Pixels of their longer side, unless another size is asked for."""
_MOST_AT_ONCE = 32
"""Pictures of one prompt or image that may be asked for in one call."""
_NAME = r"^[^-=*?\[\]][^=*?\[\]]*$"
"""What is safe on doit's command line: neither an option, nor a variable, nor a pattern."""


@dataclass(frozen=True)
class Tool:
    """What an agent may call.

    Attributes:
        name: by which it is called.
        command: of doit, `run` for building; its own name if it is none.
        about: what a model has to know besides the command's own summary.
        summary: instead of the command's own, where it is something else.
        options: those of the command that it offers.
        limits: more of the schema of an option.
        files: options that name files, which have to be in the project.
        fixed: options that are always given.
        if_named: options that are given besides if it is given names.
        acts: whether it changes anything in the project: such a tool is offered only with --allow-build.
        generates: whether it may generate images, and so cost money: it takes a budget.
        replaces: whether a file may be another one afterwards.
        is_repeatable: whether a second call with the same arguments changes nothing more.
        reaches_out: whether it contacts servers although it generates nothing.
        is_look: whether it is not a command of doit, and answers with pictures.
        with_pictures: whether pictures come with what the command answers: those that it generated, or that it lists.
        is_long: whether its lists may be so long that only a part of them is returned.

    """

    name: str
    command: str
    about: str = ""
    summary: str = ""
    options: Sequence[str] = ()
    limits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    files: Sequence[str] = ()
    fixed: Sequence[str] = ()
    if_named: Sequence[str] = ()
    acts: bool = False
    generates: bool = False
    replaces: bool = False
    is_repeatable: bool = True
    reaches_out: bool = False
    is_look: bool = False
    with_pictures: bool = False
    is_long: bool = False

    @property
    def declared(self) -> list[Mapping[str, Any]]:
        """The options that it offers, as the command declares them."""
        if not self.options:
            return []
        every = RUN_OPTIONS if self.command == "run" else COMMANDS[self.command].options
        known = {one["long"]: one for one in every}
        return [known[name] for name in self.options]

    @property
    def result(self) -> type | None:
        """The dataclass of what its command answers."""
        return _RESULTS.get(self.command) or COMMANDS[self.command].result

    @property
    def description(self) -> str:
        """What a model reads."""
        summary = self.summary or COMMANDS[self.command].summary
        return " ".join(filter(None, [summary, self.about, _OF_BUDGET if self.generates else ""]))

    @property
    def input_schema(self) -> dict[str, Any]:
        """What it takes, as JSON Schema."""
        names = _names_schema(_WORDS.get(self.name) or COMMANDS[self.command].words)
        options = {one["long"]: {**_option_schema(one), **self.limits.get(one["long"], {})} for one in self.declared}
        return {
            "type": "object",
            "properties": {
                **({"images": names} if names else {}),
                **options,
                **({"size": _SIZE} if self.is_look else {}),
                **({"offset": _OFFSET} if self.is_long else {}),
                **({"budget": _budget_schema()} if self.generates else {}),
            },
            "required": ["images"] if names and names["minItems"] else [],
            "additionalProperties": False,
        }


_WORDS = {
    **dict.fromkeys(("build", "list"), "[IMAGE|JOB...]"),
    **dict.fromkeys(("info", "versions"), "IMAGE"),
    "pictures": "IMAGE|JOB...",
    "reroll": "IMAGE...",
}
"""What a tool is given, as the help of a command shows it, where that is not what its command's help says."""
_RESULTS = {"run": RunSummary, **DOIT_RESULTS}
"""What doit's own commands answer."""
MOST_LISTED = 100
"""Images, problems and the like that a result has."""
_OFFSET = {
    "type": "integer",
    "minimum": 0,
    "default": 0,
    "description": f"how many to leave out at the beginning: a result lists at most {MOST_LISTED} at once",
}
_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}
_SIZE = {
    "type": "integer",
    "minimum": 64,
    "maximum": 1024,
    "default": DEFAULT_SIZE,
    "description": "pixels of the longer side; no picture is enlarged",
}


def _option_schema(param: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an option's value."""
    schema: dict[str, Any] = {"description": param["help"]}
    if param["type"] is list:
        return {**schema, "type": "array", "items": {"type": "string"}, "maxItems": _MOST_NAMES}
    schema["type"] = _TYPES[param["type"]]
    if choices := [choice for choice, _ in param.get("choices", ())]:
        schema["enum"] = choices
    return schema


def _names_schema(words: str) -> dict[str, Any]:
    """Return the schema of the names that follow a command, from how its help shows them; empty if it takes none."""
    if not words:
        return {}
    text = "names of images (JOB:IMAGE)" + (" or of whole jobs (JOB)" if "JOB" in words else "")
    is_optional = words.startswith("[")
    return {
        "type": "array",
        "items": {"type": "string", "pattern": _NAME, "maxLength": 300},
        "minItems": 0 if is_optional else 1,
        "maxItems": _MOST_NAMES if "..." in words else 1,
        "description": f"{text}; none: all of them" if is_optional else text,
    }


def _budget_schema() -> dict[str, Any]:
    (text,) = (one.help for one in SETTINGS if one.name == "budget")
    description = f"{text}, in US dollars; without it, only what costs nothing is generated"
    return {"type": "number", "minimum": 0, "description": description}


_OF_BUDGET = (
    "Without a budget, nothing that costs money is generated; images of local generators cost nothing. Images whose "
    "price is not known are not generated at all."
)

_LOOKS = (
    Tool(
        "list",
        "list",
        "state is fresh, stale, kept (somebody changed the file, and nothing replaces it) or broken.",
        "List all jobs; if you name some, these with their images, and the file of each.",
        if_named=["--all"],
        is_long=True,
    ),
    Tool(
        "info",
        "info",
        "exit_code 1 means that it is stale.",
        "Show what decides an image: its final prompt, its settings and its seed, and where its file is.",
    ),
    Tool(
        "why",
        "why",
        "Call it before build: it says which images are stale and for which reasons, and what building them would take "
        "and cost. Name images or jobs to hear of these alone.",
        options=["limit"],
        limits={"limit": {"type": "integer", "minimum": 1}},
        is_long=True,
    ),
    Tool(
        "pictures",
        "pictures",
        f"At most {MOST_PICTURES} in a call. To see one larger, name it alone and give a size.",
        "Look at pictures: the current file of each image that is named, made small.",
        is_look=True,
    ),
    Tool(
        "versions",
        "restore",
        f"Returns the pictures of the newest {MOST_PICTURES}, too. restore goes back to one of them.",
        "List the versions that there are of one image, the newest first.",
        fixed=["--list"],
        with_pictures=True,
    ),
    Tool("verify", "verify", "exit_code 1 means that a file is not as recorded, or missing.", is_long=True),
    Tool("settings", "settings", "Secrets are not shown."),
    Tool(
        "doctor",
        "doctor",
        "Call it when a build fails because of a server, a model or a program. It may contact the servers of the "
        "jobs. exit_code 1 means that it found something that keeps a job from being built.",
        reaches_out=True,
    ),
)
_ACTS = (
    Tool(
        "preview",
        "preview",
        f"Returns the first {MOST_PICTURES} of them, too. dry-run only says what they would take and cost.",
        options=["limit", "dry-run"],
        limits={"limit": {"type": "integer", "minimum": 1}},
        acts=True,
        generates=True,
        with_pictures=True,
    ),
    Tool(
        "build",
        "run",
        "An image that is replaced stays in the store, and restore brings it back; a file that a person edited is "
        "kept. Name what is to be built; without names, it builds every job. To try a change on one image first, name "
        f"that. Returns the first {MOST_PICTURES} pictures, too.",
        "Bring images up to date: generate, derive or restore whatever is stale, and nothing else.",
        options=["limit"],
        limits={"limit": {"type": "integer", "minimum": 1}},
        acts=True,
        generates=True,
        replaces=True,
        with_pictures=True,
    ),
    Tool(
        "image",
        "image",
        "Paths are relative to the project, and in it. Returns the pictures, too.",
        options=[one["long"] for one in COMMANDS["image"].options if one["long"] != "json"],
        limits={
            "prompt": {"minItems": 1, "maxItems": _MOST_AT_ONCE},
            "count": {"minimum": 1, "maximum": _MOST_AT_ONCE},
        },
        files=["like", "save", "out"],
        with_pictures=True,
        acts=True,
        generates=True,
        is_repeatable=False,
    ),
    Tool(
        "reroll",
        "reroll",
        "Name the images one by one. Rerolling a whole job is for a person, who types `doit reroll JOB` in a terminal. "
        "Returns the pictures, too; with count, the last one is the image, and restore takes the number of another.",
        options=["count"],
        limits={"count": {"minimum": 1, "maximum": _MOST_AT_ONCE}},
        acts=True,
        generates=True,
        replaces=True,
        is_repeatable=False,
        with_pictures=True,
    ),
    Tool(
        "pick",
        "pick",
        "Name the item, JOB:IMAGE, and give the variant's number.",
        "Choose one variant as an item's image; variant 0 makes all of them images again.",
        options=["variant"],
        acts=True,
        generates=True,
        replaces=True,
        with_pictures=True,
    ),
    Tool(
        "restore",
        "restore",
        'versions lists and shows them. to has a number for each image, such as ["2"]; without it, each goes back to '
        "the one that was generated before. After a change of the prompt, change that back and build instead.",
        "Go back to an earlier version of images.",
        options=["to"],
        with_pictures=True,
        acts=True,
        replaces=True,
        is_repeatable=False,
    ),
    Tool(
        "accept",
        "accept",
        "It also goes into the store: to undo somebody's edit, accept it, and then call restore.",
        options=["undo"],
        acts=True,
    ),
    Tool("mark", "mark", options=["as", "note"], fixed=["--by=agent"], acts=True),
)
TOOLS: Mapping[str, Tool] = {tool.name: tool for tool in (*_LOOKS, *_ACTS)}
