"""Where the outputs of a job come from: the places of their items in job files and prompt sources.

A plan does not keep them. They are read again, once for each job, where a program wants to know.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from imagegen.config.document import Document, read_document
from imagegen.config.job_files import find_job_files, resolve_extends
from imagegen.errors import ImagegenError
from imagegen.plan.output import PREVIEW, Output
from imagegen.project.inputs import Inputs
from imagegen.project.planner import prompt_reader

__all__ = ["ItemPlaces"]


class ItemPlaces:
    """Finds the places of the outputs of a project, as its files are now."""

    def __init__(self, root: Path, allow_outside: Collection[str]) -> None:
        """Read nothing yet. root, allow_outside: as for `Inputs`."""
        # apart from those that know how each file was when it was planned
        self._inputs = Inputs(root, allow_outside)
        self._jobs: dict[str, Mapping[str, str]] = {}
        """By job, the places of its items, and of the rules by which files are derived: see `_list_keys`."""

    def find(self, output: Output) -> str:
        """Return `file:line:column` of an output's item, or of the rule by which it is derived.

        It is only the file if that is not valid any more, and empty for a one-off image, which has none.
        """
        job = output.job.removeprefix(f"{PREVIEW}/")
        if job not in self._jobs:
            path = next((path for path in find_job_files(self._inputs.root) if path.stem == job), None)
            self._jobs[job] = self._read_places(path) if path else {}
        places = self._jobs[job]
        return next((places[key] for key in _list_keys(output) if key in places), "")

    def _read_places(self, path: Path) -> Mapping[str, str]:
        file = f"jobs/{path.name}"
        places = {"": file}
        with contextlib.suppress(ImagegenError, OSError):
            document = resolve_extends(read_document(file, self._inputs.read(file)), self._inputs.read_base)
            if isinstance(document.values, dict):
                places.update(_find_places(document))
                places.update(self._read_source(document))
        return places

    def _read_source(self, document: Document) -> Iterator[tuple[str, str]]:
        source = document.values.get("source")
        if isinstance(source, str) and (read := prompt_reader(source)):
            for one in read(source, self._inputs.read_source(source, document.where(("source",)))):
                yield f"item {one.name.strip()}", one.marks["name"]


def _list_keys(output: Output) -> Sequence[str]:
    """Return what says which item or rule an output comes from, the most exact first."""
    if not output.is_derived:
        return f"item {output.request.name}", "items", ""
    return f"derive {output.slug.rpartition(':')[2]}", "sheet", ""


def _find_places(document: Document) -> Iterator[tuple[str, str]]:
    """Yield the places of what a job file says itself. It may have become invalid since it was planned."""
    items, derive = document.values.get("items"), document.values.get("derive")
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict) and isinstance(name := item.get("name"), str):
            yield f"item {name.strip()}", document.where(("items", index, "name"))
    if isinstance(items, dict):
        yield "items", document.where(("items", "folder"))
    for rule in derive if isinstance(derive, dict) else ():
        yield f"derive {rule}", document.where(("derive", rule))
    if "sheet" in document.values:
        yield "sheet", document.where(("sheet",))
