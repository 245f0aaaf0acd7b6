"""`doit prune`: remove files that nothing uses any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagegen.commands.build import Build
from imagegen.commands.command import YES, Answer, answer_even_if_it_fails, command, option, require
from imagegen.errors import ImagegenError, InputError, Problem, printable

if TYPE_CHECKING:
    from imagegen.execute.prune import UnusedFiles
    from imagegen.project import JobPlan, Project
    from imagegen.report.results.storage import PrunedFiles, UnusedFile

__all__ = ["list_waste", "prune", "waste_lines"]


@command(
    "prune",
    "Remove files that nothing uses any more (asks first).",
    {"doit prune -n": "only list what would be removed", "doit prune --yes": "remove it without asking"},
    [
        option("dry-run", bool, False, "only list what would be removed", "n"),
        YES,
        option("candidates", bool, False, "also variants that were not picked"),
    ],
    result="imagegen.report.results.storage:PrunedFiles",
)
def prune(build: Build, *, dry_run: bool, yes: bool, candidates: bool) -> Answer:
    """Show what can be removed, ask, and remove it."""
    from imagegen.execute.prune import find_unused, prune
    from imagegen.report.results.storage import PrunedFiles

    if broken := [problem for plan in build.plans for problem in plan.problems]:
        what = "nothing is removed while a job is broken: which files it uses is not known"
        raise InputError(*dict.fromkeys(broken), Problem("", what, "fix the job first"))
    waste = find_unused(build.project, build.plans, candidates=candidates)
    files = tuple(list_waste(build.project, build.plans, waste))
    size = sum(one.bytes for one in files if one.action == "remove") + waste.store_bytes
    result = PrunedFiles(is_removed=False, files=files, store_bytes=waste.store_bytes, bytes=size)
    lines = list(waste_lines(result))
    if not waste or dry_run:
        return Answer(result, lines or ["nothing to remove"])
    print("\n".join(lines), flush=True)
    with answer_even_if_it_fails(lambda: result):
        if not yes:
            require("Remove all this?", "nothing was removed", "doit prune --yes")
        with build.lock():
            if find_unused(build.project, build.project.plans(), candidates=candidates) != waste:
                raise ImagegenError(Problem("", "something changed meanwhile: nothing is removed", "doit prune again"))
            prune(build.project, waste)
    return Answer(replace(result, is_removed=True), ["removed"])


def list_waste(project: Project, plans: Sequence[JobPlan], waste: UnusedFiles) -> Iterator[UnusedFile]:
    """Yield what can be removed, and what stays though nothing uses it."""
    from imagegen.report.results.storage import UnusedFile

    root = project.root
    for orphan in waste.orphans:
        if orphan.why:
            yield UnusedFile(orphan.path, "output", None, "keep", orphan.why, _size(root / orphan.path))
        elif orphan.exists:
            why = "it no longer belongs to any item"
            yield UnusedFile(orphan.path, "output", None, "remove", why, _size(root / orphan.path))
        else:
            why = f"it is an image of '{orphan.owner}'" if orphan.owner else "neither its file nor its item exists"
            yield UnusedFile(orphan.path, "line", f"jobs/{orphan.job}.lock", "remove", why, 0)
    images = {(output.job, output.full_slug): output.path for plan in plans for output in plan.outputs}
    for job, path, line in waste.candidates:
        image = images.get((job, line.output))
        why = f"it was picked, and its image is {image} now" if image else "another variant was picked"
        if (root / path).exists():
            yield UnusedFile(path, "candidate", None, "remove", why, _size(root / path))
        else:
            yield UnusedFile(line.path, "line", f"jobs/{job}.lock", "remove", why, 0)
    for path in waste.changed:
        why = "changed since it was generated, by hand or by git"
        yield UnusedFile(path, "candidate", None, "keep", why, _size(root / path))
    for preview in waste.previews:
        why = "the image or the job that it previews is gone"
        yield UnusedFile(preview.relative_to(root).as_posix(), "preview", None, "remove", why, _size(preview))
    for leftover in waste.leftovers:
        path = leftover.relative_to(root).as_posix() if leftover.is_relative_to(root) else leftover.as_posix()
        yield UnusedFile(path, "leftover", None, "remove", "a killed run left it", _size(leftover))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it may go at any moment
        return 0


def waste_lines(waste: PrunedFiles) -> Iterator[str]:
    """Yield the same for a person: what a killed run left in one line."""
    from imagegen.backends.text import size_text
    from imagegen.report.console import plural

    leftovers = [one.path for one in waste.files if one.kind == "leftover"]
    for one in waste.files:
        if one.kind != "leftover":
            what = f"the line of {one.path} in {one.lock}" if one.kind == "line" else one.path
            yield printable(f"{one.action:<6}  {what}: {one.why}")
    if leftovers:
        more = f" and {len(leftovers) - 1} more" if len(leftovers) > 1 else ""
        yield printable(f"remove  {plural(len(leftovers), 'file')} that a killed run left: {leftovers[0]}{more}")
    if waste.store_bytes:
        yield f"remove  {size_text(waste.store_bytes)} of the store, over its limit: least recently used first"
