"""`doit why`: what the next `doit` would do, and why. It runs nothing, asks no server and writes nothing."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from doit.exceptions import TaskError, TaskFailed
from doit.globals import Globals

from imagegen.commands.acting import command
from imagegen.commands.build import Build, Planned, choose, current_build
from imagegen.commands.command import AS_JSON, define, option
from imagegen.errors import ImagegenError

if TYPE_CHECKING:
    from imagegen.execute.forecast import Forecast
    from imagegen.project import JobPlan

__all__ = [
    "task_why",
]


_WHY = define(
    "why",
    "Say what the next doit would do, and why. It runs nothing, asks no server and writes nothing.",
    {
        "doit why": "of all images",
        "doit why portraits portraits:mallsing": "of a job, and an image in more detail",
        "doit why --check": "for CI: exit code 0 if everything is fresh",
    },
    [
        AS_JSON,
        option("check", bool, False, "exit with 1 if anything is stale, and with 2 if a job or a setting is broken"),
    ],
    words="[IMAGE|JOB...]",
)


def task_why() -> dict[str, Any]:
    """The command `why`."""
    return command(_WHY, _why)


def _why(words: list[str], json: bool, check: bool) -> TaskFailed | TaskError | None:
    """doit exits with 1 for a failed task, and with 2 for one that ends in an error."""
    build = current_build()
    try:
        chosen = choose(build, words)
    except ImagegenError as error:
        print("\n".join(map(str, error.problems)), flush=True)
        return (TaskError if check else TaskFailed)("a word names nothing", report=False)
    images = _with_origins(build, chosen.images)
    jobs = {plan.name for plan in chosen.plans} | {one.output.job for one in images}
    plans = [plan for plan in build.plans if plan.name in jobs]
    found = _print_forecast(build, images, plans, chosen.one_by_one, as_json=json)
    if not check:
        return None
    if build.problems or any(plan.problems for plan in plans):
        return TaskError("something is broken", report=False)
    return TaskFailed("something is stale", report=False) if found.is_stale else None


def _print_forecast(
    build: Build, images: Sequence[Planned], plans: Sequence[JobPlan], named: Collection[str], *, as_json: bool
) -> Forecast:
    from imagegen.backends.text import is_terminal
    from imagegen.execute.forecast import forecast
    from imagegen.report.why import as_data, as_lines

    ignored = {one.output.task for one in images if _is_ignored(one.output.task)}
    found = forecast(build.project, [(one.output, one.verdict) for one in images], ignored)
    if as_json:
        print(as_data(found, plans, build.problems, named), flush=True)
        return found
    strays = [] if named else build.strays()
    lines = as_lines(found, plans, [*build.problems, *strays], named)
    if is_terminal():
        from imagegen.report.console import show

        show(lines, sys.stdout)
    else:
        print("\n".join("".join(text for text, _ in line) for line in lines), flush=True)
    return found


def _with_origins(build: Build, tasks: Iterable[str]) -> list[Planned]:
    """The images of these tasks, and all that they are made from, which doit makes first; in the order of the run."""
    wanted: set[str] = set()
    waiting = list(tasks)
    while waiting:
        task = waiting.pop()
        if task in build.planned and task not in wanted:
            wanted.add(task)
            waiting += [origin.task for origin in build.planned[task].output.origins]
    return [one for task, one in build.planned.items() if task in wanted]


class _Named:
    def __init__(self, name: str) -> None:
        self.name = name


def _is_ignored(task: str) -> bool:
    """`doit ignore` named it; doit asks a task for no more than its name."""
    return bool(Globals.dep_manager.status_is_ignore(_Named(task)))
