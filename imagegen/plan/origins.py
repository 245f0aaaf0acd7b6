"""Outputs that are made from others: derived files, sheets, and images with another output as a reference image."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from imagegen.config.job import (
    FORMATS,
    SIZE_KEYS,
    Derivation,
    Job,
    Step,
)
from imagegen.config.steps import (
    check_colour,
    check_step,
    gives_alpha,
    model_key,
    needs_alpha,
    step_file,
    step_model,
)
from imagegen.errors import Problem, did_you_mean
from imagegen.plan.output import STEPS_FIELD, Origin, Output, plan_derived_output
from imagegen.plan.sheets import NO_ANIMATIONS, check_sheet, plan_sheet

__all__ = [
    "PICTURE",
    "find_circle",
    "link_origins",
    "plan_derived",
    "sort_by_origin",
]

PICTURE = "picture"
"""What a derived output is: a picture of one image."""


def plan_derived(
    job: Job,
    images: Sequence[Output],
    step_files: Mapping[str, str],
    names: Mapping[tuple[str, str], str],
    animations: Mapping[str, str] = NO_ANIMATIONS,
    skipped: Collection[tuple[str, str]] = (),
) -> tuple[list[Output], list[Problem]]:
    """Return the derived files of each image, then the sheet and its indexes; and all their problems.

    Args:
        job: checked.
        images: of the job.
        step_files: the sha256 of each file that a step names, and of each model by its `model_key`.
        names: of derived files that have a pattern of their own, by the image's slug and the name of their rules.
        animations: of the sheet: their names, by the slug of the image.
        skipped: derived files that `only` leaves out, by the image's slug and the name of their rules.
    """
    if problems := [*_check_derive(job)]:
        return [], problems
    recipes = [(rules, _write_recipe(rules, step_files), _find_alpha_step(rules)) for rules in job.derive]
    found = [
        _plan_picture(job, rules, recipe, image, names.get((image.slug, rules.name)), step)
        for image in images
        for rules, recipe, step in recipes
        if (image.slug, rules.name) not in skipped
    ]
    if job.sheet is not None and images:
        problems = [*check_sheet(job, job.sheet, images, found)]
        found += [] if problems else plan_sheet(job, job.sheet, images, found, animations)
    return found, problems


def _check_derive(job: Job) -> Iterator[Problem]:
    for rules in job.derive:
        key = f"derive.{rules.name}"
        if rules.crop and (rules.width is None or rules.height is None):
            yield Problem(job.where[f"{key}.crop"], f"{key}.crop: needs a width and a height to cut to")
        if rules.steps:
            yield from _check_steps(job, rules)


def _check_steps(job: Job, rules: Derivation) -> Iterator[Problem]:
    for size in SIZE_KEYS:
        if where := job.where.get(f"derive.{rules.name}.{size}"):
            rival = "preset" if f"derive.{rules.name}.preset" in job.where else "steps"
            what = f"derive.{rules.name}.{size}: has no effect beside {rival}"
            hint = "write it as one of the steps: - resize: {width: …, height: …}"
            if rival == "preset":
                hint = f"write it as its step: resize: {{{_write_size(rules, size)}}}"
            other = job.where.get(f"derive.{rules.name}.{rival}", where)
            if other.partition(":")[0] != where.partition(":")[0]:  # one of them is a base's
                what += f", which {other} gives"
                hint = f"{hint}, in its place; or give one of the two another name under derive"
            yield Problem(where, what, hint)
    for step in rules.steps:
        if problem := check_step(step.name, step.parameters):
            colour = f"{step.key}.colour"  # `background: red` has no key of its own
            is_colour = colour in job.where and check_colour(step.name, step.parameters)
            place = (job.where[colour], colour) if is_colour else (step.where, step.key)
            yield Problem(place[0], f"{place[1]}: {problem}")
    needs = _find_alpha_step(rules)
    if needs and job.output.encoding.format == "jpeg" and not job.has_pictures:
        what = f"{needs.key}: the images are JPEG files, which have no transparency"
        yield Problem(needs.where, what, "put background, cutout or mask before it, or use output: {format: png}")


def _write_size(rules: Derivation, key: str) -> str:
    """Return a key of a derived file as a parameter of the step resize."""
    if key == "crop":
        return f"mode: fill, keep: {rules.crop}"
    return "enlarge: true" if key == "enlarge" else f"{key}: {getattr(rules, key)}"


def _find_alpha_step(rules: Derivation) -> Step | None:
    """Return the step that is not possible with an image that can't be transparent; None if all are."""
    for step in rules.steps:
        if needs_alpha(step.name, step.parameters):
            return step
        if gives_alpha(step.name, step.parameters):
            return None
    return None


def _write_recipe(rules: Derivation, step_files: Mapping[str, str]) -> Mapping[str, Any]:
    """Return what decides a derived picture, besides its image and its encoding."""
    recipe: dict[str, Any] = {"kind": PICTURE}
    recipe |= {"crop": rules.crop} if rules.crop else {}
    recipe |= {"enlarge": True} if rules.enlarge else {}
    recipe |= {key: value for key in ("width", "height") if (value := getattr(rules, key)) is not None}
    steps = []
    for step in rules.steps:
        file = step_file(step.name, step.parameters)
        found: dict[str, Any] = {file: step_files[step.parameters[file]]} if file else {}
        if model := step_model(step.name, step.parameters):
            found["sha256"] = step_files[model_key(step.parameters[model])]
        steps.append([step.name, {**step.parameters, **found}])
    return recipe | ({STEPS_FIELD: steps} if steps else {})


def _plan_picture(
    job: Job, rules: Derivation, recipe: Mapping[str, Any], image: Output, name: str | None, alpha_step: Step | None
) -> Output:
    """Return a derived picture. name: of its file, if it has a pattern of its own. alpha_step: as for `Output`."""
    stem = f"{posixpath.splitext(image.path)[0]}{job.output.separator}{rules.name}"
    if name is not None:
        stem = posixpath.join(job.output.folder if rules.folder is None else rules.folder, name)
    elif rules.folder is not None:
        stem = posixpath.join(rules.folder, posixpath.relpath(stem, job.output.folder))
    path = posixpath.normpath(stem + FORMATS[rules.encoding.format])
    origin = Origin("image", image.task, image.path)
    output = plan_derived_output(job, f"{image.slug}:{rules.name}", path, recipe, rules.encoding, (origin,))
    return replace(output, alpha_step=alpha_step) if alpha_step else output


def link_origins(
    outputs: Sequence[Output], broken: Collection[str]
) -> tuple[dict[str, Output], dict[str, list[Problem]]]:
    """Return the outputs that name others as reference images, by task and with those files; and problems, by job.

    Args:
        outputs: of all jobs without problems.
        broken: the other jobs.
    """
    outputs = _use_present_names(outputs)
    wrong: dict[str, list[Problem]] = {}
    while True:  # a job that turns out to be broken may break others
        known = {output.task: output for output in outputs if output.job not in wrong}
        found = _find_unknown(known, {*broken, *wrong}) or _find_circles(known)
        if not found:
            break
        wrong |= found
    return {task: _link(output, known) for task, output in known.items() if _has_references(output)}, wrong


def _has_references(output: Output) -> bool:
    return any(origin.where for origin in output.origins)


def _use_present_names(outputs: Sequence[Output]) -> Sequence[Output]:
    """Let references to a picked variant, or to what is derived from it, use the name that it has now."""
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


def _link(output: Output, known: Mapping[str, Output]) -> Output:
    origins = tuple(
        replace(origin, path=known[origin.task].path) if origin.task else origin for origin in output.origins
    )
    return replace(output, origins=origins)


def _find_unknown(known: Mapping[str, Output], broken: Collection[str]) -> dict[str, list[Problem]]:
    """Find references to outputs that do not exist, or are not images."""
    found: dict[str, dict[Problem, None]] = defaultdict(dict)
    for output in known.values():
        for origin in output.origins:
            if not origin.task or not origin.where:  # a file; or what the job's structure names, an index among it
                continue
            if origin.task not in known:
                is_near = len(found[output.job]) < _SUGGESTIONS
                why = _explain_missing(origin.task, known, broken) if is_near else f"there is no output {origin.task}"
                found[output.job][_problem(output, origin, why)] = None
            elif not known[origin.task].encoding.is_image:
                found[output.job][_problem(output, origin, f"{origin.task} is not an image")] = None
    return {job: list(problems) for job, problems in found.items()}


_SUGGESTIONS = 100
"""Problems of one job that suggest a name: each takes a search among all outputs, and nobody reads more."""


def _explain_missing(task: str, known: Mapping[str, Output], broken: Collection[str]) -> str:
    job, _, slug = task.partition(":")
    if job in broken:
        return f"{task}: the job {job} has problems of its own"
    slugs = [output.slug for output in known.values() if output.job == job]
    if slugs:
        return f"there is no output '{slug}' in the job {job}{did_you_mean(slug, slugs)}"
    jobs = dict.fromkeys(output.job for output in known.values())
    return f"{task}: there is no job '{job}'{did_you_mean(job, jobs)}"


def _find_circles(known: Mapping[str, Output]) -> dict[str, list[Problem]]:
    found: dict[str, list[Problem]] = defaultdict(list)
    left = dict(known)
    while ring := find_circle(left.values()):
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
    return Problem(origin.where, f"{output.request.backend}.images.{origin.key}: {what}")


def sort_by_origin(outputs: Sequence[Output]) -> list[Output]:
    """Sort outputs so that each comes after its origins, and otherwise as before. There must be no circle."""
    if not any(output.origins for output in outputs):
        return list(outputs)
    known = {output.task: output for output in outputs}
    ordered: dict[str, Output] = {}
    for output in outputs:
        waiting = [output]
        while waiting:
            one = waiting[-1]
            before = [known[o.task] for o in one.origins if o.task in known and o.task not in ordered]
            if before:
                waiting += reversed(before)
            else:
                ordered.setdefault(one.task, one)
                waiting.pop()
    return list(ordered.values())


def find_circle(outputs: Iterable[Output]) -> list[Output]:
    """Return outputs of which each is made from the next, and the last from the first; empty if there are none."""
    known = {output.task: output for output in outputs if output.origins}
    try:
        TopologicalSorter({task: [origin.task for origin in one.origins] for task, one in known.items()}).prepare()
    except CycleError as error:
        return [known[task] for task in reversed(error.args[1][1:])]
    return []
