"""`doit why`: show what the next `doit` would do, and why. It builds nothing and contacts no server."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from imagegen.commands.build import Build, read_limit, select
from imagegen.commands.command import Answer, command, option
from imagegen.commands.command_line import is_ignored
from imagegen.errors import BAD_INPUT, DONE, FAILED, Problem
from imagegen.report.console import left_lines
from imagegen.report.json_output import json_output

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
    "Show what the next doit would do, and why. It builds nothing, contacts no server and changes nothing.",
    {
        "doit why": "for all images",
        "doit why portraits portraits:mallsing": "for a job, and for one image in more detail",
        "doit why --limit 3": "for the first three stale images of each job: what they take, and cost",
        "doit why --check": "for CI: exit code 0 if everything is fresh",
    },
    [
        option("limit", str, "", "what doit --limit=N would do, and how many images it would leave", value="N"),
        option("check", bool, False, "exit with 1 if anything is stale"),
    ],
    words="[IMAGE|JOB...]",
    needs_settings=False,
    result="imagegen.report.forecast_summary:ForecastSummary",
)
def why(build: Build, words: list[str], *, limit: str, check: bool) -> Answer:
    """Forecast the next run, as far as jobs and settings are sound."""
    from imagegen.library.plan import forecast_selection
    from imagegen.report.forecast_summary import summarise_forecast

    selection = select(build, words)
    found = forecast_selection(build, selection, read_limit(build, limit), is_ignored)
    problems = [*build.problems, *(problem for plan in found.plans for problem in plan.problems)]
    result = summarise_forecast(
        found.forecast,
        found.plans,
        selection.one_by_one,
        build.settings.budget,
        len(found.limited.left),
        build.find_place if json_output() else None,
    )
    code = BAD_INPUT if problems else FAILED if check and result.is_stale else DONE
    if json_output():
        return Answer(result, (), code, [*problems, *_find_strays(build, selection.one_by_one)])
    said = _describe(build, found.forecast, found.plans, selection.one_by_one)
    lines = [*said, *left_lines(found.limited, [*([] if limit else build.lifting_limit), *words])]
    return Answer(result, lines, code)


def _describe(build: Build, found: Forecast, plans: Sequence[JobPlan], named: Collection[str]) -> list[str]:
    """Return the lines for a person, which have the problems among them."""
    from imagegen.backends.text import is_terminal
    from imagegen.report.why import as_lines

    strays = _find_strays(build, named)
    problems, has_settings = [*build.problems, *strays], not build.problems
    names = _name_files(build)
    lines = as_lines(found, plans, problems, named, build.settings.budget, has_settings=has_settings, names=names)
    return [*_colour(lines)] if is_terminal() else ["".join(text for text, _ in line) for line in lines]


def _find_strays(build: Build, named: Collection[str]) -> list[Problem]:
    """Return what is wrong with files that are not built, unless it is about some images only."""
    return [] if named else build.stray_files()


def _name_files(build: Build) -> dict[str, str]:
    """Return the paths of the files that requests have by their sha256."""
    from imagegen.backends.models import display_path

    return {sha256: display_path(build.project.root, path) for sha256, path in build.project.files.items()}


def _colour(lines: Iterable[Line]) -> Iterator[str]:
    """Yield lines for a terminal, in colour unless NO_COLOR is set. The terminal wraps what is too long."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    for line in lines:
        with console.capture() as captured:
            console.print(Text.assemble(*((text, _COLOURS.get(style, "")) for text, style in line)), end="")
        yield captured.get()
