"""`doit pick`: choose one variant as an item's image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from imagegen.commands.build import Build, build_now, exit_code_of, select_images, summarise
from imagegen.commands.command import Answer, answer_even_if_it_fails, command, option
from imagegen.errors import InputError, Problem, printable

if TYPE_CHECKING:
    from imagegen.execute.pick import PickResult
    from imagegen.plan.freshness import Verdict
    from imagegen.plan.output import Output
    from imagegen.report.results.curation import Picked

__all__ = ["pick"]


@command(
    "pick",
    "Choose one variant as an item's image; --variant 0 makes all of them images again.",
    {
        "doit pick portraits:mallsing --variant 3": "variant 3 is the image",
        "doit pick portraits:mallsing-v3": "the same",
        "doit pick portraits:mallsing --variant 0": "all variants are images again",
    },
    [option("variant", int, None, "the variant's number; 0: none is picked, all of them are images again")],
    words="IMAGE",
    result="imagegen.report.results.curation:Picked",
)
def pick(build: Build, words: list[str], *, variant: int | None) -> Answer:
    """Move the variants' files, record the pick, and build what is derived from the image."""
    from imagegen.execute.pick import pick
    from imagegen.execute.prune import refresh_derived
    from imagegen.report.run_summary import image_problems, summarise_cost

    _find_variant(build, words, variant)  # a mistake is reported before anybody is waited for
    with build.lock():
        job, base, number = _find_variant(build, words, variant)
        picked = pick(build.project, job, base, number)
        verdict = build.project.verdict(build.project.with_origins(picked.outputs[0]))
        result = _summarise(picked, verdict)
        print("\n".join(map(printable, _picked_lines(picked, verdict))), flush=True)
        with answer_even_if_it_fails(lambda: result):
            derived = refresh_derived(build.project, picked)
    with answer_even_if_it_fails(lambda: result):
        outcomes, ending = build_now(build, derived)
    result = replace(result, derived=summarise(build, outcomes), cost=summarise_cost(ending.costs))
    return Answer(result, (), exit_code_of(outcomes, ending), ending.problems, image_problems(result.derived))


def _summarise(picked: PickResult, verdict: Verdict) -> Picked:
    from imagegen.execute.pick import CANDIDATES
    from imagegen.report.results.curation import Picked, Variant
    from imagegen.report.run_summary import summarise_reasons

    first = picked.outputs[0]
    images = tuple(Variant(one.task, one.path, one.variant) for one in picked.outputs)
    ending = PurePosixPath(first.path).suffix
    candidates = tuple(
        Variant(f"{first.job}:{slug}", f"{CANDIDATES}/{first.job}/{slug}{ending}", int(slug.rpartition("-v")[2]))
        for slug in picked.candidates
    )
    item, chosen = f"{first.job}:{first.base}", first.variant if _is_picked(first) else None
    return Picked(item, chosen, images, candidates, verdict.state, summarise_reasons(verdict.reasons))


def _is_picked(output: Output) -> bool:
    return bool(output.variant) and output.slug != output.full_slug


def _find_variant(build: Build, names: list[str], variant: int | None) -> tuple[str, str, int]:
    """Return the job, the slug without variant, and the variant that are meant: `portraits:mallsing-v3` says it all."""
    from imagegen.backends.text import list_first
    from imagegen.execute.curation import find_images

    if len(names) != 1:
        raise InputError(Problem("", "name one image and a variant", "doit pick JOB:IMAGE --variant N"))
    item, _, number = names[0].rpartition("-v")
    if variant is None and number.isdigit() and names[0] not in build.planned and item in build.items:
        names, variant = [item], int(number)  # it waits as a candidate
    outputs = [planned.output for planned in select_images(build, names)]
    if len(outputs) == 1 and outputs[0].is_derived:
        images, made_from = find_images(build.project, outputs[0])
        what = f"it is derived from {list_first(made_from)}, and has no variants of its own"
        with_variants = (f"doit pick {image.job}:{image.base} --variant N" for image in images if image.variant)
        raise InputError(Problem(names[0], what, next(with_variants, "")))
    outputs = [output for output in outputs if not output.is_derived]
    if len({output.base for output in outputs}) != 1 or names[0] in (plan.task for plan in build.plans):
        example = f"{outputs[0].job}:{outputs[0].base}" if outputs else "JOB:IMAGE"
        raise InputError(Problem(names[0], "that is more than one item", f"name one: doit pick {example} …"))
    first = outputs[0]
    image = f"{first.job}:{first.base}"
    if names[0] == first.task and first.variant and first.slug == first.full_slug:
        if variant not in (None, first.variant):
            what = f"the name says variant {first.variant}, and --variant says {variant}"
            raise InputError(Problem(names[0], what, f"doit pick {image} --variant {variant}"))
        variant = first.variant
    if variant is None and first.variant:
        known = ", ".join(str(output.variant) for output in outputs)
        now = f"{known} is picked now" if len(outputs) == 1 else f"there are {known}"
        hint = f"doit pick {image} --variant N ({now}; 0: all are images again)"
        raise InputError(Problem(image, "say which variant", hint))
    if variant is None:
        raise InputError(Problem(image, "it has no variants to pick from", "variants: 4 in the job"))
    return first.job, first.base, variant


def _picked_lines(picked: PickResult, verdict: Verdict) -> Iterator[str]:
    from imagegen.execute.pick import CANDIDATES
    from imagegen.report.console import plural

    first = picked.outputs[0]
    if not _is_picked(first):
        yield f"unpicked   {first.job}:{first.base}: {plural(len(picked.outputs), 'variant')} again"
        return
    yield f"picked     {first.task}  {first.path}  (variant {first.variant})"
    if picked.candidates:
        yield f"candidates {', '.join(picked.candidates)}  in {CANDIDATES}/{first.job}"
    if verdict.state == "stale":
        yield (
            f"{first.task} is stale, as its variant was ({', '.join(map(str, verdict.reasons))}): the next doit "
            f"generates it again; to keep it as it is: doit accept {first.task}"
        )
