"""`doit prune`: remove files that nothing uses any more."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from imagegen.commands.build import Build
from imagegen.commands.command import YES, command, option, require
from imagegen.errors import ImagegenError, InputError, Problem, printable

if TYPE_CHECKING:
    from imagegen.execute.prune import UnusedFiles
    from imagegen.project import JobPlan, Project

__all__ = ["prune", "waste_lines"]


@command(
    "prune",
    "Remove files that nothing uses any more (asks first).",
    {"doit prune -n": "only list what would be removed", "doit prune --yes": "remove it without asking"},
    [
        option("dry-run", bool, False, "only list what would be removed", "n"),
        YES,
        option("candidates", bool, False, "also variants that were not picked"),
    ],
)
def prune(build: Build, *, dry_run: bool, yes: bool, candidates: bool) -> None:
    """Show what can be removed, ask, and remove it."""
    from imagegen.execute.prune import find_unused, prune

    if broken := [problem for plan in build.plans for problem in plan.problems]:
        what = "nothing is removed while a job is broken: which files it uses is not known"
        raise InputError(*dict.fromkeys(broken), Problem("", what, "fix the job first"))
    waste = find_unused(build.project, build.plans, candidates=candidates)
    lines = [printable(line) for line in waste_lines(build.project, build.plans, waste)]
    print("\n".join(lines or ["nothing to remove"]), flush=True)
    if not waste or dry_run:
        return
    if not yes:
        require("Remove all this?", "nothing was removed", "doit prune --yes")
    with build.lock():
        if find_unused(build.project, build.project.plans(), candidates=candidates) != waste:
            raise ImagegenError(Problem("", "something changed meanwhile: nothing is removed", "doit prune again"))
        prune(build.project, waste)
    print("removed", flush=True)


def waste_lines(project: Project, plans: Sequence[JobPlan], waste: UnusedFiles) -> Iterator[str]:
    """Yield what can be removed, and what stays though nothing uses it."""
    from imagegen.backends.text import size_text
    from imagegen.report.console import plural

    for orphan in waste.orphans:
        if orphan.why:
            yield f"keep    {orphan.path}: {orphan.why}"
        elif orphan.exists:
            yield f"remove  {orphan.path}: it no longer belongs to any item"
        else:
            why = f"it is an image of '{orphan.owner}'" if orphan.owner else "neither its file nor its item exists"
            yield f"remove  the line of {orphan.path} in jobs/{orphan.job}.lock: {why}"
    images = {(output.job, output.full_slug): output.path for plan in plans for output in plan.outputs}
    for job, path, line in waste.candidates:
        image = images.get((job, line.output))
        why = f"it was picked, and its image is {image} now" if image else "another variant was picked"
        what = path if (project.root / path).exists() else f"the line of {line.path} in jobs/{job}.lock"
        yield f"remove  {what}: {why}"
    yield from (f"keep    {path}: changed since it was generated, by hand or by git" for path in waste.changed)
    if waste.leftovers:
        shown = os.path.relpath(waste.leftovers[0], project.root)
        more = f" and {len(waste.leftovers) - 1} more" if len(waste.leftovers) > 1 else ""
        yield f"remove  {plural(len(waste.leftovers), 'file')} that a killed run left: {shown}{more}"
    if waste.store_bytes:
        yield f"remove  {size_text(waste.store_bytes)} of the store, over its limit: least recently used first"
