"""`extends`: a job that starts from other files. Mappings are merged key by key; of all else the nearer one counts.

A key of the job that is `null` takes out that of its bases.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from imagegen.config.document import Document
from imagegen.config.job_files import JOB_SUFFIXES
from imagegen.errors import ImagegenError, Problem

__all__ = ["extended"]

_Path = tuple[str | int, ...]


def extended(document: Document, read: Callable[[str, str], Document]) -> Document:
    """The document with all that it extends merged into it, and without `extends`; as it is where that is no name.

    read: a base's document, by its path from `jobs/` and the place that names it; raises ImagegenError.
    Each value's mark is where it really stands. Raises ImagegenError with all that is wrong with the bases.
    """
    if not isinstance(document.values, dict) or _names(document.values.get("extends")) is None:
        return document  # the checks say what is wrong with it
    return _with_bases(document, read, (document.name,))


def _with_bases(document: Document, read: Callable[[str, str], Document], above: tuple[str, ...]) -> Document:
    """above: the files that led here, from the job on; the last one is the document's own."""
    merged: Document | None = None
    problems: list[Problem] = []
    for index, name in enumerate(_names(document.values.get("extends")) or ()):
        where = document.where(("extends", index))
        try:
            base = _base(name, where, read, above)
        except ImagegenError as error:
            problems += error.problems
        else:
            merged = base if merged is None else _merged(base, merged)  # the later one is nearer
    if problems:
        raise ImagegenError(*dict.fromkeys(problems))
    own = replace(document, values={key: value for key, value in document.values.items() if key != "extends"})
    return own if merged is None else _merged(own, merged)


def _base(name: str, where: str, read: Callable[[str, str], Document], above: tuple[str, ...]) -> Document:
    path = posixpath.normpath(name)
    if path.startswith(("/", "..")) or "\\" in name:
        raise ImagegenError(Problem(where, f"extends: '{name}' leads out of jobs/", "give its path from jobs/"))
    if not path.endswith(JOB_SUFFIXES):
        what = f"extends: '{name}' is no job file by its ending: {', '.join(JOB_SUFFIXES)}"
        raise ImagegenError(Problem(where, what))
    if (file := f"jobs/{path}") in above:
        circle = " → ".join((*above[above.index(file) :], file))
        raise ImagegenError(Problem(where, f"extends: comes back to {file}: {circle}", "break the circle"))
    base = read(path, where)
    if not isinstance(base.values, dict):
        raise ImagegenError(Problem(base.where(()), "a file that a job extends is a mapping of keys"))
    if "extends" in base.values and _names(base.values["extends"]) is None:
        what = "extends: expected a file, or a list of files, their paths from jobs/"
        raise ImagegenError(Problem(base.where(("extends",)), what))
    return _with_bases(base, read, (*above, file))


def _names(value: object) -> list[str] | None:
    """The files that `extends` names; None where it is no name and no list of some."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        return None
    return names


def _merged(near: Document, far: Document) -> Document:
    """Both as one, with the nearer one's name; a mark of the other's names its file."""
    taken: set[_Path] = set()
    out = {key for key in far.values if key in near.values and near.values[key] is None}
    values = _merge(_without(out, near.values), _without(out, far.values), (), taken)
    marks = dict(near.marks)
    files = dict(near.files)
    for path, mark in far.marks.items():
        if any(path[:length] in taken for length in range(1, len(path) + 1)):
            marks[path] = mark
            files[path] = far.files.get(path, far.name)
    return replace(near, values=values, marks=marks, files=files)


def _without(keys: set[str], values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


def _merge(near: Mapping[str, Any], far: Mapping[str, Any], above: _Path, taken: set[_Path]) -> dict[str, Any]:
    """taken: gets the path of each value that only the farther one has. Its keys come first."""
    values: dict[str, Any] = {}
    for key in [*far, *(key for key in near if key not in far)]:
        if key not in near:
            taken.add((*above, key))
            values[key] = far[key]
        elif isinstance(near[key], dict) and isinstance(far.get(key), dict):
            values[key] = _merge(near[key], far[key], (*above, key), taken)
        else:
            values[key] = near[key]
    return values
