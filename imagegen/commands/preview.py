"""`doit preview`: generate small images with few steps, to look at before the real ones are paid for."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from imagegen.commands.build import Build, build_now, exit_code_of, read_limit, select, summarise
from imagegen.commands.command import Answer, command, option
from imagegen.errors import InputError
from imagegen.report.console import plural

if TYPE_CHECKING:
    from imagegen.execute.events import Outcome
    from imagegen.execute.forecast import Forecast
    from imagegen.library.selection import Selection
    from imagegen.plan.freshness import Verdict
    from imagegen.plan.output import Output
    from imagegen.report.results.one_off import PreviewOutcome, PreviewState
    from imagegen.report.run_summary import ImageOutcome

__all__ = ["preview"]


@command(
    "preview",
    "Generate small images with few steps, to look at before the real ones, which they never replace.",
    {
        "doit preview portraits": "of the job's stale images, into .imagegen/preview/portraits",
        "doit preview portraits:mallsing": "of this image, stale or not",
        "doit preview --limit 3": "of the first three stale images of each job",
        "doit preview portraits -n": "only say how many, how long they take and what they cost",
    },
    [
        option("limit", str, "", "only the first N of each job that have no preview yet", value="N"),
        option("dry-run", bool, False, "only say what would be previewed", "n"),
    ],
    words="[IMAGE|JOB...]",
    result="imagegen.report.results.one_off:PreviewSummary",
)
def preview(build: Build, words: list[str], *, limit: str, dry_run: bool) -> Answer:
    """Preview the stale images that words name, and each image that has a word of its own."""
    from imagegen.execute.events import Outcome
    from imagegen.execute.forecast import forecast
    from imagegen.report.forecast_summary import summarise_forecast
    from imagegen.report.results.one_off import PreviewSummary
    from imagegen.report.run_summary import Cost, image_problems, summarise_cost

    most = read_limit(build, limit)
    selection = select(build, words)
    if problems := [problem for plan in selection.plans for problem in plan.problems]:
        raise InputError(*dict.fromkeys(problems))
    standing, left = _plan(build, _choose(build, selection), most)
    expected = forecast(build.project, standing, ())
    total = summarise_forecast(expected, (), (), build.settings.budget, left).total
    outputs = [output for output, _ in standing]
    notes = list(_describe(outputs, left, [*([] if limit else build.lifting_limit), "preview", *words]))
    if dry_run and any(one.price != 0 for one in expected.images):
        notes.append(f"a model that does not take a preview's size refuses it: {_build_one(words)}")
    if dry_run or not outputs:
        planned = [Outcome(output, "fresh" if verdict.state == "fresh" else "kept") for output, verdict in standing]
        images = tuple(
            _describe_one(one.output, of_one, "fresh" if one.state == "fresh" else "planned")
            for one, of_one in zip(planned, summarise(build, planned, with_fresh=True), strict=True)
        )
        lines = [*_describe_plan(build, expected, selection), *notes]
        return Answer(PreviewSummary(images, total, Cost(), left, tuple(notes)), lines)
    outcomes, ending = build_now(build, outputs, forced=build.invocation.always)
    if any(_ABOUT_SIZE.search(one.problem.what) for one in outcomes if one.problem):
        notes.append(f"if a model takes no such size, or not so few steps: {_build_one(words)}")
    found = summarise(build, outcomes, with_fresh=True)
    images = tuple(_describe_one(one.output, of_one) for one, of_one in zip(outcomes, found, strict=True))
    summary = PreviewSummary(images, total, summarise_cost(ending.costs), left, tuple(notes))
    lines, code = [*notes, *_name_folders(outcomes)], exit_code_of(outcomes, ending)
    return Answer(summary, lines, code, ending.problems, image_problems(found))


_ABOUT_SIZE = re.compile(r"\b(?:size|sizes|width|height|steps?)\b|\d[x×]\d")
"""In a problem that a preview may have, though its image does not."""


def _build_one(words: Sequence[str]) -> str:
    return f"{shlex.join(['doit', '--limit', '1', *words])} builds the first image itself"


def _choose(build: Build, selection: Selection) -> list[Output]:
    """Return the images to preview: those that are stale, and those that were named one by one."""
    tasks = {*selection.images} & {*build.planned}
    images = (build.planned[one.task] for plan in build.plans for one in plan.outputs if one.task in tasks)
    return [
        one.output
        for one in images
        if not one.output.is_derived and (one.verdict.state == "stale" or one.output.task in selection.one_by_one)
    ]


def _plan(build: Build, images: Sequence[Output], limit: int | None) -> tuple[list[tuple[Output, Verdict]], int]:
    """Return the previews to generate with how they stand, and how many images are left because of the limit.

    An image that is made from another stale one needs the preview of that one.
    """
    from imagegen.execute.forecast import check_with_origins
    from imagegen.plan.limit import limit_outputs
    from imagegen.plan.output import PREVIEW
    from imagegen.plan.preview import plan_previews

    stale = {task: one.output for task, one in build.planned.items() if one.verdict.state == "stale"}
    stale = {task: output for task, output in stale.items() if not output.is_derived}
    previews = {one.task: one for one in plan_previews({**stale, **{one.task: one for one in images}}.values(), stale)}
    asked = [f"{PREVIEW}/{one.task}" for one in images]
    standing = {one[0].task: one for one in check_with_origins(build.project, previews, asked)}
    tasks, left = tuple(standing), 0
    if limit is not None:
        states = {task: verdict.state for task, (_, verdict) in standing.items()}
        forced = asked if build.invocation.always else ()
        known = [previews[task] for task in asked] + [one for task, (one, _) in standing.items() if task not in asked]

        def close(found: Iterable[str]) -> list[str]:
            return [output.task for output, _ in check_with_origins(build.project, previews, found)]

        limited = limit_outputs(known, set(asked), states, forced, limit, close)
        tasks, left = limited.tasks, len(limited.left)
    return [standing[task] for task in standing if task in tasks], left


def _describe(outputs: Sequence[Output], left: int, words: Sequence[str]) -> Iterator[str]:
    """Yield what a user should know of these previews."""
    from imagegen.plan.output import PREVIEW

    as_large = Counter(
        output.job.removeprefix(f"{PREVIEW}/") for output in outputs if not output.parameters >= {"width", "height"}
    )
    for job, count in as_large.items():
        what = "preview is as large as its image" if count == 1 else "previews are as large as their images"
        yield f"{job}: {count} {what}: the job gives no width and height, or its workflow takes none"
    if undecided := [one.task for one in outputs if one.has_random_seed]:
        yield f"{plural(len(undecided), 'image')} will have another seed than the preview: theirs is not chosen yet"
    if left:
        more = shlex.join(["doit", *words])
        yield f"{left} more {'has' if left == 1 else 'have'} no preview yet: {more}"


def _describe_plan(build: Build, expected: Forecast, selection: Selection) -> list[str]:
    from imagegen.report.why import as_lines

    if selection.images and all(build.planned[task].output.is_derived for task in selection.images):
        return ["nothing to preview: a file derived from an image has no preview; its image has one"]
    if not expected.images:
        return ["nothing to preview: no image is stale; one that is named by itself is previewed all the same"]
    lines = as_lines(expected, selection.plans, (), (), build.settings.budget, has_settings=True)
    return ["".join(text for text, _ in line) for line in lines]


def _name_folders(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Yield where the previews are that are there."""
    there = [one.output for one in outcomes if one.state in ("generated", "restored", "fresh")]
    for folder, count in Counter(one.path.rpartition("/")[0] for one in there).items():
        yield f"{plural(count, 'preview')} in {folder}"


def _describe_one(output: Output, found: ImageOutcome, state: PreviewState | None = None) -> PreviewOutcome:
    """Return what became of a preview. state: if nothing was generated."""
    from imagegen.plan.output import PREVIEW
    from imagegen.report.results.one_off import PreviewOutcome

    request = output.request
    return PreviewOutcome(
        task=output.task,
        image=output.task.removeprefix(f"{PREVIEW}/"),
        source=found.source,
        path=output.path,
        state=state or found.state,
        failure=found.failure,
        width=request.width if "width" in output.parameters else None,
        height=request.height if "height" in output.parameters else None,
        steps=request.steps if "steps" in output.parameters else None,
        seed=found.seed,
        seconds=found.seconds,
        price=found.price,
        problems=found.problems,
    )
