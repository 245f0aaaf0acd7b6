"""From a job to its outputs: items × matrix × variants, with prompts, seeds, slugs and paths resolved."""

from __future__ import annotations

import functools
import posixpath
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from imagegen.config.job import DEFAULT_TIMEOUT_S, FORMATS, Item, Job, OutputRules
from imagegen.config.schema import AXIS_FIELDS, COMMON, FIELD_TYPES, GENERATE_FIELDS, SEED, TYPES
from imagegen.errors import ImagegenError, InputError, Problem
from imagegen.plan.file_names import collect_words, fill_pattern, find_clashing_names
from imagegen.plan.folder_items import find_same_names, link_files
from imagegen.plan.matrix import Cell, count_cells, expand_matrix, find_left_out
from imagegen.plan.naming import MAX_SLUG, check_slug, compute_seed, make_slug
from imagegen.plan.origins import plan_derived
from imagegen.plan.output import DERIVE, Origin, Output
from imagegen.plan.prompt_template import PromptTemplate, Text, join_prompt, parse_prompt
from imagegen.plan.record import JobDecisions
from imagegen.plan.request import Request, canonical_fields, fingerprint, select_parameters
from imagegen.plan.wildcards import NO_WILDCARDS, Wildcards

__all__ = [
    "MAX_OUTPUTS",
    "BackendCapabilities",
    "Expansion",
    "expand",
]


MAX_OUTPUTS = 200_000
"""Of one job, derived ones among them: what is planned is held in memory."""
MAX_TEXT = 100_000_000
"""Characters of all prompts of one job, each as often as it is used: a short file can ask for gigabytes."""
MAX_SEED = SEED["max"]
MAX_AXES = MAX_SLUG // 2
"""Each gives at least two characters of an output's name."""
_NONE: Mapping[str, str] = {}


@dataclass(frozen=True)
class BackendCapabilities:
    """What expansion must know of a backend, as one item's options have it."""

    backend: str
    parameters: frozenset[str]  # the request fields that it uses
    model: str | None = ""  # None: not decided yet, which the executor does
    extra: Mapping[str, Any] = field(default_factory=dict)  # of the request
    only_if_given: frozenset[str] = frozenset()  # of the parameters: those that count only if the job gives them
    has_open_model: bool = False  # the only model there is becomes a decision
    origins: Mapping[str, str] = field(default_factory=dict)  # reference images that are other outputs, by their key
    unused: frozenset[str] = frozenset()  # what the backend uses, and this model does not: not among the parameters


@dataclass(frozen=True)
class Expansion:
    """The outputs of one job, its problems, and what its user should know once."""

    outputs: tuple[Output, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


class _Image(NamedTuple):
    """One image that a job asks for."""

    number: int  # in a sequence of seeds
    item: Item
    cell: Cell
    base: str  # its slug without the variant
    variant: int  # 0: there are none

    @property
    def full_slug(self) -> str:
        return f"{self.base}-v{self.variant}" if self.variant else self.base


def expand(
    job: Job,
    items: Sequence[Item],
    capabilities: Callable[[Item], BackendCapabilities],
    decided: JobDecisions,
    wildcards: Wildcards = NO_WILDCARDS,
    step_files: Mapping[str, str] = _NONE,
) -> Expansion:
    """Return the outputs of a job.

    A variant that was picked is the image, even if the job no longer has that many, or any.

    Args:
        job: checked.
        items: inline ones and those of its prompt source, or the files of its folder, in order.
        capabilities: of the backend, for each item; raises ImagegenError.
        decided: the job's decisions so far.
        wildcards: that prompts can name.
        step_files: the sha256 of each file that a step of a derived file names.
    """
    if too_much := _check_size(job, items):
        return Expansion((), (Problem(job.where.get("", job.file), too_much),))
    matrix, wrong = expand_matrix(job)
    problems = [*(find_same_names(job, items) if job.folder else _find_repeated_names(items)), *wrong]
    outputs: list[Output] = []
    derived_names: dict[tuple[str, str], str] = {}
    left_out, wrong = find_left_out(job, matrix)
    problems += wrong
    skipped: set[tuple[str, str]] = set()
    has_patterns = any(rules.file_name is not None for rules in job.derive)
    animations: dict[str, str] = {}
    files: dict[str, str] = {}
    for image in _walk_images(job, items, matrix, decided):
        try:
            if job.has_pictures:
                output = _plan_place(job, image)
                files[output.task] = image.item.file
            else:
                output = _plan_output(job, image, capabilities, decided, wildcards)
            outputs.append(output)
            names = left_out.get(image.cell, ())
            skipped |= {(output.slug, name) for name in names}
            if has_patterns:
                derived_names.update(_name_derived(job, image, output.slug, names))
            animations |= _name_animation(job, image, output.slug)
        except ImagegenError as error:
            problems += error.problems
    if job.matrix or decided.picked:
        problems += _find_repeated_slugs(job, outputs)
    make_slug.cache_clear()  # it holds 100 bytes of each image
    derived, wrong = plan_derived(job, outputs, step_files, derived_names, animations, skipped)
    outputs = link_files(derived, files) if job.has_pictures else [*outputs, *derived]
    problems += [*wrong, *find_clashing_names(job, outputs)]
    return Expansion(
        tuple(outputs), tuple(dict.fromkeys(problems)), tuple(_find_ignored_fields(job, items, capabilities))
    )


def _plan_place(job: Job, image: _Image) -> Output:
    """Return the output that an item's file would be if it were generated: derived files are named after it.

    Raises ImagegenError.
    """
    if problem := check_slug(image.base, names_file=False):
        raise _error(image.item.where, f"items.folder: {image.item.file} {problem}")
    return Output(
        job=job.name,
        slug=image.base,
        path=_resolve_path(job, image, image.base),
        request=Request(DERIVE, image.item.name, ""),
        parameters=frozenset(),
        encoding=job.output.encoding,
        overwrite=job.output.overwrite,
        timeout_s=DEFAULT_TIMEOUT_S,
        fingerprint="",
        base=image.base,
    )


def _plan_output(
    job: Job,
    image: _Image,
    capabilities: Callable[[Item], BackendCapabilities],
    decided: JobDecisions,
    wildcards: Wildcards,
) -> Output:
    """Return the output of one image. Raises ImagegenError."""
    item = image.item
    slug = image.base if image.base in decided.picked else image.full_slug
    names_file = job.output.name == OutputRules.name
    if problem := check_slug(slug if make_slug(item.name) else "", names_file=names_file):
        raise _error(item.where, f"name: '{item.name[:60]}' {problem}")
    backend = capabilities(item)
    asked, template = _resolve_fields(job, item, image.cell, backend, wildcards)
    path = _resolve_path(job, image, slug)
    seed, origin = _choose_seed(job, image, decided)
    if job.variants > 1 and ("seed" in item.overrides or job.seed.mode == "fixed"):
        raise _error(item.where, f"seed: {seed} for all variants of '{item.name[:60]}' makes them alike")
    if job.variants > 1 and "seed" not in backend.parameters and not template.has_choices:
        what = f"variants: {backend.backend} takes no seed, so all variants would be the same image"
        hint = "remove it; doit -a TASK generates another image, and doit restore TASK goes back to an earlier one"
        raise _error(job.where.get("variants", item.where), what, hint)
    if (seed or 0) > MAX_SEED:
        what = f"seed: {seed} for '{item.name[:60]}' is too large: the sequence may go up to {MAX_SEED}"
        raise _error(job.where.get("generate.seed", item.where), what)
    if seed is not None or not template.has_choices:
        prompt, negative = template.render(seed or 0)
        asked |= {"prompt": prompt} | ({"negative": negative} if "negative" in asked else {})
    if origin == "given":
        asked["given"] = _sort((*asked["given"], "seed"))
    origins = _find_origins(job, item, backend)
    request = Request(**asked, seed=seed)
    parameters = select_parameters(request, backend.parameters, backend.only_if_given)
    fields = canonical_fields(request, parameters)
    return Output(
        job=job.name,
        slug=slug,
        path=path,
        request=request,
        parameters=parameters,
        encoding=job.output.encoding,
        overwrite=job.output.overwrite,
        timeout_s=item.overrides.get("timeout_s", job.generate.get("timeout_s", DEFAULT_TIMEOUT_S)),
        fingerprint="" if seed is None or backend.model is None or origins else fingerprint(fields),
        has_random_seed=origin == "random",
        has_open_model=backend.has_open_model,
        origins=origins,
        base=image.base,
        variant=image.variant,
        has_own_seed="seed" in item.overrides,
        template=template if origin == "random" and template.has_choices else None,
    )


def _error(where: str, what: str, hint: str = "") -> ImagegenError:
    return InputError(Problem(where, what, hint))


def _check_size(job: Job, items: Sequence[Item]) -> str:
    """Return what makes the job too large to plan, before any of it is planned; empty if nothing does."""
    each = count_cells(job.matrix, {}) * job.variants
    count = len(items) * each
    derived = sum(len(items) * job.variants * count_cells(job.matrix, rules.only) for rules in job.derive)
    if count + derived > MAX_OUTPUTS:
        files = f" and {derived} files of them" if derived else ""
        return f"makes {count} images{files}, more than the {MAX_OUTPUTS} that one job may have: split it"
    if len(job.matrix) > MAX_AXES:
        return f"matrix: has {len(job.matrix)} axes, and at most {MAX_AXES} fit into a name: split it"
    common = len(job.prefix) + len(job.suffix) + len(job.generate.get("negative", ""))
    texts = sum(common + len(item.prompt) + len(item.overrides.get("negative", "")) for item in items)
    if texts * each > MAX_TEXT:
        return f"makes prompts of {texts * each} characters in all, more than {MAX_TEXT}: split it, or shorten them"
    return ""


def _walk_images(job: Job, items: Sequence[Item], matrix: Sequence[Cell], decided: JobDecisions) -> Iterator[_Image]:
    variants = range(1, job.variants + 1) if job.variants > 1 else range(1)
    first = 0
    for item in items:
        for cell in matrix:
            base = make_slug(item.name)
            if cell:
                base = "-".join([base, *(make_slug(value.name) for value in cell)])
            picked = decided.picked.get(base)
            for variant in (picked,) if picked else variants:
                yield _Image(first + max(0, variant - 1), item, cell, base, variant)
            first += job.variants


def _resolve_fields(
    job: Job, item: Item, cell: Cell, backend: BackendCapabilities, wildcards: Wildcards
) -> tuple[dict[str, Any], PromptTemplate]:
    """Return the request's fields that do not depend on the seed, and its texts."""
    generate = {**job.generate, **item.overrides}
    of_job = job.where.get("prompt", item.where)
    texts = {
        "prefix": Text(job.prefix, "prompt.prefix", of_job),
        "prompt": Text(item.prompt, "prompt", item.where),
        "suffix": Text(job.suffix, "prompt.suffix", of_job),
        "negative": Text(generate.get("negative", ""), "negative", item.where),
    }
    axes = {value.axis: Text(str(value.text), value.key, job.where.get(value.key, "")) for value in cell}
    template = parse_prompt(texts, axes, wildcards)
    for value in cell:
        if value.axis in template.axes:
            continue
        if value.axis not in AXIS_FIELDS:
            what = f"matrix.{value.axis}: the prompt of '{item.name}' does not use {{{value.axis}}}"
            raise _error(
                job.where[f"matrix.{value.axis}"], f"{what}: add it to the prompt, or to prompt.prefix or suffix"
            )
        if expected := _check_field(value.axis, value.text):
            raise _error(job.where[value.key], f"{value.key}: expected {expected}, found '{value.text}'")
        generate[value.axis] = float(value.text) if COMMON[value.axis]["type"] == "number" else value.text
    given = {key: generate[key] for key in GENERATE_FIELDS if key in generate and key != "seed"}
    asked = {
        "backend": backend.backend,
        "name": item.name,
        "prompt": join_prompt(job.prefix, item.prompt, job.suffix),
        "model": backend.model or "",
        "extra": {**backend.extra, "images": {**backend.extra.get("images", {}), **backend.origins}}
        if backend.origins
        else backend.extra,
        **given,
    }
    return {**asked, "given": _sort(tuple([key for key, value in given.items() if value != ""]))}, template


@functools.lru_cache(maxsize=1024)
def _sort(names: tuple[str, ...]) -> tuple[str, ...]:
    """Sort names of fields: the same tuple for all images of a job that are alike in this."""
    return tuple(sorted(names))


def _find_origins(job: Job, item: Item, backend: BackendCapabilities) -> tuple[Origin, ...]:
    own = item.sections.get(backend.backend, {}).get("images", {})
    of_job = job.where.get(f"{backend.backend}.images", job.file)
    return tuple(Origin(key, task, where=item.where if key in own else of_job) for key, task in backend.origins.items())


def _check_field(field: str, value: str | int | float) -> str:
    """Return what is expected of an axis's value, by the rules of its field in `generate`; empty if it is valid."""
    rules = COMMON[field]
    words = TYPES[rules["type"]].name
    low, high = rules.get("min"), rules.get("max")
    if isinstance(value, FIELD_TYPES[field]) and (isinstance(value, str) or low <= value <= high):
        return ""
    return f"{words} from {low} to {high}" if low is not None else words


def _choose_seed(
    job: Job, image: _Image, decided: JobDecisions
) -> tuple[int | None, Literal["given", "random", "derived"]]:
    """Return the seed, None while it has not been chosen, and where it comes from: the job gives it, or we chose it."""
    slug, rule = image.full_slug, job.seed
    if "seed" in image.item.overrides:
        return image.item.overrides["seed"], "given"
    if slug in decided.rerolled:
        return decided.rerolled[slug], "derived"
    if rule.mode == "random":
        return decided.random_seeds.get(slug), "random"
    if rule.mode == "sequence":
        return rule.base + image.number, "given"
    return (rule.base, "given") if rule.mode == "fixed" else (compute_seed(rule.base, slug), "derived")


def _resolve_path(job: Job, image: _Image, slug: str) -> str:
    is_plain = (job.output.name, job.output.case, job.output.separator) == _PLAIN
    name = slug if is_plain else _fill_name(job, image, slug, job.output.name, "output.name")
    # one spelling for one file: from here on, paths are compared as text
    return posixpath.normpath(f"{job.output.folder}/{name}{FORMATS[job.output.encoding.format]}")


_PLAIN = (OutputRules.name, OutputRules.case, OutputRules.separator)


def _name_derived(
    job: Job, image: _Image, slug: str, left_out: Collection[str]
) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield the names of the image's derived files that have a pattern of their own, by their slug and their rule.

    left_out: the names of the rules that make no file of this image.
    """
    for rules in job.derive:
        if rules.file_name is not None and rules.name not in left_out:
            key = f"derive.{rules.name}.name"
            yield (slug, rules.name), _fill_name(job, image, slug, rules.file_name, key, {"name": rules.name})


def _fill_name(job: Job, image: _Image, slug: str, pattern: str, key: str, more: Mapping[str, str] = _NONE) -> str:
    """Return the name of a file of an image without extension, by a pattern. more: words besides the usual ones."""
    axes = {value.axis: value.name for value in image.cell}
    words = collect_words(job.output, image.item.name, axes, image.variant, slug[len(image.base) :])
    where = job.where.get(key, image.item.where)
    if unclear := next((word for word in more if word in axes and f"{{{word}}}" in pattern), ""):
        what = f"{key}: {{{unclear}}} could be {_MEANINGS[unclear]} or the axis '{unclear}'"
        raise _error(where, what, f"give the axis another name, in matrix and wherever {{{unclear}}} means it")
    return fill_pattern(pattern, {**more, **words}, key, where)


_MEANINGS = {"name": "this entry's name", "job": "the job's name"}
"""Of words that only some patterns have, so that an axis can be called that elsewhere."""


def _name_animation(job: Job, image: _Image, slug: str) -> dict[str, str]:
    """Return the name of the animation that the image belongs to on the job's sheet, by its slug; none without them."""
    if job.sheet is None or job.sheet.animations is None:
        return {}
    name = _fill_name(job, image, slug, job.sheet.animations, "sheet.animations", {"job": job.name})
    return {slug: name}


def _find_repeated_names(items: Sequence[Item]) -> Iterator[Problem]:
    first: dict[str, Item] = {}
    for item in items:
        other = first.setdefault(make_slug(item.name) or item.name, item)
        if other is not item:
            same = "the same name" if other.name == item.name else f"the file name '{make_slug(item.name)}' too"
            yield Problem(item.where, f"name: '{item.name[:60]}': '{other.name[:60]}' at {other.where} has {same}")


def _find_repeated_slugs(job: Job, outputs: Sequence[Output]) -> Iterator[Problem]:
    first: dict[str, Output] = {}
    repeated = {output.slug for output in outputs if first.setdefault(output.slug, output) is not output}
    for slug in sorted(repeated):
        yield Problem(job.where.get("matrix", job.file), f"two outputs of this job have the name '{slug}'")


def _find_ignored_fields(
    job: Job, items: Sequence[Item], capabilities: Callable[[Item], BackendCapabilities]
) -> Iterator[str]:
    """Yield what the backend ignores: with any model, or with some models, and for which items unless it is for all."""
    left_out: set[str] = set()
    by_model: dict[tuple[str, str], list[str]] = defaultdict(list)
    backend = ""
    for item in items:
        of_item = capabilities(item)
        backend = of_item.backend
        ignored = (job.generate.keys() | job.matrix.keys() | item.overrides.keys()) - of_item.parameters
        left_out |= ignored - of_item.unused
        for name in ignored & of_item.unused:
            by_model[name, of_item.model or "the model"].append(item.name)
    if names := [name for name in GENERATE_FIELDS if name in left_out]:
        yield f"{backend} ignores {', '.join(names)}"
    alike: dict[tuple[str, tuple[str, ...]], set[str]] = defaultdict(set)
    for (name, model), having in by_model.items():
        alike[model, tuple(having)].add(name)
    for (model, of), fields in alike.items():
        names = [name for name in GENERATE_FIELDS if name in fields]
        which = f" for {_list_names(of)}" if len(of) < len(items) else ""
        them = "it" if len(names) == 1 else "them"
        yield f"{backend} ignores {', '.join(names)}{which}: {model} or its program does not take {them}"


def _list_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


_NAMED = 5
"""Items that one line names."""
