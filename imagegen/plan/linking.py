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
    outputs = _by_present_names(outputs)
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


def _by_present_names(outputs: Sequence[Output]) -> Sequence[Output]:
    """References to a variant that is picked, or what is derived from it, by its own name, by the name that it has."""
    names: dict[str, str] = {}
    for output in outputs:
        if output.variant and output.slug != output.full_slug:
            names[f"{output.job}:{output.full_slug}"] = output.task
    if not names:
        return outputs
    own_names = {present: own for own, present in names.items()}
    for output in outputs:
        image, _, derived = output.slug.partition(":")
        if derived and (own := own_names.get(f"{output.job}:{image}")):
            names[f"{own}:{derived}"] = output.task
    return [
        replace(output, origins=tuple(replace(one, task=names.get(one.task, one.task)) for one in output.origins))
        if any(one.task in names for one in output.origins)
        else output
        for output in outputs
    ]


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
                is_near = len(found[output.job]) < _SUGGESTIONS
                why = _why_not(origin.task, known, broken) if is_near else f"there is no output {origin.task}"
                found[output.job][_problem(output, origin, why)] = None
            elif known[origin.task].encoding.format == "json":
                found[output.job][_problem(output, origin, f"{origin.task} is no image")] = None
    return {job: list(problems) for job, problems in found.items()}


_SUGGESTIONS = 100
"""Problems of one job that say what was likely meant: each is looked for among all outputs, and nobody reads more."""


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
    found: dict[str, list[Problem]] = defaultdict(list)
    left = dict(known)
    while ring := circle(left.values()):
        tasks = [output.task for output in ring]
        steps = [f"{one} from {other}" for one, other in zip(tasks, [*tasks[1:], *tasks[:1]], strict=True)]
        if len(steps) > _STEPS:
            steps = [*steps[: _STEPS - 2], f"and so on through {len(ring)} images", steps[-1]]
        what = f"made in a circle: {', '.join(steps)}" if len(ring) > 1 else f"{''.join(tasks)} is made from itself"
        named: dict[str, Problem] = {}
        members = set(tasks)
        for output in ring:
            del left[output.task]
            for origin in output.origins:
                if origin.task in members and origin.where:
                    named.setdefault(output.job, _problem(output, origin, what))
        for job, problem in named.items():
            found[job].append(problem)
    return found


_STEPS = 10


def _problem(output: Output, origin: Origin, what: str) -> Problem:
    return Problem(origin.where, f"{output.request.backend}.images.{origin.place}: {what}")
