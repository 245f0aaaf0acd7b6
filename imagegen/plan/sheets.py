"""Sheets: one picture of all of a job's images, and an index that says where each of them is."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Iterator, Sequence

from imagegen.config.job import FORMATS, LONGEST_SIDE, Encoding, Job, SheetRules
from imagegen.errors import Problem
from imagegen.plan.output import Origin, Output, plan_derived_output

__all__ = ["INDEX", "SHEET", "check_sheet", "plan_sheet"]

SHEET, INDEX = "sheet", "index"
"""What a derived output is: a sheet of all images, or the index of one."""
MAX_SHEET_PIXELS = 8192 * 8192
"""256 MiB as RGBA."""


def check_sheet(job: Job, rules: SheetRules, images: Sequence[Output]) -> Iterator[Problem]:
    """Say what is wrong with a sheet of these images."""
    where = job.where.get("sheet", job.file)
    for image in images:
        if image.slug == rules.name:
            what = f"sheet.name: an image of this job has the name '{rules.name}' too"
            yield Problem(job.where.get("sheet.name", where), what, "give the sheet another: sheet: {name: atlas}")
    columns, rows = _choose_grid(rules, len(images))
    width, height = columns * rules.cell, rows * rules.cell
    longest = LONGEST_SIDE.get(rules.encoding.format, MAX_SHEET_PIXELS)
    if max(width, height) > longest or width * height > MAX_SHEET_PIXELS:
        limit = f"{longest} a side" if max(width, height) > longest else f"{MAX_SHEET_PIXELS} in all"
        what = f"sheet: {len(images)} images make it {width}×{height} pixels; the maximum is {limit}"
        yield Problem(where, what, "make its cells smaller, or its number of rows closer to that of its columns")


def _choose_grid(rules: SheetRules, count: int) -> tuple[int, int]:
    """Return the number of columns and of rows."""
    columns = rules.columns or math.isqrt(count - 1) + 1
    return columns, -(-count // columns)


def plan_sheet(job: Job, rules: SheetRules, images: Sequence[Output]) -> list[Output]:
    """Return the sheet of these images, and its index."""
    folder = job.output.folder if rules.folder is None else rules.folder
    stem = posixpath.normpath(f"{folder}/{rules.name}")
    path = stem + FORMATS[rules.encoding.format]
    columns, _ = _choose_grid(rules, len(images))
    recipe = {"columns": columns, "cell": rules.cell, "order": [image.slug for image in images]}
    origins = tuple(Origin(image.slug, image.task, image.path) for image in images)
    of_index = {**recipe, "kind": INDEX, "image": posixpath.basename(path)}
    index = Encoding("json", 100, "none")
    return [
        plan_derived_output(job, rules.name, path, {**recipe, "kind": SHEET}, rules.encoding, origins),
        plan_derived_output(job, f"{rules.name}:index", f"{stem}.json", of_index, index, origins),
    ]
