"""Sheets: pictures with all of a job's images on them, and indexes that say where each image is."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagegen.config.job import FORMATS, INDEX_FILES, INDEX_FORMATS, LONGEST_SIDE, Encoding, Job, SheetRules
from imagegen.config.paths import check_name
from imagegen.config.schema import SHEET_KEYS
from imagegen.errors import Problem, did_you_mean
from imagegen.plan.output import Origin, Output, plan_derived_output

__all__ = ["CONVERTED_INDEX", "INDEX", "NO_ANIMATIONS", "PACKED", "SHEET", "check_sheet", "name_page", "plan_sheet"]

SHEET, INDEX, CONVERTED_INDEX = "sheet", "index", "converted-index"
"""What a derived output is: a sheet of all images or a page of one, its JSON index, or that in another format.

The JSON index is that of the sheet, or of a page if the recipe has `page`.
"""
PACKED = "packed"
"""The layout of a packed sheet, in its request. A grid's request names none."""
NO_ANIMATIONS: Mapping[str, str] = {}
MAX_SHEET_PIXELS = 8192 * 8192
"""256 MiB as RGBA."""


@dataclass(frozen=True)
class _Shown:
    """What a sheet shows: images, or a derived file of each."""

    names: Sequence[str]  # of the frames: the slugs of the images
    outputs: Sequence[Output]

    @property
    def origins(self) -> tuple[Origin, ...]:
        pairs = zip(self.names, self.outputs, strict=True)
        return tuple(Origin(name, output.task, output.path) for name, output in pairs)


def _find_shown(rules: SheetRules, images: Sequence[Output], derived: Sequence[Output]) -> _Shown:
    shown = images if rules.of is None else [one for one in derived if one.slug.partition(":")[2] == rules.of]
    return _Shown([one.slug.partition(":")[0] for one in shown], shown)


def check_sheet(job: Job, rules: SheetRules, images: Sequence[Output], derived: Sequence[Output]) -> Iterator[Problem]:
    """Say what is wrong with a sheet of these images, or of what is derived from them."""
    where = job.where.get("sheet", job.file)
    for image in images:
        if image.slug == rules.name:
            what = f"sheet.name: an image of this job has the name '{rules.name}' too"
            yield Problem(job.where.get("sheet.name", where), what, "give the sheet another: sheet: {name: atlas}")
    if problem := check_name(rules.name):
        yield Problem(job.where.get("sheet.name", where), f"sheet.name: {problem}")
    yield from _check_keys(job, rules)
    names = [one.name for one in job.derive]
    if rules.of is not None and rules.of not in names:
        what = f"sheet.of: derive has no '{rules.of}'{did_you_mean(rules.of, names)}"
        yield Problem(job.where.get("sheet.of", where), what, "name an entry of derive, or leave it out for the images")
    elif rules.layout == PACKED:
        yield from _check_known_sizes(job, rules, _find_shown(rules, images, derived))
    else:
        yield from _check_grid(job, rules, len(_find_shown(rules, images, derived).names))


def _check_keys(job: Job, rules: SheetRules) -> Iterator[Problem]:
    """Find keys that have no effect beside others."""
    for layout, keys in SHEET_KEYS.items():
        for key in keys if layout != rules.layout else ():
            if where := job.where.get(f"sheet.{key}"):
                what = f"sheet.{key}: has no effect with layout: {rules.layout}"
                yield Problem(where, what, f"remove it, or use layout: {layout}")
    if rules.animations is None and (where := job.where.get("sheet.fps")):
        what = "sheet.fps: has no effect without animations"
        yield Problem(where, what, 'say which animation an image belongs to, for example animations: "{item}"')
    if rules.power_of_two and rules.max_size & (rules.max_size - 1):
        what = f"sheet.max_size: {rules.max_size} is not a power of two, as the sides of this sheet are"
        lower = 1 << rules.max_size.bit_length() - 1
        where = job.where.get("sheet.max_size", job.file)
        yield Problem(where, what, f"use {lower} or {2 * lower}, or power_of_two: false")
    yield from _check_format(job, rules)
    if "texturepacker-array" in rules.indexes and rules.pages > 1:
        what = "sheet.index: texturepacker-array has one page only"
        where = job.where.get("sheet.index", job.file)
        yield Problem(where, what, "use phaser, or leave it out: the JSON index has all pages")


def _check_format(job: Job, rules: SheetRules) -> Iterator[Problem]:
    """Find an index whose engine does not load the sheet's format."""
    said = rules.encoding.format
    known = {name: INDEX_FORMATS[name] for name in rules.indexes if name in INDEX_FORMATS}
    refused = [name for name, formats in known.items() if said not in formats]
    if refused:
        keys = ("sheet.format", "sheet.index", "sheet.preset")  # of the format: a preset can have it
        where = next((job.where[key] for key in keys if key in job.where), job.file)
        what = f"sheet.format: {' and '.join(refused)} {'does' if len(refused) == 1 else 'do'} not load {said} files"
        able = [one for one in FORMATS if all(one in formats for formats in known.values())]
        yield Problem(where, what, f"use format: {' or '.join(able)}")


def _check_grid(job: Job, rules: SheetRules, count: int) -> Iterator[Problem]:
    columns, rows = _choose_grid(rules, count)
    width, height = columns * rules.cell, rows * rules.cell
    longest = LONGEST_SIDE.get(rules.encoding.format, MAX_SHEET_PIXELS)
    if max(width, height) > longest or width * height > MAX_SHEET_PIXELS:
        limit = f"{longest} a side" if max(width, height) > longest else f"{MAX_SHEET_PIXELS} in all"
        what = f"sheet: {count} images make it {width}×{height} pixels; the maximum is {limit}"
        hint = "make its cells smaller, or its number of rows closer to that of its columns"
        yield Problem(job.where.get("sheet", job.file), what, hint)


def _choose_grid(rules: SheetRules, count: int) -> tuple[int, int]:
    """Return the number of columns and of rows."""
    columns = rules.columns or math.isqrt(count - 1) + 1
    return columns, -(-count // columns)


def _check_known_sizes(job: Job, rules: SheetRules, shown: _Shown) -> Iterator[Problem]:
    """Find what does not fit, as far as the job says the sizes for certain."""
    where = job.where.get("sheet", job.file)
    known = [(one, size) for one in shown.outputs if (size := _find_size(job, rules, one))]
    for output, size in known:
        if max(size) + 2 * rules.extrude > rules.max_size:
            what = f"sheet.max_size: {output.task} is {size[0]}×{size[1]} pixels, and a page at most {rules.max_size}"
            hint = "make the images smaller, or show smaller ones of them: derive, and sheet: {of: …}"
            yield Problem(job.where.get("sheet.max_size", where), what, hint)
            return
    pixels = sum(width * height for _, (width, height) in known)
    if pixels > rules.pages * rules.max_size**2:
        least = -(-pixels // rules.max_size**2)
        pages = f"{_count_pages(rules.pages)} of {rules.max_size}×{rules.max_size}"
        what = f"sheet.pages: {len(known)} images have {pixels} pixels, and {pages} fewer"
        hint = f"at least pages: {least}, a larger max_size, or smaller images: derive, and sheet: {{of: …}}"
        yield Problem(job.where.get("sheet.pages", where), what, hint)


def _count_pages(number: int) -> str:
    return "1 page" if number == 1 else f"{number} pages"


def _find_size(job: Job, rules: SheetRules, output: Output) -> tuple[int, int] | None:
    """Return the size that an image has on a packed sheet, if the job says it for certain."""
    if rules.trim and output.encoding.format != "jpeg":
        return None
    if rules.of is None:
        is_known = {"width", "height"} <= output.parameters
        return (output.request.width, output.request.height) if is_known else None
    derivation = next(one for one in job.derive if one.name == rules.of)
    if derivation.crop and derivation.width and derivation.height:
        return derivation.width, derivation.height
    return None


def plan_sheet(
    job: Job,
    rules: SheetRules,
    images: Sequence[Output],
    derived: Sequence[Output],
    animations: Mapping[str, str] = NO_ANIMATIONS,
) -> list[Output]:
    """Return the sheet of these images, or of what is derived from them, and its indexes.

    animations: their names, by the slug of the image.
    """
    folder = job.output.folder if rules.folder is None else rules.folder
    stem = posixpath.normpath(f"{folder}/{rules.name}")
    shown = _find_shown(rules, images, derived)
    animated = _write_animations(rules, shown.names, animations)
    plan = _plan_packed if rules.layout == PACKED else _plan_grid
    pages, indexes = plan(job, rules, stem, shown, animated)
    return [*pages, *indexes, *_plan_conversions(job, rules, stem, indexes[0])]


def _write_animations(rules: SheetRules, names: Sequence[str], animations: Mapping[str, str]) -> dict[str, Any]:
    """Return what the recipe says of animations: the frames of each, in order."""
    if rules.animations is None:
        return {}
    found: dict[str, list[str]] = {}
    for name in names:
        if name in animations:  # else its pattern has a problem
            found.setdefault(animations[name], []).append(name)
    return {"animations": found, "fps": rules.fps}


_JSON, _TEXT = Encoding("json", 100, "none"), Encoding("text", 100, "none")
_Plan = tuple[list[Output], list[Output]]
"""The pages of a sheet, and their JSON indexes."""


def _plan_grid(job: Job, rules: SheetRules, stem: str, shown: _Shown, animated: Mapping[str, Any]) -> _Plan:
    path = stem + FORMATS[rules.encoding.format]
    columns, _ = _choose_grid(rules, len(shown.names))
    recipe = {"columns": columns, "cell": rules.cell, "order": [*shown.names], **_write_of(rules)}
    of_index = {**recipe, **animated, "kind": INDEX, "image": posixpath.basename(path)}
    origins = shown.origins
    return (
        [plan_derived_output(job, rules.name, path, {**recipe, "kind": SHEET}, rules.encoding, origins)],
        [plan_derived_output(job, f"{rules.name}:index", f"{stem}.json", of_index, _JSON, origins)],
    )


def _write_of(rules: SheetRules) -> dict[str, Any]:
    return {} if rules.of is None else {"of": rules.of}


def _plan_packed(job: Job, rules: SheetRules, stem: str, shown: _Shown, animated: Mapping[str, Any]) -> _Plan:
    """Plan the index first, from all images. The pages follow from it and the images, and their own indexes from it."""
    ending = FORMATS[rules.encoding.format]
    recipe = {"layout": PACKED, **{key: getattr(rules, key) for key in SHEET_KEYS["packed"]}, **_write_of(rules)}
    of_index = {**recipe, **animated, "kind": INDEX, "order": [*shown.names]}
    of_index["image"] = posixpath.basename(stem) + ending
    index = plan_derived_output(job, f"{rules.name}:index", f"{stem}.json", of_index, _JSON, shown.origins)
    origins = (*_from(index), *shown.origins)
    pages, indexes = [], [index]
    for page in range(1, rules.pages + 1):
        of_page = {**recipe, "kind": SHEET, "page": page}
        slug = rules.name if page == 1 else f"{rules.name}:{page}"
        path = name_page(stem + ending, page)
        pages.append(plan_derived_output(job, slug, path, of_page, rules.encoding, origins))
    for page in range(2, rules.pages + 1):
        slug, path = f"{rules.name}:index-{page}", name_page(f"{stem}.json", page)
        of_page = {"kind": INDEX, "page": page}
        indexes.append(plan_derived_output(job, slug, path, of_page, _JSON, _from(index)))
    return pages, indexes


def name_page(path: str, page: int) -> str:
    """Return the name or path of a page's file, by that of the first page: `sheet.png`, `sheet-2.png`."""
    stem, ending = posixpath.splitext(path)
    return path if page == 1 else f"{stem}-{page}{ending}"


def _from(index: Output) -> tuple[Origin, ...]:
    return (Origin(index.slug, index.task, index.path),)


def _plan_conversions(job: Job, rules: SheetRules, stem: str, index: Output) -> Iterator[Output]:
    """Plan the sheet's indexes in other formats, which follow from the JSON index alone."""
    for name in rules.indexes:
        if name == "texturepacker":  # the JSON index is
            continue
        recipe = {"kind": CONVERTED_INDEX, "index": name, "job": job.name}
        encoding = _JSON if INDEX_FILES[name].endswith(".json") else _TEXT
        slug = f"{rules.name}:{name}"
        yield plan_derived_output(job, slug, stem + INDEX_FILES[name], recipe, encoding, _from(index))
