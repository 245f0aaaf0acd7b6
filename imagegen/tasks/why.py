"""`doit why`: what the next `doit` would do, and why. It runs nothing, asks no server and writes nothing."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from doit.exceptions import TaskError, TaskFailed
from doit.globals import Globals

from imagegen.errors import ImagegenError
from imagegen.tasks.acting import command
from imagegen.tasks.build import Build, Planned, current_build
from imagegen.tasks.selection import choose
from imagegen.tasks.words import option, with_options

if TYPE_CHECKING:
    from imagegen.execute.forecast import Forecast
    from imagegen.project import JobPlan

__all__ = ["task_why"]

_PARAMS = [
    option("json", bool, False, "print it as JSON"),
    option("check", bool, False, "exit with 1 if anything is stale, and with 2 if a job or a setting is broken"),
]


def task_why() -> dict[str, Any]:
    """Say what the next doit would do and why: of all images, or doit why portraits portraits:mallsing."""
    return command(_why, params=_PARAMS, pos_arg="words")


def _why(words: list[str], **given: Any) -> TaskFailed | TaskError | None:
    """doit exits with 1 for a failed task, and with 2 for one that ends in an error."""
    build = current_build()
    checks = given["check"] or "--check" in words
    try:
        names, options = with_options(words, _PARAMS, given)
        checks = options["check"]
        chosen = choose(build, names)
    except ImagegenError as error:
        print("\n".join(map(str, error.problems)), flush=True)
        return (TaskError if checks else TaskFailed)("a word names nothing", report=False)
    images = _with_origins(build, chosen.images)
    jobs = {plan.name for plan in chosen.plans} | {one.output.job for one in images}
    plans = [plan for plan in build.plans if plan.name in jobs]
    found = _print_forecast(build, images, plans, chosen.one_by_one, as_json=options["json"])
    if not checks:
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
    lines = as_lines(found, plans, build.problems, named)
    if is_terminal():
        from imagegen.report.colour import show

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
