"""What follows from other contents of a file, before it is written: problems, or what the next build would do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from imagegen.backends.models import display_path
from imagegen.errors import ImagegenError, Problem
from imagegen.execute.forecast import Forecast, check_with_origins, forecast
from imagegen.plan.origins import sort_by_origin
from imagegen.plan.output import Output
from imagegen.project import JobPlan, Project
from imagegen.report.why import Line, as_lines

__all__ = ["Consequences", "OpenProject", "foresee"]

OpenProject = Callable[[Mapping[str, bytes]], tuple[Project, list[JobPlan]]]
"""Opens the project with these contents in place of those of files, by path."""


@dataclass(frozen=True)
class Consequences:
    """What follows.

    Attributes:
        problems: that were not there before.
        changed: the tasks of images and files that are planned otherwise, with what is made from them.
        found: what the next build would do with them.
        lines: what `doit why` would print of them.

    """

    problems: Sequence[Problem] = ()
    changed: Sequence[str] = ()
    found: Forecast = field(default_factory=lambda: Forecast(()))
    lines: Sequence[Line] = ()


def foresee(before: Sequence[JobPlan], project: Project, plans: Sequence[JobPlan]) -> Consequences:
    """Compare the plans of before with those of a project with other contents."""
    old_problems = {problem for plan in before for problem in plan.problems}
    problems = [problem for plan in plans for problem in plan.problems if problem not in old_problems]
    if problems:
        return Consequences(list(dict.fromkeys(problems)))
    old = {output.task: _without_places(output) for plan in before for output in plan.outputs}
    ordered = sort_by_origin([output for plan in plans for output in plan.outputs])
    changed: dict[str, None] = {}
    for output in ordered:
        follows = any(origin.task in changed for origin in output.origins)
        if follows or old.get(output.task) != _without_places(output):
            changed[output.task] = None
    if not changed:
        return Consequences()
    try:
        standing = check_with_origins(project, {output.task: output for output in ordered}, changed)
    except ImagegenError as error:
        return Consequences(error.problems)
    found = forecast(project, standing, ())
    names = {sha256: display_path(project.root, path) for sha256, path in project.files.items()}
    jobs = {task.partition(":")[0] for task in changed}
    lines = as_lines(
        found,
        [plan for plan in plans if plan.name in jobs],
        [],
        changed,
        project.settings.budget,
        has_settings=True,
        names=names,
    )
    return Consequences((), list(changed), found, list(lines))


def _without_places(output: Output) -> Output:
    """Return the output without where in a file its origins are named."""
    if not output.origins:
        return output
    return replace(output, origins=tuple(replace(origin, where="") for origin in output.origins))
