"""The matrix of a job: axes whose values multiply its items, and which cells a derived file is made of."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.config.job import Derivation, Job
from imagegen.errors import Problem, did_you_mean
from imagegen.plan.naming import check_slug, make_slug

__all__ = ["AxisValue", "Cell", "count_cells", "expand_matrix", "find_left_out"]


@dataclass(frozen=True)
class AxisValue:
    """A value of an axis."""

    axis: str
    name: str
    text: str | int | float
    key: str  # the key of the job that gives it: `matrix.mood`, for example


MAX_COMPARED = 10_000_000
"""Entries of `exclude` times cells: a few seconds."""

Cell = tuple[AxisValue, ...]
"""A value for each axis, in the matrix's order; empty if there is no matrix."""
_Names = dict[str, str]
"""A cell by the names of its values: axis → name."""


def expand_matrix(job: Job) -> tuple[list[Cell], list[Problem]]:
    """Return the cells in order, those of the product first, and all problems of the matrix."""
    if not job.matrix and (job.include or job.exclude):
        return [], [Problem(job.where["matrix"], "matrix: has no axis")]
    problems: list[Problem] = []
    choices = _collect_values(job, problems)
    product = [dict(zip(job.matrix, names, strict=True)) for names in itertools.product(*job.matrix.values())]
    if len(job.exclude) * len(product) > MAX_COMPARED:
        what = f"matrix.exclude: {len(job.exclude)} entries are too many for the {len(product)} cells of this matrix"
        return [], [Problem(job.where["matrix.exclude"], what, "leave the values out of the axes instead")]
    left = _exclude(job, product, problems)
    found = left + _include(job, left, problems)
    if not found and not problems:
        problems.append(Problem(job.where["matrix.exclude"], "matrix.exclude: leaves no cell of the matrix"))
    return [tuple(choices[axis][name] for axis, name in cell.items()) for cell in found], problems


def _collect_values(job: Job, problems: list[Problem]) -> dict[str, dict[str, AxisValue]]:
    """Return the values of each axis, by name: its own, and those that entries of `include` add."""
    choices = {
        axis: {name: AxisValue(axis, name, text, f"matrix.{axis}") for name, text in values.items()}
        for axis, values in job.matrix.items()
    }
    included = list(_walk_included(job))
    for axis, value, key in included:
        if isinstance(value, Mapping):
            ((name, text),) = value.items()
            first = choices[axis].setdefault(name, AxisValue(axis, name, text, key))
            if first.text != text:
                problems.append(Problem(job.where[key], f"{key}: '{name[:60]}' has another text in {first.key}"))
    for axis, value, key in included:  # by name only: an entry further down may give the text
        if not isinstance(value, Mapping):
            choices[axis].setdefault(str(value), AxisValue(axis, str(value), value, key))
    for of_axis in choices.values():
        problems += _check_names(job, of_axis.values())
    return choices


def _walk_included(job: Job) -> Iterator[tuple[str, Any, str]]:
    """Yield axis, value and key, of each entry of `include`."""
    for index, entry in enumerate(job.include):
        for axis, value in entry.items():
            if axis in job.matrix:
                yield axis, value, f"matrix.include[{index}].{axis}"


def _check_names(job: Job, choices: Iterable[AxisValue]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for value in choices:
        where = job.where[value.key]
        slug = make_slug(value.name)
        if problem := check_slug(slug):
            yield Problem(where, f"{value.key}: '{value.name[:60]}' {problem}")
        elif first.setdefault(slug, value.name) != value.name:
            yield Problem(where, f"{value.key}: '{first[slug]}' and '{value.name}' give the same file name")


def _exclude(job: Job, product: list[_Names], problems: list[Problem]) -> list[_Names]:
    left = product
    for index, entry in enumerate(job.exclude):
        key = f"matrix.exclude[{index}]"
        if wrong := [*_check_axes(job, key, entry), *_check_values(job, key, entry, job.matrix)]:
            problems += wrong
            continue
        before = left
        left = [cell for cell in before if not entry.items() <= cell.items()]
        if len(left) == len(before):
            problems.append(Problem(job.where[key], f"{key}: every cell that it matches is excluded already"))
    return left


def _include(job: Job, left: list[_Names], problems: list[Problem]) -> list[_Names]:
    first = {tuple(cell.values()): "the matrix" for cell in left}
    included = []
    for index, entry in enumerate(job.include):
        key = f"matrix.include[{index}]"
        problems += _check_axes(job, key, entry)
        if missing := [axis for axis in job.matrix if axis not in entry]:
            problems.append(Problem(job.where[key], f"{key}: has no value for {', '.join(missing)}"))
            continue
        cell = {axis: _name_value(entry[axis]) for axis in job.matrix}
        other = first.setdefault(tuple(cell.values()), key)
        if other != key:
            problems.append(Problem(job.where[key], f"{key}: duplicates a cell of {other}"))
            continue
        included.append(cell)
    return included


def _name_value(value: object) -> str:
    """Return the name of an entry's value, which may have a text of its own."""
    return next(iter(value)) if isinstance(value, Mapping) else str(value)


def count_cells(matrix: Mapping[str, Collection[str]], only: Mapping[str, Collection[str]]) -> int:
    """Return how many cells the product of all axes has, or at most those of it that `only` leaves."""
    return math.prod(len(only.get(axis, values)) for axis, values in matrix.items())


def find_left_out(job: Job, cells: Collection[Cell]) -> tuple[dict[Cell, tuple[str, ...]], list[Problem]]:
    """Return the derived files that are not made of a cell's images, by their names; and problems of their `only`."""
    left_out: dict[Cell, tuple[str, ...]] = {}
    problems: list[Problem] = []
    for rules in job.derive:
        if not rules.only:
            continue
        if wrong := [*_check_only(job, rules, cells)]:
            problems += wrong
            continue
        without = [cell for cell in cells if not _is_in(cell, rules.only)]
        left_out |= {cell: (*left_out.get(cell, ()), rules.name) for cell in without}
    return left_out, problems


def _check_only(job: Job, rules: Derivation, cells: Collection[Cell]) -> Iterator[Problem]:
    key = f"derive.{rules.name}.only"
    if not job.matrix:
        what = f"{key}: names values of the matrix, and this job has none"
        yield Problem(job.where[key], what, "remove it, or add a matrix")
        return
    names = {axis: [*values] for axis, values in job.matrix.items()}
    for axis, value, _ in _walk_included(job):
        names[axis].append(_name_value(value))
    wrong = [*_check_axes(job, key, rules.only)]
    for axis, wanted in rules.only.items():
        for name in wanted:
            wrong += _check_values(job, key, {axis: name}, names)
    if not wrong and cells and not any(_is_in(cell, rules.only) for cell in cells):
        wrong.append(Problem(job.where[key], f"{key}: no cell of the matrix has these values"))
    yield from wrong


def _is_in(cell: Cell, only: Mapping[str, Collection[str]]) -> bool:
    return all(value.name in only.get(value.axis, (value.name,)) for value in cell)


def _check_axes(job: Job, key: str, entry: Mapping[str, object]) -> Iterator[Problem]:
    for axis in entry:
        if axis not in job.matrix:
            what = f"{key}.{axis}: the matrix has no axis '{axis}'{did_you_mean(axis, job.matrix)}"
            yield Problem(job.where[f"{key}.{axis}"], what, f"its axes are {', '.join(job.matrix)}")


def _check_values(
    job: Job, key: str, entry: Mapping[str, str], choices: Mapping[str, Collection[str]]
) -> Iterator[Problem]:
    for axis, name in entry.items():
        names = dict.fromkeys(choices.get(axis, ()))
        if names and name not in names:
            what = f"{key}.{axis}: matrix.{axis} has no value '{name[:60]}'{did_you_mean(name, names)}"
            yield Problem(job.where[f"{key}.{axis}"], what, f"its values are {', '.join(names)}")
