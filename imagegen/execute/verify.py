"""Holding what is on disk against what is recorded: outputs against their lines, the store against its hashes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from imagegen.execute.prune import find_orphans
from imagegen.images.formats import BadImage
from imagegen.images.image_file import ImageFile, verify
from imagegen.images.provenance import read_provenance
from imagegen.plan.freshness import IN_CONFLICT, conflict_hint
from imagegen.plan.output import DERIVE, Output
from imagegen.plan.record import OutputLine
from imagegen.project import JobPlan, Project

__all__ = [
    "Finding",
    "verify_orphans",
    "verify_outputs",
    "verify_store",
]


_Thing = TypeVar("_Thing")


@dataclass(frozen=True)
class Finding:
    """What one thing was found to be.

    state: `intact`, `accepted`, `new` (not made yet) or `pointer` (of Git LFS, not fetched), which are all right;
    `missing`, `changed`, `corrupt`, `wrong` (its lock line or its provenance does not fit) or `orphaned`, which are
    not. name: of the output, or the path. hint: what to do.
    """

    state: str
    name: str
    path: str = ""
    note: str = ""
    hint: str = ""

    @property
    def is_right(self) -> bool:
        """Whether there is nothing to do."""
        return self.state in ("intact", "accepted", "new", "pointer")


def verify_outputs(project: Project, outputs: Sequence[Output]) -> list[Finding]:
    """Each output's file against its lock line, as many at a time as there are cores. Every byte is read anew."""
    return _in_threads(lambda output: _output(project, output), outputs)


def verify_store(project: Project) -> list[Finding]:
    """Every image of the store against its hash. Raises OSError where the folder cannot be read."""
    return _in_threads(lambda path: _blob(project, path), [path for path, _ in project.store.blobs()])


def verify_orphans(project: Project, plans: Collection[JobPlan], jobs: Collection[str] | None) -> list[Finding]:
    """What belongs to no item any more. Raises ImagegenError, OSError."""
    found = []
    for orphan in find_orphans(project, plans, jobs):
        lock = f"jobs/{orphan.job}.lock"
        if orphan.exists:
            note = f"{lock} has it, and no item{f'; {orphan.why}' if orphan.why else ''}"
            hint = "move it where it belongs, or delete it; then doit prune" if orphan.why else "doit prune removes it"
        else:
            note, hint = f"{lock} has a line for it, but there is neither file nor item", "doit prune removes the line"
        found.append(Finding("orphaned", orphan.path, orphan.path, note, hint))
    return found


def _in_threads(work: Callable[[_Thing], Finding], things: Sequence[_Thing]) -> list[Finding]:
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(work, things))


def _output(project: Project, output: Output) -> Finding:
    path = project.root / output.path
    lock = project.lock(output.job)
    try:
        state = project.hashes.state(output.path)
        data = path.read_bytes() if state is not None and state.sha256 and not state.is_pointer else b""
    except OSError as error:
        return Finding("wrong", output.task, output.path, f"cannot be read: {error.strerror}", "fix its permissions")
    accepted = project.accepted(output)
    if state is None:
        line = lock.line_of(output.path, None)
        if line is None and accepted is None:
            return Finding("new", output.task, output.path)
        verdict = project.verdict(output)
        if verdict.state == "blocked":
            return Finding("missing", output.task, output.path, verdict.note, verdict.hint)
        note, hint = "its file is not there", f"doit {output.task} brings it back, or generates it again"
        return Finding("missing", output.task, output.path, note, hint)
    if not state.sha256:
        return Finding("wrong", output.task, output.path, "a folder is in its place", "move it away")
    if state.in_conflict:
        return Finding("wrong", output.task, output.path, IN_CONFLICT, conflict_hint(output.path))
    # what is remembered of an untouched file says nothing of its bytes: they are read
    sha256 = state.sha256 if state.is_pointer else hashlib.sha256(data).hexdigest()
    line = lock.line_of(output.path, sha256)
    is_line = line is not None and line.sha256 == sha256
    if state.is_pointer and (is_line or sha256 == accepted):
        return Finding("pointer", output.task, output.path)
    if state.is_pointer:
        note = "a Git LFS pointer to another content than is recorded"
        return Finding(
            "changed", output.task, output.path, note, f"restore it from git; or delete it and run doit {output.task}"
        )
    file = None
    try:
        if output.encoding.format != "json":  # a sheet's index is no image: that its bytes are those recorded is all
            file = verify(data, may_be_followed=sha256 == accepted)
    except BadImage as error:
        hint = f"{'delete it' if line else 'move it away'}, and run doit {output.task}"
        return Finding("corrupt", output.task, output.path, str(error), hint)
    if sha256 == accepted:
        return Finding("accepted", output.task, output.path)
    found = project.found(output)
    if sha256 == found.sha256 and found.recorded_elsewhere:
        note = f"it is the one of before: {lock.name} tells of another one by now"
        hint = f"doit {output.task} brings that one, if it is to be had"
        return Finding("wrong", output.task, output.path, note, hint)
    if sha256 == found.sha256 and found.is_recorded:
        return Finding("intact", output.task, output.path)
    if not is_line or line is None:
        note = "changed by hand since it was made" if line else "it was there before, and this build did not make it"
        hint = f"to keep it: doit accept {output.task}; to have the build's own: delete it, and run doit {output.task}"
        return Finding("changed", output.task, output.path, note, hint)
    if line.size != len(data):
        note = f"{lock.name} says that it has {line.size} bytes, and it has {len(data)}"
        return Finding("wrong", output.task, output.path, note, f"restore {lock.name} from git")
    if note := _provenance(line, file):
        hint = f"delete it, and run doit {output.task}; if that changes nothing, report it"
        return Finding("wrong", output.task, output.path, note, hint)
    return Finding("intact", output.task, output.path)


def _provenance(line: OutputLine, file: ImageFile | None) -> str:
    """What is wrong with what the image says of itself; empty where nothing is, or where it is to say nothing."""
    is_derived = line.backend == DERIVE  # it says what its image was made by, or nothing
    if file is None or is_derived or line.encoding.metadata != "full":
        return ""
    record = read_provenance(file)
    if record is None:
        return "it does not say what made it, though output.metadata is full"
    omitted = {"name", *record.get("omitted", ())}
    told, made = record.get("request"), {key: value for key, value in line.request.items() if key not in omitted}
    return "" if told == made else "it says of itself that it was made by another request than its lock line says"


def _blob(project: Project, path: Path) -> Finding:
    shown = path.relative_to(project.root).as_posix()
    try:
        data = path.read_bytes()
    except OSError as error:
        return Finding("wrong", shown, shown, f"cannot be read: {error.strerror}", "fix its permissions")
    if hashlib.sha256(data).hexdigest() == path.name:
        return Finding("intact", shown, shown)
    hint = "delete it: what needs it is then made or restored from elsewhere"
    return Finding("corrupt", shown, shown, "its bytes are not those of its name", hint)
