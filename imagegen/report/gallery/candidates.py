"""The variants of a picked item that were not picked: they are not outputs, and can be picked all the same."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from imagegen.execute.pick import CANDIDATES
from imagegen.plan.output import Output
from imagegen.plan.record import OutputLine
from imagegen.project import JobPlan, Project
from imagegen.report.gallery.picture import Candidate, Provenance
from imagegen.report.gallery.provenance import provenance_of

__all__ = ["Candidates"]


_UNKNOWN = Provenance("", "", "", "", "", ())


class Candidates:
    """The candidates of one job. Nothing is read until somebody asks for those of an item."""

    def __init__(self, project: Project, plan: JobPlan) -> None:
        self._project = project
        self._plan = plan
        self._of_item: dict[str, dict[int, tuple[str, list[OutputLine]]]] | None = None

    def of(self, output: Output) -> tuple[Candidate, ...]:
        """Return the other variants of a picked output whose images are here, by number; none if it is not picked."""
        if not output.variant or output.slug == output.full_slug:
            return ()
        if self._of_item is None:
            self._of_item = self._find()
        known = self._of_item.get(output.base, {})
        found = (self._candidate(number, *known[number]) for number in sorted(known) if number != output.variant)
        return tuple(one for one in found if one.sha256)

    def _find(self) -> dict[str, dict[int, tuple[str, list[OutputLine]]]]:
        """Return, by item and number, the path of each candidate's file, if it has one, and its lines."""
        planned = {output.slug for output in self._plan.outputs}
        found: dict[str, dict[int, tuple[str, list[OutputLine]]]] = defaultdict(dict)
        files = dict(self._files())
        lines = self._lines()
        for slug in sorted({*files, *lines} - planned):
            base, _, number = slug.rpartition("-v")
            if base and number.isdecimal():
                found[base][int(number)] = (files.get(slug, ""), lines.get(slug, []))
        return found

    def _files(self) -> Iterator[tuple[str, str]]:
        folder = f"{CANDIDATES}/{self._plan.name}"
        try:
            names = sorted(os.listdir(self._project.root / folder))  # noqa: PTH208 - names are what is asked for
        except OSError:  # nothing was picked here
            return
        for name in names:
            yield PurePosixPath(name).stem, f"{folder}/{name}"

    def _lines(self) -> Mapping[str, list[OutputLine]]:
        found: dict[str, list[OutputLine]] = defaultdict(list)
        for lines in self._project.lock(self._plan.name).lines.values():
            for line in lines:
                found[line.output].append(line)
        return found

    def _candidate(self, number: int, path: str, lines: list[OutputLine]) -> Candidate:
        state = self._project.hashes.state(path) if path else None
        sha256 = state.sha256 if state else ""
        line = next((line for line in reversed(lines) if line.sha256 == sha256), lines[-1] if lines else None)
        if not sha256:  # another checkout's pick: its image may be here all the same
            path = ""
            sha256 = next((one.sha256 for one in reversed(lines) if self._project.store.has(one.sha256)), "")
        made = provenance_of(line, line.request) if line else _UNKNOWN
        return Candidate(number, path, sha256, made)
