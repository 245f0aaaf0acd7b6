"""Outputs that name others as their reference images: found over all jobs, and refused where that cannot be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from imagegen.errors import Problem, did_you_mean
from imagegen.plan.order import circle
from imagegen.plan.output import Origin, Output

__all__ = ["link"]


def link(
    outputs: Sequence[Output], broken: Collection[str], root: str
) -> tuple[dict[str, Output], dict[str, list[Problem]]]:
    """Those outputs of sound jobs that name others, by task, with the others' files; what is wrong, by job.

    outputs: of all jobs but those that are `broken`. root: the project's folder, for the paths that backends get.
    """
    wrong: dict[str, list[Problem]] = {}
    while True:  # a job that turns out to be broken may break others
        known = {output.task: output for output in outputs if output.job not in wrong}
        found = _unknown(known, {*broken, *wrong}) or _circular(known)
        if not found:
            break
        wrong |= found
    return {task: _linked(output, known, root) for task, output in known.items() if _names_others(output)}, wrong


def _names_others(output: Output) -> bool:
    return any(origin.where for origin in output.origins)


def _linked(output: Output, known: Mapping[str, Output], root: str) -> Output:
    origins = tuple(replace(origin, path=known[origin.task].path) for origin in output.origins)
    extra = output.request.extra
    files = {**extra.get("files", {}), **{origin.place: f"{root}/{origin.path}" for origin in origins}}
    return replace(output, origins=origins, request=replace(output.request, extra={**extra, "files": files}))


def _unknown(known: Mapping[str, Output], broken: Collection[str]) -> dict[str, list[Problem]]:
    """References to outputs that are not there, or are no images."""
    found: dict[str, dict[Problem, None]] = defaultdict(dict)
    for output in known.values():
        for origin in output.origins:
            if origin.task not in known:
                found[output.job][_problem(output, origin, _why_not(origin.task, known, broken))] = None
            elif known[origin.task].encoding.format == "json":
                found[output.job][_problem(output, origin, f"{origin.task} is no image")] = None
    return {job: list(problems) for job, problems in found.items()}


def _why_not(task: str, known: Mapping[str, Output], broken: Collection[str]) -> str:
    job, _, slug = task.partition(":")
    if job in broken:
        return f"{task}: the job {job} has problems of its own"
    slugs = [output.slug for output in known.values() if output.job == job]
    if slugs:
        return f"there is no output '{slug}' in the job {job}{did_you_mean(slug, slugs)}"
    jobs = dict.fromkeys(output.job for output in known.values())
    return f"{task}: there is no job '{job}'{did_you_mean(job, jobs)}"


def _circular(known: Mapping[str, Output]) -> dict[str, list[Problem]]:
    ring = circle(known.values())
    tasks = [output.task for output in ring]
    steps = [f"{one} from {other}" for one, other in zip(tasks, [*tasks[1:], *tasks[:1]], strict=True)]
    what = f"made in a circle: {', '.join(steps)}" if len(ring) > 1 else f"{''.join(tasks)} is made from itself"
    found: dict[str, list[Problem]] = {}
    for output in ring:
        for origin in output.origins:
            if origin.task in tasks and origin.where:
                found.setdefault(output.job, [_problem(output, origin, what)])
    return found


def _problem(output: Output, origin: Origin, what: str) -> Problem:
    return Problem(origin.where, f"{output.request.backend}.images.{origin.place}: {what}")
