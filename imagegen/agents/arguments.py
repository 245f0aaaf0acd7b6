"""What an agent asks for, checked, and as words of a command line. No word of it can mean anything else to doit."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from imagegen.agents.tools import Tool
from imagegen.config.job_files import find_job_files, name_tasks
from imagegen.config.money import dollars, read_dollars
from imagegen.config.paths import check_path
from imagegen.config.settings import read_settings
from imagegen.doit_child import LONGEST_LINE, UNWRITABLE
from imagegen.errors import ImagegenError, InputError, Problem, did_you_mean, printable
from imagegen.library.reserved_names import RESERVED_NAMES

__all__ = ["WAIT_S", "command_line"]

WAIT_S = 60
"""Seconds that a call that acts waits for another doit that is at work in the project."""
_SHOWN = 300
"""Characters of what is said of one argument."""
_NAMES = "list has the names of all jobs, and of the images of the jobs that it is given"
_UNUSUAL = re.compile(f"[{UNWRITABLE}]")
"""What no text has. A name has no line breaks or tabs either."""


def command_line(tool: Tool, arguments: Mapping[str, Any], project: Path) -> list[str]:
    """Return the words after `doit`.

    Raises:
        InputError: the arguments are not what the tool takes, with all that is wrong with them.
    """
    problems = list(_find_invalid(tool, arguments)) or list(_find_forbidden(tool, arguments, project))
    if problems:
        raise InputError(*problems)
    variables = [f"wait={WAIT_S}"] if tool.acts else []
    if tool.generates:
        variables.append(f"budget={read_dollars(arguments.get('budget', 0)):f}")
    options = [word for param in tool.declared for word in _option_words(param, arguments.get(param["long"]))]
    names = arguments.get("images", ())
    fixed = [*tool.fixed, *(tool.if_named if names else ())]
    words = [*variables, tool.command, "--json", *fixed, *options, *names]
    if (size := sum(map(len, words))) > LONGEST_LINE:
        raise InputError(Problem("arguments", f"they are too long: {size} characters", "make several calls"))
    return words


def _find_invalid(tool: Tool, arguments: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what the schema of the tool does not accept, and texts that no command line can have."""
    from jsonschema import Draft202012Validator

    for error in Draft202012Validator(tool.input_schema).iter_errors(dict(arguments)):
        path = ".".join(map(str, error.absolute_path))
        where = f"argument {path}" if path else "arguments"
        what, hint = error.message, ""
        if error.validator == "pattern":
            what, hint = f"{error.instance!r} is not the name of an image or a job", _NAMES
        elif error.validator == "maxItems":
            what = f"there are {len(error.instance)} of them, and it takes at most {error.validator_value}"
        elif error.validator == "additionalProperties":
            hint = f"it takes {', '.join(tool.input_schema['properties']) or 'no arguments'}"
        yield Problem(where, printable(what if len(what) <= _SHOWN else f"{what[:_SHOWN]}…"), hint)
    for name, value in arguments.items():
        for text in value if isinstance(value, list) else [value]:
            if not isinstance(text, str):
                continue
            if unusual := _UNUSUAL.search(text) or (name == "images" and re.search(r"[\n\t]", text)):
                yield Problem(f"argument {name}", f"it has the character {unusual[0]!a} in it", "leave it out")


def _find_forbidden(tool: Tool, arguments: Mapping[str, Any], project: Path) -> Iterator[Problem]:
    """Yield what an agent may not do although the command would."""
    if tool.command in ("run", "reroll"):
        jobs = name_tasks(find_job_files(project), RESERVED_NAMES).values()
        for number, name in enumerate(arguments.get("images", ())):
            where, job = f"argument images.{number}", name.partition(":")[0]
            if tool.command == "reroll" and name in jobs:
                hint = f"name images one by one; or a person types in a terminal: doit reroll {name}"
                yield Problem(where, f"{name} is a whole job, and rerolling that is for a person", hint)
            elif tool.command == "run" and job not in jobs:
                # it would run any task: a command, or one that somebody added to dodo.py
                yield Problem(where, f"there is no job {job!r}{did_you_mean(job, jobs)}", _NAMES)
    for name in tool.files:
        path = arguments.get(name)
        if path is not None and (why := check_path(project, path, (), writes=False)):
            yield Problem(f"argument {name}", why.partition("; to allow")[0], "name a file in the project")
    if "budget" in arguments:
        yield from _check_budget(arguments["budget"], project)


def _check_budget(amount: float, project: Path) -> Iterator[Problem]:
    """Yield why a run must not have this budget."""
    try:
        budget = read_dollars(amount)
    except ValueError as error:
        yield Problem("argument budget", str(error))
        return
    limit = _read_limit(project)
    if limit is not None and budget > limit:
        what = f"{dollars(budget)} is more than the project's own limit of a run, {dollars(limit)}"
        yield Problem("argument budget", what, "a person can raise 'budget' in pyproject.toml")


def _read_limit(project: Path) -> Decimal | None:
    """Return the budget that the project's settings have; None if there is none, or they are not valid."""
    with contextlib.suppress(ImagegenError, OSError):  # a run says what is wrong with them
        return read_settings(project, {}, os.environ).budget
    return None


def _option_words(param: Mapping[str, Any], value: object) -> list[str]:
    """Return an option with its value; in one word, whatever the value begins with or has in it."""
    if value is None or value is False:
        return []
    if value is True:
        return [f"--{param['long']}"]
    if isinstance(value, float) and param["type"] is int:  # 2.0 is an integer, too
        value = int(value)
    values: Sequence[object] = value if isinstance(value, list) else [value]
    return [f"--{param['long']}={one}" for one in values]
