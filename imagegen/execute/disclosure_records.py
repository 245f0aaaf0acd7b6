"""What is recorded of each image and sheet's index, by the lock files, and the files that are there.

A record is of a path. An output has several once its path has changed: its old files may still be there, and shipped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from imagegen.config.job import FORMATS
from imagegen.errors import ImagegenError, InputError, Problem, did_you_mean
from imagegen.execute.pick import is_candidate
from imagegen.plan.output import Output
from imagegen.plan.record import ACCEPT, PICK, TAKEN_BACK, OutputLine
from imagegen.project import Project

__all__ = ["NO_LOCK_FILES", "Record", "read_records"]

NO_LOCK_FILES = "there are no lock files (jobs/*.lock)"
"""Why nothing is recorded, which does not say that nothing was generated."""


@dataclass(frozen=True)
class Record:
    """What is recorded of one image, or of a sheet's index, and the file that is there."""

    job: str
    output: str  # its slug
    path: str  # of its file, relative to the project; empty if unknown
    line: OutputLine | None  # None: nothing was generated and its file was accepted, or nothing is recorded at all
    sha256: str | None  # of the file; None if there is none
    is_ours: bool  # whether some line says that this build wrote a file of that sha256
    accepted: str | None = None  # the sha256 that a person accepted
    others: Sequence[OutputLine] = ()  # further lines of this path and output: earlier images, or of merged branches

    @property
    def task(self) -> str:
        """Return the output's name in doit, which several records may have."""
        return f"{self.job}:{self.output}"

    @property
    def key(self) -> str:
        """Return what no other record has."""
        return self.path or self.task

    @property
    def is_there(self) -> bool:
        """Whether it has a file."""
        return self.sha256 is not None

    @property
    def is_image(self) -> bool:
        """Whether it is not a sheet's index."""
        return self.line is None or self.line.encoding.format in FORMATS

    @property
    def time(self) -> str:
        """Return when it was made; empty if unknown."""
        return self.line.time if self.line else ""

    def find_made(self, digits: str) -> Record | None:
        """Return the record as it was when its file had this sha256 (its first digits); None if it never had one."""
        for line in (self.line, *self.others):
            if line and line.sha256.startswith(digits):
                return replace(self, line=line, sha256=line.sha256, is_ours=True)
        found = (sha256 for sha256 in (self.sha256, self.accepted) if sha256 and sha256.startswith(digits))
        return next((replace(self, sha256=sha256, is_ours=False) for sha256 in found), None)


def read_records(project: Project, jobs: Collection[str] = ()) -> tuple[list[Record], list[str]]:
    """Return what is recorded, a record for each path, and the jobs that have a lock file.

    Files where the jobs have their images now have a record each, also if no lock file says anything of them. Variants
    that were not picked are left out: they are not among the project's images.

    Args:
        project: its lock files and images are read.
        jobs: names; empty for all.

    Raises:
        ImagegenError: a lock file cannot be understood, a name is not one of a job, or a file cannot be read.

    """
    locked = sorted(file.stem for file in (project.root / "jobs").glob("*.lock"))
    names = [*locked, *sorted(_jobs_without_lock(project, locked) & set(jobs))]
    wrong = [name for name in jobs if name not in names]
    if wrong:
        hint = f"those with recorded images: {', '.join(names)}" if names else f"no image is recorded: {NO_LOCK_FILES}"
        raise InputError(*(Problem("", f"'{name}' is not a job{did_you_mean(name, names)}", hint) for name in wrong))
    names = [name for name in names if not jobs or name in jobs]
    paths = {name: [*project.lock(name).lines] for name in names}
    planned = {plan.name: plan.outputs for plan in project.plans() if not jobs or plan.name in jobs}
    now = [output.path for outputs in planned.values() for output in outputs]
    project.hashes.expect([*dict.fromkeys([*(path for of_job in paths.values() for path in of_job), *now])])
    found: dict[str, Record] = {}
    for name in names:
        for record in (*_recorded(project, name), *_accepted_elsewhere(project, name, planned.get(name, ()))):
            other = found.get(record.key)  # a job's lines may have been copied to another one's lock file
            if other is None or (record.is_ours and not other.is_ours):
                found[record.key] = record
    for name, outputs in planned.items():
        for record in _unrecorded(project, name, outputs, found):
            found[record.key] = record
    return list(found.values()), names


def _jobs_without_lock(project: Project, names: Iterable[str]) -> set[str]:
    from imagegen.config.job_files import find_job_files

    return {path.stem for path in find_job_files(project.root)} - set(names)


def _recorded(project: Project, job: str) -> Iterator[Record]:
    """Yield the images that have a line, and the indexes of sheets."""
    lock, accepted = project.lock(job), _accepted(project, job)
    for path in lock.lines:
        sha256 = _hash(project, path)
        line = lock.line_of(path, sha256)
        if line is None or is_candidate(project, job, line.output):
            continue
        is_ours = sha256 is not None and lock.owns(path, sha256)
        others = [one for one in lock.lines[path] if one is not line and one.output == line.output]
        yield Record(job, line.output, path, line, sha256, is_ours, accepted.get(line.output), others)


def _accepted_elsewhere(project: Project, job: str, planned: Iterable[Output]) -> Iterator[Record]:
    """Yield the accepted images whose path no line has: nothing was generated for them, or their path has changed."""
    accepted = _accepted(project, job)
    if not accepted:
        return
    lock = project.lock(job)
    lines = sorted((line for lines in lock.lines.values() for line in lines), key=lambda line: line.time)
    newest = {line.output: line for line in lines}
    paths = {output.slug: output.path for output in planned}
    for output, sha256 in sorted(accepted.items()):
        path, line = paths.get(output, ""), newest.get(output)
        if path in lock.lines:
            continue
        there = _hash(project, path) if path else None
        if line is None or there is not None:
            yield Record(job, output, path, line, there, is_ours=False, accepted=sha256)


def _unrecorded(project: Project, job: str, planned: Iterable[Output], known: Mapping[str, Record]) -> Iterator[Record]:
    """Yield the files that are where the job has its images, and of which nothing is recorded."""
    for output in planned:
        if not output.encoding.is_image or output.path in known or is_candidate(project, job, output.full_slug):
            continue
        sha256 = _hash(project, output.path)
        if sha256 is not None:
            yield Record(job, output.slug, output.path, None, sha256, is_ours=False)


def _accepted(project: Project, job: str) -> dict[str, str]:
    """Return the sha256 of each accepted file by the slug of its image; those of variants not picked are left out."""
    decisions = project.lock(job).decisions
    found = {}
    for (kind, output), decision in decisions.items():
        if kind != ACCEPT or decision.value in (None, TAKEN_BACK):
            continue
        base, _, variant = output.rpartition("-v")
        pick = decisions.get((PICK, base))
        if pick is not None and pick.value and str(pick.value) == variant:
            output = base  # a picked variant is the item's image
        elif is_candidate(project, job, output):
            continue
        found[output] = str(decision.value["sha256"])
    return found


def _hash(project: Project, path: str) -> str | None:
    """Return the sha256 of the file there; None if there is none."""
    try:
        state = project.hashes.state(path)
    except OSError as error:
        raise ImagegenError(Problem(path, f"cannot be read: {error.strerror}", "fix its permissions")) from None
    return state.sha256 or None if state else None
