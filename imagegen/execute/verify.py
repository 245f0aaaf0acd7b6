"""Checks the files on disk against what is recorded: outputs against their lines, the store against its hashes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from imagegen.execute.prune import find_orphans
from imagegen.images.formats import BadImage
from imagegen.images.image_file import ImageFile, read_image, verify
from imagegen.images.provenance import read_provenance
from imagegen.plan.freshness import CHANGED, IN_CONFLICT, conflict_hint, keep_hint
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


FindingState = Literal["intact", "accepted", "new", "pointer", "missing", "changed", "corrupt", "wrong", "orphaned"]


@dataclass(frozen=True)
class Finding:
    """What was found of one output or file.

    state: `new` is not built yet, `pointer` is one of Git LFS whose content was not fetched; of a `wrong` one, the lock
    line or the provenance does not fit. name: of the output, or the path. hint: what to do.
    """

    state: FindingState
    name: str
    path: str = ""
    note: str = ""
    hint: str = ""

    @property
    def is_right(self) -> bool:
        """Whether there is nothing to do."""
        return self.state in ("intact", "accepted", "new", "pointer")


def verify_outputs(
    project: Project, outputs: Sequence[Output], on_progress: Callable[[int, int], None] = lambda _done, _total: None
) -> list[Finding]:
    """Check each output's file against its lock line, on all cores. Every byte is read.

    on_progress: called now and then with the number of files that were checked, and that of all.
    """
    return _in_threads(lambda output: _check_output(project, output), outputs, on_progress)


def verify_store(
    project: Project, on_progress: Callable[[int, int], None] = lambda _done, _total: None
) -> list[Finding]:
    """Check every image of the store against its hash. on_progress: as for `verify_outputs`.

    Raises OSError if the folder cannot be read.
    """
    paths = [path for path, _ in project.store.blobs()]
    return _in_threads(lambda path: _check_blob(project, path), paths, on_progress)


def verify_orphans(project: Project, plans: Collection[JobPlan], jobs: Collection[str] | None) -> list[Finding]:
    """Find what no longer belongs to any item. Raises ImagegenError, OSError."""
    found = []
    for orphan in find_orphans(project, plans, jobs):
        lock = f"jobs/{orphan.job}.lock"
        if orphan.exists:
            note = f"recorded in {lock}, but no item asks for it any more{f'; {orphan.why}' if orphan.why else ''}"
            hint = "move it where it belongs, or delete it; then doit prune" if orphan.why else "doit prune removes it"
        else:
            note, hint = f"{lock} has a line for it, but there is neither file nor item", "doit prune removes the line"
        found.append(Finding("orphaned", orphan.path, orphan.path, note, hint))
    return found


def _in_threads(
    work: Callable[[_Thing], Finding], things: Sequence[_Thing], on_progress: Callable[[int, int], None]
) -> list[Finding]:
    parts = [things[at : at + _AT_ONCE] for at in range(0, len(things), _AT_ONCE)]
    findings: list[Finding] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for found in pool.map(lambda part: [work(one) for one in part], parts):
            findings += found
            on_progress(len(findings), len(things))
    return findings


_AT_ONCE = 16
"""Files that a thread takes at a time: to hand over each by itself takes as long as to hash a small one."""


def _finding(output: Output, state: FindingState, note: str = "", hint: str = "") -> Finding:
    return Finding(state, output.task, output.path, note, hint)


def _check_output(project: Project, output: Output) -> Finding:
    found = partial(_finding, output)
    lock = project.lock(output.job)
    try:
        state = project.hashes.state(output.path)
        is_read = state is not None and state.sha256 and not state.is_pointer
        data = (project.root / output.path).read_bytes() if is_read else b""
    except OSError as error:
        return found("wrong", f"cannot be read: {error.strerror}", "fix its permissions")
    accepted = project.accepted(output)
    if state is None:
        if lock.line_of(output.path, None) is None and accepted is None:
            return found("new")
        verdict = project.verdict(output)
        if verdict.state == "blocked":
            return found("missing", verdict.note, verdict.hint)
        return found("missing", "its file is missing", f"doit {output.task} restores it, or generates it again")
    if not state.sha256:
        return found("wrong", "a folder is in its place", "move it away")
    if state.in_conflict:
        return found("wrong", IN_CONFLICT, conflict_hint(output.path))
    # what is remembered of an untouched file says nothing of its bytes: they are read
    sha256 = state.sha256 if state.is_pointer else hashlib.sha256(data).hexdigest()
    line = lock.line_of(output.path, sha256)
    if state.is_pointer:
        if sha256 in (accepted, line.sha256 if line else None):
            return found("pointer")
        hint = f"restore it from git; or delete it and run doit {output.task}"
        return found("changed", "a Git LFS pointer to a different content than is recorded", hint)
    return _check_bytes(project, output, data, sha256, line)


def _check_bytes(project: Project, output: Output, data: bytes, sha256: str, line: OutputLine | None) -> Finding:
    """Check a file's bytes. line: the one that counts for the output, which may be of another file."""
    found = partial(_finding, output)
    lock = project.lock(output.job)
    is_accepted = sha256 == project.accepted(output)
    is_recorded = line is not None and line.sha256 == sha256
    file = None
    try:
        if output.encoding.is_image:  # of a sheet's index, that its bytes are those recorded is all
            # whatever is recorded was decoded before
            check = read_image if is_recorded else verify
            file = check(data, may_be_followed=is_accepted)
    except BadImage as error:
        return found("corrupt", str(error), f"{'delete it' if line else 'move it away'}, and run doit {output.task}")
    if is_accepted:
        return found("accepted")
    there = project.found(output)
    if sha256 == there.sha256 and there.recorded_elsewhere:
        note = f"it is an earlier version: {lock.name} records a different one"
        return found("wrong", note, f"doit {output.task} restores that one, if it is available")
    if sha256 == there.sha256 and there.is_recorded:
        return found("intact")
    if line is None or line.sha256 != sha256:
        note = CHANGED if line else "imagegen did not write this file"
        hint = f"to keep it: doit accept {output.task}; to replace it: then doit -a {output.task}"
        if line:
            hint = keep_hint(output.task)
        return found("changed", note, hint)
    if line.size != len(data):
        note = f"{lock.name} says that it has {line.size} bytes, but it has {len(data)}"
        return found("wrong", note, f"restore {lock.name} from git")
    if note := _check_provenance(line, file):
        return found("wrong", note, f"delete it, and run doit {output.task}; if that changes nothing, report it")
    return found("intact")


def _check_provenance(line: OutputLine, file: ImageFile | None) -> str:
    """Say what is wrong with the image's own record; empty if nothing is, or if it needs none."""
    is_derived = line.backend == DERIVE  # it says what its image was made by, or nothing
    if file is None or is_derived or line.encoding.metadata != "full":
        return ""
    record = read_provenance(file)
    if record is None:
        return "it does not say what made it, though output.metadata is full"
    omitted = {"name", *record.get("omitted", ())}
    said, made = record.get("request"), {key: value for key, value in line.request.items() if key not in omitted}
    return "" if said == made else "it says that it was made by a different request than its lock line says"


def _check_blob(project: Project, path: Path) -> Finding:
    shown = path.relative_to(project.root).as_posix()
    try:
        data = path.read_bytes()
    except OSError as error:
        return Finding("wrong", shown, shown, f"cannot be read: {error.strerror}", "fix its permissions")
    if hashlib.sha256(data).hexdigest() == path.name:
        return Finding("intact", shown, shown)
    hint = "delete it: whatever needs it is then generated again, or restored from elsewhere"
    return Finding("corrupt", shown, shown, "its bytes are not those of its name", hint)
