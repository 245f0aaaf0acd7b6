"""The words after a task that takes names: options among them, and the images that the others name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from doit.cmdparse import CmdOption, CmdParse, CmdParseError

from imagegen.errors import ImagegenError, Problem, did_you_mean
from imagegen.tasks.build import Build, Planned

__all__ = ["chosen", "option", "with_options"]


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


def chosen(build: Build, names: Sequence[str]) -> list[Planned]:
    """The images that these words name: tasks, jobs, files, patterns with `*`, or an item with all its variants.

    Raises ImagegenError for a word that names none, and for jobs that have problems.
    """
    problems: list[Problem] = []
    found: dict[str, None] = {}
    plans = {plan.task: plan for plan in build.plans}
    bases: dict[str, list[str]] = {}
    for task, planned in build.planned.items():
        bases.setdefault(f"{planned.output.job}:{planned.output.base}", []).append(task)
    for name in names:
        plan = plans.get(name.partition(":")[0]) or plans.get(name)
        hits = build.named([name]) or bases.get(name, [])
        if plan is not None and plan.problems:
            problems += plan.problems
        elif not hits:
            near = did_you_mean(name, [*plans, *build.planned, *bases])
            problems.append(Problem(name, f"no image has this name{near}", "doit list --all shows them"))
        found |= dict.fromkeys(hits)
    if problems:
        raise ImagegenError(*dict.fromkeys(problems))
    return [build.planned[task] for task in found]
