"""The cells of a matrix: the product of its axes, less what it excludes, and then what it includes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.config.job import Job
from imagegen.errors import Problem, did_you_mean
from imagegen.plan.naming import slug_of, slug_problem

__all__ = ["Cell", "Choice", "cells"]


@dataclass(frozen=True)
class Choice:
    """A value of an axis, by its name. place: the key of the job that gives it, `matrix.mood` for example."""

    axis: str
    name: str
    text: str | int | float
    place: str


MAX_COMPARED = 10_000_000
"""Entries of `exclude` times cells: some seconds."""

Cell = tuple[Choice, ...]
"""A choice for each axis, in the matrix's order; empty where there is no matrix."""
_Names = dict[str, str]
"""A cell by the names of its values: axis → name."""


def cells(job: Job) -> tuple[list[Cell], list[Problem]]:
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


def _choices(job: Job, problems: list[Problem]) -> dict[str, dict[str, Choice]]:
    """Of each axis, by name: its own values, and those that entries of `include` add to it."""
    choices = {
        axis: {name: Choice(axis, name, text, f"matrix.{axis}") for name, text in values.items()}
        for axis, values in job.matrix.items()
    }
    included = list(_included_values(job))
    for axis, value, place in included:
        if isinstance(value, Mapping):
            ((name, text),) = value.items()
            first = choices[axis].setdefault(name, Choice(axis, name, text, place))
            if first.text != text:
                problems.append(Problem(job.where[place], f"{place}: '{name[:60]}' has another text in {first.place}"))
    for axis, value, place in included:  # by name alone: the text may be given by an entry further down
        if not isinstance(value, Mapping):
            choices[axis].setdefault(str(value), Choice(axis, str(value), value, place))
    for of_axis in choices.values():
        problems += _name_problems(job, of_axis.values())
    return choices


def _included_values(job: Job) -> Iterator[tuple[str, Any, str]]:
    """Of each entry of `include`: axis, value and place."""
    for index, entry in enumerate(job.include):
        for axis, value in entry.items():
            if axis in job.matrix:
                yield axis, value, f"matrix.include[{index}].{axis}"


def _name_problems(job: Job, choices: Iterable[Choice]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for choice in choices:
        where = job.where[choice.place]
        slug = slug_of(choice.name)
        if problem := slug_problem(slug):
            yield Problem(where, f"{choice.place}: '{choice.name[:60]}' {problem}")
        elif first.setdefault(slug, choice.name) != choice.name:
            yield Problem(where, f"{choice.place}: '{first[slug]}' and '{choice.name}' make one file name")


def _without_excluded(job: Job, product: list[_Names], problems: list[Problem]) -> list[_Names]:
    left = product
    for index, entry in enumerate(job.exclude):
        place = f"matrix.exclude[{index}]"
        if wrong := [*_unknown_axes(job, place, entry), *_unknown_values(job, place, entry)]:
            problems += wrong
            continue
        before = left
        left = [cell for cell in before if not entry.items() <= cell.items()]
        if len(left) == len(before):
            problems.append(Problem(job.where[place], f"{place}: every cell that it matches is excluded already"))
    return left


def _included(job: Job, left: list[_Names], problems: list[Problem]) -> list[_Names]:
    first = {tuple(cell.values()): "the matrix" for cell in left}
    included = []
    for index, entry in enumerate(job.include):
        place = f"matrix.include[{index}]"
        problems += _unknown_axes(job, place, entry)
        if missing := [axis for axis in job.matrix if axis not in entry]:
            problems.append(Problem(job.where[place], f"{place}: has no value for {', '.join(missing)}"))
            continue
        cell = {axis: _name(entry[axis]) for axis in job.matrix}
        other = first.setdefault(tuple(cell.values()), place)
        if other != place:
            problems.append(Problem(job.where[place], f"{place}: {other} has this cell already"))
            continue
        included.append(cell)
    return included


def _name(value: object) -> str:
    """Of an entry's value: what it is called, with or without a text of its own."""
    return next(iter(value)) if isinstance(value, Mapping) else str(value)


def _unknown_axes(job: Job, place: str, entry: Mapping[str, object]) -> Iterator[Problem]:
    for axis in entry:
        if axis not in job.matrix:
            what = f"{place}.{axis}: the matrix has no axis '{axis}'{did_you_mean(axis, job.matrix)}"
            yield Problem(job.where[f"{place}.{axis}"], what, f"its axes are {', '.join(job.matrix)}")


def _unknown_values(job: Job, place: str, entry: Mapping[str, str]) -> Iterator[Problem]:
    for axis, name in entry.items():
        names = job.matrix.get(axis)
        if names is not None and name not in names:
            what = f"{place}.{axis}: matrix.{axis} has no value '{name[:60]}'{did_you_mean(name, names)}"
            yield Problem(job.where[f"{place}.{axis}"], what, f"its values are {', '.join(names)}")
