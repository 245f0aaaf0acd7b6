"""Which parts of which jobs a change reaches, since a snapshot was taken.

Each file that changed is attributed to the parts that follow from it: an output to its own, an input to those that read
it, a lock file to those of which it says something else. To them come the parts whose outputs are made from theirs.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagegen.plan.wildcards import WILDCARD_FOLDER
from imagegen.project.job_parts import find_files, hash_decisions, hash_lines, split_job
from imagegen.project.planner import item_values
from imagegen.state.details import JobDetails, PartResult

if TYPE_CHECKING:
    from imagegen.config.document import Document
    from imagegen.project import Project
    from imagegen.state.snapshot import Snapshot

__all__ = ["Affected", "NeedsWholePlan"]


class NeedsWholePlan(Exception):  # noqa: N818 - never leaves the planning of what changed
    """A change can't be attributed to parts of jobs, or these can't be planned by themselves."""


class Affected:
    """What must be planned again. Raises NeedsWholePlan or ImagegenError.

    Attributes:
        jobs: all of them by file, as their files are now.
        parts: by file, those to plan, by their index.
        whole: the files of jobs of which all parts are planned, from their file.
        outputs: the paths of the outputs that the snapshot has of these parts, and of those that are gone, by task.
        counts: how many of these outputs were fresh, by file.
        documents: of jobs that were read again, to be planned as a whole.

    """

    def __init__(self, project: Project, snapshot: Snapshot) -> None:
        self._project, self._details = project, snapshot.details
        self.jobs = dict(snapshot.details.jobs)
        self.parts: dict[str, set[int]] = {}
        self.whole: set[str] = set()
        self.outputs: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self.documents: dict[str, Document] = {}
        self._new: list[str] = []
        """Tasks of these outputs whose followers have not been added yet."""
        self._readers: dict[str, list[str]] = defaultdict(list)
        """By the path of a file that jobs name, their files."""
        for file, job in self.jobs.items():
            for path in job.files:
                self._readers[path].append(file)
        self._files = {path for job in self.jobs.values() for path, _ in find_files(job.head, job.parts)}
        """Files that are items of jobs, or were."""
        self._read_again(snapshot.changed)
        for file, job in self.jobs.items():
            for part in job.unfinished:
                self._add(file, part)
        self._attribute(snapshot.changed)
        if not self.parts:  # so that the run takes a snapshot that knows of the change
            self._add(next(iter(self.jobs)), 0)
        self._add_followers()

    def add_origins(self, tasks: Iterable[str]) -> None:
        """Add the parts that these outputs are of: others are made from them. Raises NeedsWholePlan."""
        known = {
            f"{job.task}:{slug}": (file, part)
            for file, job in self.jobs.items()
            for part, found in enumerate(job.results)
            for slug in found.outputs
        }
        for task in tasks:
            file, part = known.get(task, ("", 0))
            if not file or file in self.whole or part in self.parts.get(file, ()):  # it has another name now, or none
                raise NeedsWholePlan
            self._add(file, part)

    def _add(self, file: str, part: int) -> None:
        job = self.jobs[file]
        if not job.head:
            self._add_whole(file)
        elif file not in self.whole and part not in self.parts.setdefault(file, set()):
            self.parts[file].add(part)
            self._drop(job, part)

    def _add_all(self, file: str) -> None:
        for part in range(len(self.jobs[file].parts)):
            self._add(file, part)

    def _add_whole(self, file: str) -> None:
        if file not in self.whole:
            job = self.jobs[file]
            for part in set(range(len(job.results))) - self.parts.get(file, set()):
                self._drop(job, part)
            self.whole.add(file)
            self.parts[file] = set()

    def _drop(self, job: JobDetails, part: int) -> None:
        """Note that the snapshot says nothing of a part any more."""
        found = {f"{job.task}:{slug}": path for slug, path in job.results[part].outputs.items()}
        self.outputs |= found
        self._new += found
        if part not in job.unfinished:
            self.counts[job.file] += len(found)

    def _read_again(self, changed: Iterable[str]) -> None:
        """Read the jobs again whose parts may have changed."""
        for file, job in list(self.jobs.items()):
            if any(path in job.sources for path in changed):
                self._compare_parts(file, job)

    def _compare_parts(self, file: str, job: JobDetails) -> None:
        """Compare the parts of a job with those that it had, and add those that are new."""
        planner = self._project.planner
        document = planner.document(file, self._project.inputs.read(file))
        of_source = planner.read_source(document)
        files = planner.read_folder(document).items
        head, parts = split_job(document.values, [*map(item_values, of_source), *files])
        before = {text: part for part, text in enumerate(job.parts)}
        now = {text: part for part, text in enumerate(parts)}
        if not head or head != job.head or len(now) < len(parts):
            self._add_whole(file)
            self.documents[file] = document
            return
        new = [part for text, part in now.items() if text not in before]
        is_odd = any(
            one.overrides.keys() & {"name", "prompt", *(() if one.negative is None else ("negative",))}
            for one in of_source
        )
        if is_odd or not (files or planner.are_valid(json.loads(parts[part]) for part in new)):
            raise NeedsWholePlan
        for text, part in before.items():
            if text not in now:
                self._drop(job, part)
        old = {part: before[text] for text, part in now.items() if text in before}
        self.jobs[file] = replace(
            job,
            parts=parts,
            sources=sorted(planner.sources[file]),
            origins={part: job.origins[was] for part, was in old.items() if was in job.origins},
            unfinished={part for part, was in old.items() if was in job.unfinished},
            _results=[job.results[old[part]] if part in old else PartResult() for part in range(len(parts))],
        )
        self.parts[file] = set(new or [0])  # its plan says which files are of no item any more
        if not new:
            self._drop(self.jobs[file], 0)

    def _attribute(self, changed: Iterable[str]) -> None:
        """Add the parts that follow from files that changed, but for those that say which parts there are."""
        sources = {path for job in self.jobs.values() for path in job.sources}
        locks = {f"jobs/{Path(file).stem}.lock": file for file in self.jobs}
        wildcards = {path for paths in self._details.wildcards.values() for path in paths}
        others = []
        now: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for file, job in self.jobs.items() if self._files.intersection(changed) else ():
            for path, part in find_files(job.head, job.parts):
                now[path].append((file, part))
        for path in changed:
            for file in self._readers.get(path, ()):
                self._add_all(file)
            wildcard = unicodedata.normalize("NFC", path)  # their names are in this form, whatever the disk has
            if path in locks:
                self._compare_lock(locks[path])
            elif wildcard in wildcards:
                self._add_wildcard(wildcard)
            elif path in self._files:
                for file, part in now.get(path, ()):  # of none, if it is gone
                    self._add(file, part)
            elif path not in sources:
                others.append(path)
        self._add_outputs(others)

    def _compare_lock(self, file: str) -> None:
        """Add the parts of which the lock file says something else; all of them if decisions have changed."""
        job = self.jobs[file]
        lock = self._project.lock(Path(file).stem)
        if lock.seen is None or lock.conflicts:
            raise NeedsWholePlan
        if hash_decisions(lock) != job.decisions:
            self._add_whole(file)
        for part, found in enumerate(job.results):
            if hash_lines(lock, found.outputs.values()) != found.lines:
                self._add(file, part)
        if file not in self.parts:  # the snapshot knows how the lock file is once its job was planned
            self._add(file, 0)

    def _add_wildcard(self, path: str) -> None:
        """Add the parts that have the name of a wildcard in them that reads this file."""
        names = [f"__{name}__" for name, paths in self._details.wildcards.items() if path in paths]
        for file, job in self.jobs.items():
            is_for_all = any(name in job.head for name in names)
            for part, text in enumerate(job.parts):
                if is_for_all or any(name in text for name in names):
                    self._add(file, part)

    def _add_outputs(self, paths: Collection[str]) -> None:
        """Add the parts that these files are outputs of. Raises NeedsWholePlan for a file that nothing accounts for."""
        if not paths:
            return
        known = {
            path: (file, part)
            for file, job in self.jobs.items()
            for part, found in enumerate(job.results)
            for path in found.outputs.values()
        }
        gone = set(self.outputs.values())
        for path in paths:
            if path in known:
                self._add(*known[path])
            elif path not in gone and path not in self._readers and not self._is_folder_with_same_names(path):
                raise NeedsWholePlan

    def _is_folder_with_same_names(self, path: str) -> bool:
        """Whether it is a folder of wildcards, all of which have the names that they had."""
        if path != WILDCARD_FOLDER and not path.startswith(f"{WILDCARD_FOLDER}/"):
            return False
        wildcards = self._project.planner.wildcards
        names = [*wildcards.names(), *wildcards.unread()]  # notes the folders, and nothing else
        return names == self._details.wildcard_names and path in self._project.inputs.stats

    def _add_followers(self) -> None:
        """Add the parts whose outputs are made from those of parts that were added, and so on.

        Likewise the jobs that name such an output by its path: this run may write it, and the next one must see that.
        """
        followers: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for file, job in self.jobs.items():
            for part, tasks in job.origins.items():
                for task in tasks:
                    followers[task].append((file, part))
        while self._new:
            task = self._new.pop()
            for file, part in followers.get(task, ()):
                self._add(file, part)
            for file in self._readers.get(self.outputs[task], ()):
                self._add_all(file)
