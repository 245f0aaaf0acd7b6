"""`doit why`: show what the next `doit` would do, and why. It builds nothing, contacts no server and writes nothing."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, TextIO

from imagegen.commands.build import Build, PlannedImage, select
from imagegen.commands.command import AS_JSON, command, option
from imagegen.commands.command_line import is_ignored
from imagegen.commands.needed import find_needed
from imagegen.errors import ImagegenError

if TYPE_CHECKING:
    from imagegen.execute.forecast import Forecast
    from imagegen.project import JobPlan
    from imagegen.report.why import Line

__all__ = ["why"]

_COLOURS = {
    "generate": "green",
    "derive": "green",
    "follow": "cyan",
    "restore": "cyan",
    "keep": "yellow",
    "fail": "bold red",
    "ignore": "yellow",
    "old": "red",
    "new": "green",
}


@command(
    "why",
    "Show what the next doit would do, and why. It builds nothing, contacts no server and writes nothing.",
    {
        "doit why": "for all images",
        "doit why portraits portraits:mallsing": "for a job, and for one image in more detail",
        "doit why --check": "for CI: exit code 0 if everything is fresh",
    },
    [
        AS_JSON,
        option("check", bool, False, "exit with 1 if anything is stale, and with 2 if a job or a setting is broken"),
    ],
    words="[IMAGE|JOB...]",
    needs_settings=False,
)
def why(build: Build, words: list[str], *, json: bool, check: bool) -> int:
    """Print the forecast. Fails only with --check, or if a word names nothing."""
    try:
        selection = select(build, words)
    except ImagegenError as error:
        print("\n".join(map(str, error.problems)), flush=True)
        return 2 if check else 1
    needed = frozenset(find_needed(build, selection.images))
    images = [one for task, one in build.planned.items() if task in needed]
    jobs = {plan.name for plan in selection.plans} | {one.output.job for one in images}
    plans = [plan for plan in build.plans if plan.name in jobs]
    found = _print_forecast(build, images, plans, selection.one_by_one, json=json)
    if not check:
        return 0
    return 2 if build.problems or any(plan.problems for plan in plans) else int(found.is_stale)


def _print_forecast(
    build: Build, images: Sequence[PlannedImage], plans: Sequence[JobPlan], named: Collection[str], *, json: bool
) -> Forecast:
    from imagegen.backends.text import is_terminal
    from imagegen.execute.forecast import forecast
    from imagegen.report.console import as_json
    from imagegen.report.why import as_data, as_lines

    ignored = {one.output.task for one in images if is_ignored(one.output.task)}
    found = forecast(build.project, [(one.output, one.verdict) for one in images], ignored)
    budget = build.settings.budget
    if json:
        print(as_json(as_data(found, plans, build.problems, named, budget)), flush=True)
        return found
    strays = [] if named else build.stray_files()
    problems, has_settings = [*build.problems, *strays], not build.problems
    names = _name_files(build)
    lines = as_lines(found, plans, problems, named, budget, has_settings=has_settings, names=names)
    if is_terminal():
        _print_in_colour(lines, sys.stdout)
    else:
        print("\n".join("".join(text for text, _ in line) for line in lines), flush=True)
    return found


def _name_files(build: Build) -> dict[str, str]:
    """Return the paths of the files that requests have by their sha256."""
    from imagegen.backends.models import display_path

    return {sha256: display_path(build.project.root, path) for sha256, path in build.project.files.items()}


def _print_in_colour(lines: Iterable[Line], stream: TextIO) -> None:
    """Print lines on a terminal, in colour unless NO_COLOR is set. The terminal wraps what is too long."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False, soft_wrap=True)
    for line in lines:
        console.print(Text.assemble(*((text, _COLOURS.get(style, "")) for text, style in line)))
