"""From a job to its outputs: items × matrix × variants, with prompts, seeds, slugs and paths resolved."""

from __future__ import annotations

import itertools
import math
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from imagegen.config.job import DEFAULT_TIMEOUT_S, FORMATS, Item, Job
from imagegen.config.schema import AXIS_FIELDS, COMMON, FIELD_TYPES, GENERATE_FIELDS, SEED
from imagegen.errors import ImagegenError, Problem, did_you_mean
from imagegen.plan.naming import MAX_SLUG, check_slug, compute_seed, fold_path, make_slug
from imagegen.plan.origins import plan_derived
from imagegen.plan.output import Origin, Output
from imagegen.plan.prompt_template import PromptTemplate, Text, join_prompt, parse_prompt
from imagegen.plan.record import JobDecisions
from imagegen.plan.request import Request, canonical_fields, fingerprint, select_parameters
from imagegen.plan.wildcards import NO_WILDCARDS, Wildcards

__all__ = [
    "MAX_OUTPUTS",
    "AxisValue",
    "BackendCapabilities",
    "Cell",
    "Expansion",
    "expand",
    "expand_matrix",
    "find_clashes",
    "find_nested_paths",
]


MAX_OUTPUTS = 200_000
"""Of one job, derived ones among them: what is planned is held in memory."""
MAX_TEXT = 100_000_000
"""Characters of all prompts of one job, each as often as it is used: a short file can ask for gigabytes."""
MAX_SEED = SEED["max"]
MAX_AXES = MAX_SLUG // 2
"""Each gives at least two characters of an output's name."""
_FIELD = re.compile(r"\{([a-z][a-z0-9_]*)\}")


@dataclass(frozen=True)
class BackendCapabilities:
    """What expansion must know of a backend, as one item's options have it.

    parameters: the request fields that it honours. only_if_given: those of them that count only where the job gives
    them. model: None while it is not decided, which the executor does. extra: of the request. origins: reference
    images that are other outputs, by their key.
    """

    backend: str
    parameters: frozenset[str]
    model: str | None = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    only_if_given: frozenset[str] = frozenset()
    has_open_model: bool = False
    origins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Expansion:
    """The outputs of one job, what is wrong with it, and what its user should be told once."""

    outputs: tuple[Output, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def expand(
    job: Job,
    items: Sequence[Item],
    honours: Callable[[Item], BackendCapabilities],
    decided: JobDecisions,
    wildcards: Wildcards = NO_WILDCARDS,
) -> Expansion:
    """The outputs of a job.

    items: inline ones and those of its prompt source, in order. honours: of each. decided: so far. A variant that
    was picked is the image, also where the job has no more so many, or none. wildcards: that prompts can name.
    """
    if too_much := _too_much(job, items):
        return Expansion((), (Problem(job.where.get("", job.file), too_much),))
    matrix, wrong = expand_matrix(job)
    problems = [*_repeated(items), *wrong]
    outputs: list[Output] = []
    for index, item, cell, base, variant in _wanted(job, items, matrix, decided):
        full_slug = f"{base}-v{variant}" if variant else base
        slug = base if base in decided.picked else full_slug
        if problem := _slug_problem(item, slug):
            problems.append(Problem(item.where, f"name: '{item.name[:60]}' {problem}"))
            continue
        try:
            of_item = honours(item)
            asked, template = _request(job, item, cell, of_item, wildcards)
            path = _path(job, item, cell, variant, slug)
        except _Unfit as unfit:
            problems.append(Problem(unfit.where, str(unfit)))
            continue
        except ImagegenError as error:
            problems += error.problems
            continue
        seed, draws = _seed(job, item, full_slug, index, decided)
        if job.variants > 1 and ("seed" in item.overrides or job.seed.mode == "fixed"):
            problems.append(
                Problem(item.where, f"seed: {seed} for all variants of '{item.name[:60]}' makes them alike")
            )
            continue
        if (seed or 0) > MAX_SEED:
            what = f"seed: {seed} for '{item.name[:60]}' is too large: the sequence may go up to {MAX_SEED}"
            problems.append(Problem(job.where.get("generate.seed", item.where), what))
            continue
        if seed is not None or not template.has_choices:
            prompt, negative = template.of(seed or 0)
            asked |= {"prompt": prompt} | ({"negative": negative} if "negative" in asked else {})
        origins = _origins(job, item, of_item)
        request = Request(**asked, seed=seed)
        parameters = select_parameters(request, of_item.parameters, of_item.only_if_given)
        fields = canonical_fields(request, parameters)
        outputs.append(
            Output(
                job=job.name,
                slug=slug,
                path=path,
                request=request,
                parameters=parameters,
                encoding=job.output.encoding,
                overwrite=job.output.overwrite,
                timeout_s=item.overrides.get("timeout_s", job.generate.get("timeout_s", DEFAULT_TIMEOUT_S)),
                fields=fields,
                fingerprint="" if seed is None or of_item.model is None or origins else fingerprint(fields),
                has_random_seed=draws,
                has_open_model=of_item.has_open_model,
                origins=origins,
                base=base,
                variant=variant,
                has_own_seed="seed" in item.overrides,
                template=template if draws and template.has_choices else None,
            )
        )
    if job.matrix or decided.picked:
        problems += _same_slugs(job, outputs)
    derived, wrong = plan_derived(job, outputs)
    outputs += derived
    problems += wrong
    return Expansion(tuple(outputs), tuple(dict.fromkeys(problems)), tuple(_notes(job, items, honours)))


def _too_much(job: Job, items: Sequence[Item]) -> str:
    """What of the job is more than can be planned, before any of it is; empty where nothing is."""
    each = math.prod(map(len, job.matrix.values())) * job.variants
    count = len(items) * each
    if count * (1 + len(job.derive)) > MAX_OUTPUTS:
        files = f" and {count * len(job.derive)} files of them" if job.derive else ""
        return f"makes {count} images{files}, more than the {MAX_OUTPUTS} that one job may have: split it"
    if len(job.matrix) > MAX_AXES:
        return f"matrix: has {len(job.matrix)} axes, and at most {MAX_AXES} fit into a name: split it"
    common = len(job.prefix) + len(job.suffix) + len(job.generate.get("negative", ""))
    texts = sum(common + len(item.prompt) + len(item.overrides.get("negative", "")) for item in items)
    if texts * each > MAX_TEXT:
        return f"makes prompts of {texts * each} characters in all, more than {MAX_TEXT}: split it, or shorten them"
    return ""


class _Placed(Protocol):
    @property
    def path(self) -> str: ...


_AnyPlaced = TypeVar("_AnyPlaced", bound=_Placed)


def find_clashes(outputs: Sequence[_AnyPlaced], folders: Mapping[str, str]) -> list[tuple[_AnyPlaced, _AnyPlaced]]:
    """Pairs of outputs with one path, also where the paths differ in case or Unicode normalisation only.

    folders: what a folder is really called where a symlink leads from one to another.
    """
    first: dict[str, _AnyPlaced] = {}
    others = ((first.setdefault(key, output), output) for key, output in _keyed(outputs, folders))
    return [(other, output) for other, output in others if other is not output]


def find_nested_paths(outputs: Sequence[_AnyPlaced], folders: Mapping[str, str]) -> list[tuple[_AnyPlaced, _AnyPlaced]]:
    """Pairs of an output and one that would lie in it, as if its file were a folder. folders: as for `find_clashes`."""
    keyed = dict(_keyed(outputs, folders))
    inside = {key.rpartition("/")[0]: output for key, output in keyed.items()}
    return [
        (keyed[above], output)
        for folder, output in inside.items()
        for above in itertools.accumulate(folder.split("/"), "{}/{}".format)
        if above in keyed
    ]


def _keyed(outputs: Sequence[_AnyPlaced], folders: Mapping[str, str]) -> Iterator[tuple[str, _AnyPlaced]]:
    for output in outputs:
        folder, _, name = output.path.rpartition("/")
        yield fold_path(f"{folders.get(folder, folder)}/{name}"), output


class _Unfit(Exception):  # noqa: N818 - internal
    def __init__(self, where: str, what: str) -> None:
        super().__init__(what)
        self.where = where


def _wanted(
    job: Job, items: Sequence[Item], matrix: Sequence[Cell], decided: JobDecisions
) -> Iterator[tuple[int, Item, Cell, str, int]]:
    """Each image's index, item, cell, slug without the variant, and variant (0: there are none)."""
    variants = range(1, job.variants + 1) if job.variants > 1 else range(1)
    first = 0
    for item in items:
        for cell in matrix:
            base = "-".join([make_slug(item.name), *(make_slug(choice.name) for choice in cell)])
            picked = decided.picked.get(base)
            for variant in (picked,) if picked else variants:
                yield first + max(0, variant - 1), item, cell, base, variant
            first += job.variants


def _slug_problem(item: Item, slug: str) -> str:
    return check_slug(make_slug(item.name)) if not make_slug(item.name) else check_slug(slug)


def _request(
    job: Job, item: Item, cell: Cell, honours: BackendCapabilities, wildcards: Wildcards
) -> tuple[dict[str, Any], PromptTemplate]:
    """The request's fields but for the seed and what it decides, and its texts."""
    generate = {**job.generate, **item.overrides}
    of_job = job.where.get("prompt", item.where)
    texts = {
        "prefix": Text(job.prefix, "prompt.prefix", of_job),
        "prompt": Text(item.prompt, "prompt", item.where),
        "suffix": Text(job.suffix, "prompt.suffix", of_job),
        "negative": Text(generate.get("negative", ""), "negative", item.where),
    }
    axes = {choice.axis: Text(str(choice.text), choice.key, job.where.get(choice.key, "")) for choice in cell}
    template = parse_prompt(texts, axes, wildcards)
    for choice in cell:
        axis = choice.axis
        if axis in template.axes:
            continue
        if axis not in AXIS_FIELDS:
            what = f"matrix.{axis}: the prompt of '{item.name}' does not say {{{axis}}}"
            raise _Unfit(job.where[f"matrix.{axis}"], what)
        try:
            generate[axis] = _field_value(axis, choice.text)
        except _WrongType as wrong:
            what = f"{choice.key}: expected {wrong}, found '{choice.text}'"
            raise _Unfit(job.where[choice.key], what) from None
    given = {key: generate[key] for key in GENERATE_FIELDS if key in generate and key != "seed"}
    asked = {
        "backend": honours.backend,
        "name": item.name,
        "prompt": join_prompt(job.prefix, item.prompt, job.suffix),
        "model": honours.model or "",
        "extra": _with_images(honours),
        **given,
    }
    return {**asked, "given": tuple(sorted(key for key, value in given.items() if value != ""))}, template


def _with_images(honours: BackendCapabilities) -> Mapping[str, Any]:
    """The extra, with the names of other outputs among its images."""
    if not honours.origins:
        return honours.extra
    return {**honours.extra, "images": {**honours.extra.get("images", {}), **honours.origins}}


def _origins(job: Job, item: Item, honours: BackendCapabilities) -> tuple[Origin, ...]:
    own = item.sections.get(honours.backend, {}).get("images", {})
    of_job = job.where.get(f"{honours.backend}.images", job.file)
    return tuple(Origin(key, task, where=item.where if key in own else of_job) for key, task in honours.origins.items())


class _WrongType(Exception):  # noqa: N818 - internal
    pass


_KINDS = {"whole": "a whole number", "number": "a number", "text": "text"}


def _field_value(field: str, value: str | int | float) -> str | int | float:
    """An axis's value as that field's; held to the same rules as in `generate`."""
    rules = COMMON[field]
    words = _KINDS[rules["type"]]
    low, high = rules.get("min"), rules.get("max")
    if not isinstance(value, FIELD_TYPES[field]) or (not isinstance(value, str) and not low <= value <= high):
        raise _WrongType(f"{words} from {low} to {high}" if low is not None else words)
    return float(value) if rules["type"] == "number" else value


def _seed(job: Job, item: Item, slug: str, index: int, decided: JobDecisions) -> tuple[int | None, bool]:
    if "seed" in item.overrides:
        return item.overrides["seed"], False
    if slug in decided.rerolled:
        return decided.rerolled[slug], False
    rule = job.seed
    if rule.mode == "random":
        return decided.drawn.get(slug), True
    if rule.mode == "sequence":
        return rule.base + index, False
    return (rule.base if rule.mode == "fixed" else compute_seed(rule.base, slug)), False


def _path(job: Job, item: Item, cell: Cell, variant: int, slug: str) -> str:
    words = {"slug": slug, "item": make_slug(item.name), "variant": str(variant or 1)}
    words |= {choice.axis: make_slug(choice.name) for choice in cell}
    where = job.where.get("output.name", item.where)

    def value(match: re.Match[str]) -> str:
        if match[1] not in words:
            raise _Unfit(where, f"output.name: there is no {{{match[1]}}}{did_you_mean(match[1], words)}")
        return words[match[1]]

    name = _FIELD.sub(value, job.output.name)
    if "{" in name or "}" in name:
        raise _Unfit(where, f"output.name: there are only {', '.join(f'{{{word}}}' for word in words)}")
    if name.startswith("/") or ".." in name.split("/"):
        raise _Unfit(where, "output.name: is no path within output.dir")
    # one spelling for one file: everything that follows compares paths as text
    return posixpath.normpath(f"{job.output.folder}/{name}{FORMATS[job.output.encoding.format]}")


def _repeated(items: Sequence[Item]) -> Iterator[Problem]:
    first: dict[str, Item] = {}
    for item in items:
        other = first.setdefault(make_slug(item.name) or item.name, item)
        if other is not item:
            same = "the same name" if other.name == item.name else f"the file name '{make_slug(item.name)}' too"
            yield Problem(item.where, f"name: '{item.name[:60]}': '{other.name[:60]}' at {other.where} has {same}")


def _same_slugs(job: Job, outputs: Sequence[Output]) -> Iterator[Problem]:
    first: dict[str, Output] = {}
    repeated = {output.slug for output in outputs if first.setdefault(output.slug, output) is not output}
    for slug in sorted(repeated):
        yield Problem(job.where.get("matrix", job.file), f"two outputs of this job have the name '{slug}'")


def _notes(job: Job, items: Sequence[Item], honours: Callable[[Item], BackendCapabilities]) -> Iterator[str]:
    left_out: dict[str, None] = {}
    backend = ""
    for item in items:
        of_item = honours(item)
        backend = of_item.backend
        left_out |= dict.fromkeys((job.generate.keys() | item.overrides.keys()) - of_item.parameters)
    if names := [name for name in GENERATE_FIELDS if name in left_out]:
        yield f"{backend} does not honour {', '.join(names)}: left out"


@dataclass(frozen=True)
class AxisValue:
    """A value of an axis, by its name. key: the key of the job that gives it, `matrix.mood` for example."""

    axis: str
    name: str
    text: str | int | float
    key: str


MAX_COMPARED = 10_000_000
"""Entries of `exclude` times cells: some seconds."""

Cell = tuple[AxisValue, ...]
"""A choice for each axis, in the matrix's order; empty where there is no matrix."""
_Names = dict[str, str]
"""A cell by the names of its values: axis → name."""


def expand_matrix(job: Job) -> tuple[list[Cell], list[Problem]]:
    """The cells in order, those of the product first, and all that is wrong with the matrix."""
    if not job.matrix and (job.include or job.exclude):
        return [], [Problem(job.where["matrix"], "matrix: has no axis")]
    problems: list[Problem] = []
    choices = _choices(job, problems)
    product = [dict(zip(job.matrix, names, strict=True)) for names in itertools.product(*job.matrix.values())]
    if len(job.exclude) * len(product) > MAX_COMPARED:
        what = f"matrix.exclude: {len(job.exclude)} entries are too many for the {len(product)} cells of this matrix"
        return [], [Problem(job.where["matrix.exclude"], what, "leave the values out of the axes instead")]
    left = _without_excluded(job, product, problems)
    found = left + _included(job, left, problems)
    if not found and not problems:
        problems.append(Problem(job.where["matrix.exclude"], "matrix.exclude: leaves no cell of the matrix"))
    return [tuple(choices[axis][name] for axis, name in cell.items()) for cell in found], problems


def _choices(job: Job, problems: list[Problem]) -> dict[str, dict[str, AxisValue]]:
    """Of each axis, by name: its own values, and those that entries of `include` add to it."""
    choices = {
        axis: {name: AxisValue(axis, name, text, f"matrix.{axis}") for name, text in values.items()}
        for axis, values in job.matrix.items()
    }
    included = list(_included_values(job))
    for axis, value, key in included:
        if isinstance(value, Mapping):
            ((name, text),) = value.items()
            first = choices[axis].setdefault(name, AxisValue(axis, name, text, key))
            if first.text != text:
                problems.append(Problem(job.where[key], f"{key}: '{name[:60]}' has another text in {first.key}"))
    for axis, value, key in included:  # by name alone: the text may be given by an entry further down
        if not isinstance(value, Mapping):
            choices[axis].setdefault(str(value), AxisValue(axis, str(value), value, key))
    for of_axis in choices.values():
        problems += _name_problems(job, of_axis.values())
    return choices


def _included_values(job: Job) -> Iterator[tuple[str, Any, str]]:
    """Of each entry of `include`: axis, value and key."""
    for index, entry in enumerate(job.include):
        for axis, value in entry.items():
            if axis in job.matrix:
                yield axis, value, f"matrix.include[{index}].{axis}"


def _name_problems(job: Job, choices: Iterable[AxisValue]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for choice in choices:
        where = job.where[choice.key]
        slug = make_slug(choice.name)
        if problem := check_slug(slug):
            yield Problem(where, f"{choice.key}: '{choice.name[:60]}' {problem}")
        elif first.setdefault(slug, choice.name) != choice.name:
            yield Problem(where, f"{choice.key}: '{first[slug]}' and '{choice.name}' make one file name")


def _without_excluded(job: Job, product: list[_Names], problems: list[Problem]) -> list[_Names]:
    left = product
    for index, entry in enumerate(job.exclude):
        key = f"matrix.exclude[{index}]"
        if wrong := [*_unknown_axes(job, key, entry), *_unknown_values(job, key, entry)]:
            problems += wrong
            continue
        before = left
        left = [cell for cell in before if not entry.items() <= cell.items()]
        if len(left) == len(before):
            problems.append(Problem(job.where[key], f"{key}: every cell that it matches is excluded already"))
    return left


def _included(job: Job, left: list[_Names], problems: list[Problem]) -> list[_Names]:
    first = {tuple(cell.values()): "the matrix" for cell in left}
    included = []
    for index, entry in enumerate(job.include):
        key = f"matrix.include[{index}]"
        problems += _unknown_axes(job, key, entry)
        if missing := [axis for axis in job.matrix if axis not in entry]:
            problems.append(Problem(job.where[key], f"{key}: has no value for {', '.join(missing)}"))
            continue
        cell = {axis: _name(entry[axis]) for axis in job.matrix}
        other = first.setdefault(tuple(cell.values()), key)
        if other != key:
            problems.append(Problem(job.where[key], f"{key}: {other} has this cell already"))
            continue
        included.append(cell)
    return included


def _name(value: object) -> str:
    """Of an entry's value: what it is called, with or without a text of its own."""
    return next(iter(value)) if isinstance(value, Mapping) else str(value)


def _unknown_axes(job: Job, key: str, entry: Mapping[str, object]) -> Iterator[Problem]:
    for axis in entry:
        if axis not in job.matrix:
            what = f"{key}.{axis}: the matrix has no axis '{axis}'{did_you_mean(axis, job.matrix)}"
            yield Problem(job.where[f"{key}.{axis}"], what, f"its axes are {', '.join(job.matrix)}")


def _unknown_values(job: Job, key: str, entry: Mapping[str, str]) -> Iterator[Problem]:
    for axis, name in entry.items():
        names = job.matrix.get(axis)
        if names is not None and name not in names:
            what = f"{key}.{axis}: matrix.{axis} has no value '{name[:60]}'{did_you_mean(name, names)}"
            yield Problem(job.where[f"{key}.{axis}"], what, f"its values are {', '.join(names)}")
