"""What a snapshot knows of each job in detail: the parts that it was planned from, and what came of each.

A part is what can be planned by itself: an item with all that follows from it, or the whole job where more than one
item decides an output. The details are read only if something changed, or if somebody asks for an output by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = ["Details", "JobDetails", "PartResult", "write_json"]


class PartResult(NamedTuple):
    """What came of a part."""

    outputs: Mapping[str, str] = MappingProxyType({})  # the paths of its outputs, by slug
    lines: str = ""  # the key of what the lock file says of them


@dataclass
class JobDetails:
    """One job that was planned."""

    file: str
    task: str
    head: str  # all that it says but its items, as JSON; empty if it is one part
    parts: list[str]  # what the items say, each as JSON; or else all that the job says
    sources: list[str] = field(default_factory=list)  # the files that say which parts there are
    files: list[str] = field(default_factory=list)  # others that its parts may follow from, but for wildcards
    decisions: str = ""  # the key of the decisions in its lock file
    notes: dict[str, str] = field(default_factory=dict)  # what `doit list` adds to an output, by its slug
    origins: dict[int, list[str]] = field(default_factory=dict)
    """By the index of a part, the tasks of outputs of other parts that its own are made from."""
    unfinished: set[int] = field(default_factory=set)
    """Parts, by index, with an output that is not fresh: they are planned in every run."""
    _results: list[PartResult] | str = field(default_factory=list)  # a text while nobody has asked for them

    @property
    def results(self) -> list[PartResult]:
        """What came of each part, in their order."""
        if isinstance(self._results, str):
            self._results = [PartResult(*pair) for pair in zip(*json.loads(self._results), strict=True)]
        return self._results

    @results.setter
    def results(self, found: list[PartResult]) -> None:
        self._results = found

    def fresh(self) -> Iterator[tuple[str, str]]:
        """Yield slug and path of each output of the parts that are finished."""
        for at, part in enumerate(self.results):
            if at not in self.unfinished:
                yield from part.outputs.items()

    def write_results(self) -> str:
        """Return the results as JSON."""
        if isinstance(self._results, str):
            return self._results
        return write_json([[part.outputs for part in self._results], [part.lines for part in self._results]])


@dataclass
class Details:
    """All jobs of a project."""

    jobs: dict[str, JobDetails] = field(default_factory=dict)  # by file
    wildcards: dict[str, list[str]] = field(default_factory=dict)  # by name, the files that it reads
    wildcard_names: list[str] = field(default_factory=list)  # all that there are, and the files that are not read

    def dump(self) -> bytes:
        """Return them as lines: one about all jobs, then for each its results and its parts."""
        about = []
        for job in self.jobs.values():
            of_files = (job.sources, job.files, job.decisions)
            of_parts = (job.notes, list(job.origins.items()), sorted(job.unfinished))
            about.append((job.file, job.task, job.head, len(job.parts), *of_files, *of_parts))
        lines = [write_json([self.wildcards, self.wildcard_names, about])]
        for job in self.jobs.values():
            lines.append(job.write_results())
            lines += job.parts
        return "\n".join(lines).encode("utf-8")

    @classmethod
    def load(cls, data: bytes) -> Details:
        """Return what `dump` wrote. Raises ValueError, TypeError or IndexError for anything else."""
        lines = data.decode("utf-8").split("\n")
        wildcards, names, about = json.loads(lines[0])
        found = cls({}, wildcards, names)
        at = 1
        for file, task, head, count, sources, files, decisions, notes, origins, unfinished in about:
            parts = lines[at + 1 : at + 1 + count]
            of_job = (sources, files, decisions, notes, dict(origins), set(unfinished), lines[at])
            found.jobs[file] = JobDetails(file, task, head, parts, *of_job)
            at += 1 + count
        if at != len(lines):
            raise ValueError("these are not the lines of all jobs")
        return found


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
"""Texts stay as they are, so that a wildcard's name can be looked up in them."""


def write_json(value: Any) -> str:
    """Return a value as JSON in one line: 7, 7.0, true and "7" differ. Raises TypeError for what JSON has not."""
    return _ENCODER.encode(value)
