"""`doit verify` and `doit prune`: whether all is as recorded, and removing what nothing needs any more."""

from __future__ import annotations

from typing import Any

from doit.exceptions import TaskFailed

from imagegen.commands.acting import command, confirm, told, writing
from imagegen.commands.build import Build, chosen
from imagegen.commands.command import YES, define, option
from imagegen.errors import ImagegenError, Problem

__all__ = [
    "task_prune",
    "task_verify",
]


_VERIFY = define(
    "verify",
    "Check all files against the lock files, and the store.",
    {"doit verify": "the whole project", "doit verify portraits": "one job"},
    words="[IMAGE|JOB...]",
)
_PRUNE = define(
    "prune",
    "Remove files nothing uses any more (asks first).",
    {"doit prune -n": "only say what would be removed", "doit prune --yes": "remove it without asking"},
    [
        option("dry-run", bool, False, "only say what would be removed", "n"),
        YES,
        option("candidates", bool, False, "also variants that were not picked"),
    ],
)


def task_verify() -> dict[str, Any]:
    """The command `verify`."""
    return command(_VERIFY, _verify)


def task_prune() -> dict[str, Any]:
    """The command `prune`."""
    return command(_PRUNE, _prune)


def _verify(words: list[str]) -> TaskFailed | None:
    def work(build: Build) -> None:
        from imagegen.execute.verify import verify_orphans, verify_outputs, verify_store
        from imagegen.report.upkeep import verified_lines

        planned = chosen(build, words) if words else list(build.planned.values())
        jobs = [plan.name for plan in build.plans if plan.task in words] if words else None
        images = verify_outputs(build.project, [one.output for one in planned])
        store = None if words else verify_store(build.project)
        orphans = verify_orphans(build.project, build.plans, jobs)
        print("\n".join(verified_lines(images, store, orphans)), flush=True)
        broken = [] if words else [problem for plan in build.plans for problem in plan.problems]
        if broken or not all(finding.is_right for finding in (*images, *(store or ()), *orphans)):
            raise ImagegenError(*dict.fromkeys(broken))

    return told(work)


def _prune(**options: bool) -> TaskFailed | None:
    def work(build: Build) -> None:
        from imagegen.execute.prune import find_unused, prune
        from imagegen.report.upkeep import waste_lines

        if broken := [problem for plan in build.plans for problem in plan.problems]:
            what = "what belongs to no item cannot be told while a job is broken: nothing is removed"
            raise ImagegenError(*dict.fromkeys(broken), Problem("", what, "fix the job first"))
        waste = find_unused(build.project, build.plans, candidates=options["candidates"])
        lines = waste_lines(build.project, waste)
        print("\n".join(lines or ["nothing to remove"]), flush=True)
        if not waste or options["dry_run"]:
            return
        if not (options["yes"] or confirm("Remove all this?", "nothing is removed", "doit prune --yes")):
            return
        with writing(build):
            if find_unused(build.project, build.project.plans(), candidates=options["candidates"]) != waste:
                raise ImagegenError(Problem("", "something changed meanwhile: nothing is removed", "doit prune again"))
            prune(build.project, waste)
        print("removed", flush=True)

    return told(work)
