"""The derived outputs of a job: what is made of its images with no backend, and as which files."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imagegen.config.encoding import FORMATS, LONGEST_SIDE, Encoding
from imagegen.config.job import DEFAULT_TIMEOUT_S, Derivation, Job, SheetRules
from imagegen.errors import Problem
from imagegen.plan.output import DERIVE, Origin, Output
from imagegen.plan.request import Request

__all__ = ["INDEX", "PICTURE", "SHEET", "derived_outputs"]

PICTURE, SHEET, INDEX = "picture", "sheet", "index"
"""What a derived output is: a picture of one image, a sheet of all of them, or the index of one."""
MAX_SHEET_PIXELS = 8192 * 8192
"""256 MiB as RGBA."""


def derived_outputs(job: Job, images: Sequence[Output]) -> tuple[list[Output], list[Problem]]:
    """Of each image those that `derive` names, then the sheet and its index; and all that is wrong with them."""
    problems = [*_wrong(job)]
    if problems:
        return [], problems
    found = [_picture(job, rules, image) for image in images for rules in job.derive]
    if job.sheet is not None and images:
        problems = [*_wrong_sheet(job, job.sheet, images)]
        found += [] if problems else _sheet(job, job.sheet, images)
    return found, problems


def _wrong(job: Job) -> Iterator[Problem]:
    for rules in job.derive:
        key = f"derive.{rules.name}"
        if rules.crop and (rules.width is None or rules.height is None):
            yield Problem(job.where[f"{key}.crop"], f"{key}.crop: needs a width and a height to cut to")


def _picture(job: Job, rules: Derivation, image: Output) -> Output:
    stem = posixpath.splitext(image.path)[0]
    if rules.folder is not None:
        stem = posixpath.join(rules.folder, posixpath.relpath(stem, job.output.folder))
    recipe: dict[str, Any] = {"kind": PICTURE}
    recipe |= {"crop": rules.crop} if rules.crop else {}
    recipe |= {"enlarge": True} if rules.enlarge else {}
    size = {key: value for key in ("width", "height") if (value := getattr(rules, key)) is not None}
    path = posixpath.normpath(f"{stem}-{rules.name}{FORMATS[rules.encoding.format]}")
    origin = Origin("image", image.task, image.path)
    return _output(job, f"{image.slug}:{rules.name}", path, {**recipe, **size}, rules.encoding, (origin,))


def _wrong_sheet(job: Job, rules: SheetRules, images: Sequence[Output]) -> Iterator[Problem]:
    where = job.where.get("sheet", job.file)
    for image in images:
        if image.slug == rules.name:
            what = f"sheet.name: an image of this job has the name '{rules.name}' too"
            yield Problem(job.where.get("sheet.name", where), what, "give the sheet another: sheet: {name: atlas}")
    columns, rows = _grid(rules, len(images))
    width, height = columns * rules.cell, rows * rules.cell
    longest = LONGEST_SIDE.get(rules.encoding.format, MAX_SHEET_PIXELS)
    if max(width, height) > longest or width * height > MAX_SHEET_PIXELS:
        limit = f"{longest} a side" if max(width, height) > longest else f"{MAX_SHEET_PIXELS} in all"
        what = f"sheet: {len(images)} images make it {width}×{height} pixels, and it may have {limit}"
        yield Problem(where, what, "make its cells smaller, or its rows nearer to its columns")


def _grid(rules: SheetRules, count: int) -> tuple[int, int]:
    """Columns and rows."""
    columns = rules.columns or math.isqrt(count - 1) + 1
    return columns, -(-count // columns)


def _sheet(job: Job, rules: SheetRules, images: Sequence[Output]) -> list[Output]:
    folder = job.output.folder if rules.folder is None else rules.folder
    stem = posixpath.normpath(f"{folder}/{rules.name}")
    path = stem + FORMATS[rules.encoding.format]
    columns, _ = _grid(rules, len(images))
    recipe = {"columns": columns, "cell": rules.cell, "order": [image.slug for image in images]}
    origins = tuple(Origin(image.slug, image.task, image.path) for image in images)
    of_index = {**recipe, "kind": INDEX, "image": posixpath.basename(path)}
    index = Encoding("json", 100, "none")
    return [
        _output(job, rules.name, path, {**recipe, "kind": SHEET}, rules.encoding, origins),
        _output(job, f"{rules.name}:index", f"{stem}.json", of_index, index, origins),
    ]


def _output(
    job: Job, slug: str, path: str, recipe: Mapping[str, Any], encoding: Encoding, origins: tuple[Origin, ...]
) -> Output:
    """recipe: all that decides the file, but for its encoding and what it is made from."""
    extra = {**recipe, "format": encoding.format, "quality": encoding.quality, "metadata": encoding.metadata}
    size = {key: extra.pop(key) for key in ("width", "height") if key in extra}
    output = Output(
        job=job.name,
        slug=slug,
        path=path,
        request=Request(DERIVE, slug, "", extra=extra, **size),
        parameters=frozenset({*extra, *size, "images"}),
        encoding=encoding,
        overwrite=job.output.overwrite,
        timeout_s=DEFAULT_TIMEOUT_S,
        fields={},
        fingerprint="",
        origins=origins,
    )
    return output.decided()
