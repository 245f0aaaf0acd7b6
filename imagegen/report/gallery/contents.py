"""Collects what the gallery shows: each job's pictures, how they stand, and their earlier versions. Reads only."""

from __future__ import annotations

import json
import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from imagegen.errors import ImagegenError
from imagegen.images.index_check import check_index
from imagegen.plan.freshness import FileOnDisk, Reason, Verdict
from imagegen.plan.naming import make_slug
from imagegen.plan.origins import PICTURE
from imagegen.plan.output import DERIVE, STEPS_FIELD, Output
from imagegen.plan.record import OutputLine
from imagegen.plan.sheets import INDEX, SHEET
from imagegen.project import JobPlan, Project
from imagegen.report.gallery.candidates import Candidates
from imagegen.report.gallery.picture import (
    DerivedFile,
    FieldChange,
    Frame,
    Group,
    Picture,
    Provenance,
    State,
    Version,
)
from imagegen.report.gallery.provenance import as_text, provenance_of, to_provenance
from imagegen.state.attempts import Failure, read_failures
from imagegen.state.store import Store, StoreEntry

__all__ = ["MOST_EARLIER", "collect_groups"]


MOST_EARLIER = 8
"""Earlier versions of one picture that are shown: the newest ones. `.imagegen/store` has the others."""

_OF_SHEET = frozenset({"layout", "columns", "cell", "padding", "extrude", "trim", "max_size", "power_of_two"})
"""Fields of a sheet's request that are shown: the others say which images are on it."""
_POINTER = "only its Git LFS pointer is here: git lfs pull"


def collect_groups(project: Project, plans: Sequence[JobPlan]) -> tuple[Group, ...]:
    """Return each job's pictures, in its own order. Raises OSError and ImagegenError."""
    failures = read_failures(project.failures)
    earlier = _Earlier(project.store)
    return tuple(_group(project, plan, failures, earlier) for plan in plans)


class _Earlier:
    """The earlier versions of each picture: what the store has of its output."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._of_output: dict[str, list[StoreEntry]] = defaultdict(list)
        for entry in store.all_entries():
            if entry.name:
                self._of_output[entry.name].append(entry)

    def of(self, name: str, line: OutputLine | None) -> tuple[Version, ...]:
        """Return the versions, newest first, without the one that `line` records, and each image once."""
        entries = sorted(self._of_output.get(name, ()), key=lambda entry: (entry.time, entry.sha256), reverse=True)
        now = (line.fingerprint, line.time) if line else None
        seen = {entry.sha256 for entry in entries if (entry.fingerprint, entry.time) == now}
        times = {now}
        versions = []
        for entry in entries:
            made = (entry.fingerprint, entry.time)  # the same for what a backend returned and for the file it became
            if made != now and not self._store.has(entry.sha256):  # most are of now, and there is no need to look
                continue
            if made not in times and entry.sha256 not in seen:
                versions.append(Version(entry.sha256, provenance_of(entry, entry.request)))
            times.add(made)
            seen.add(entry.sha256)
        return tuple(versions[:MOST_EARLIER])


def _group(project: Project, plan: JobPlan, failures: Mapping[str, Failure], earlier: _Earlier) -> Group:
    if not plan.problems:
        derived = _derived(project, plan, failures)
        images = [output for output in plan.outputs if not output.is_derived]
        planned = ((one, _planned_picture(project, one, failures, earlier, derived[one.task])) for one in images)
        candidates = Candidates(project, plan)
        pictures = (
            replace(picture, candidates=found) if (found := candidates.of(output)) else picture
            for output, picture in planned
        )
        others = (*_files(project, plan, derived), *_sheets(project, plan, failures, earlier))
        return Group(plan.name, plan.doc, plan.file, (*pictures, *others))
    try:
        lines = project.lock(plan.name).lines
    except ImagegenError:
        lines = {}  # it is among the problems
    paths = [path for path, (*_, line) in lines.items() if line.request.get("backend") != DERIVE]
    recorded = tuple(_recorded_picture(project, plan, path, earlier) for path in paths)
    return Group(plan.name, plan.doc, plan.file, recorded, tuple(map(str, plan.problems)))


def _derived(project: Project, plan: JobPlan, failures: Mapping[str, Failure]) -> dict[str, list[DerivedFile]]:
    """Return what is derived from one image alone, by the name of that image: its task, or its path."""
    found: dict[str, list[DerivedFile]] = defaultdict(list)
    for output in plan.outputs:
        if output.is_derived and output.request.extra["kind"] == PICTURE:
            found[output.origins[0].name].append(_derived_file(project, output, failures))
    return found


def _derived_file(project: Project, output: Output, failures: Mapping[str, Failure]) -> DerivedFile:
    standing = _standing(project, output, failures)
    return DerivedFile(
        name=output.slug.rpartition(":")[2],
        path=output.path,
        state=standing.state,
        steps=", ".join(step for step, _ in output.request.extra.get(STEPS_FIELD, ())),
        why=standing.failure or standing.why,
        sha256=standing.sha256,
        size=standing.size,
    )


def _files(project: Project, plan: JobPlan, derived: Mapping[str, Sequence[DerivedFile]]) -> Iterator[Picture]:
    """Yield the files that the job derives others from, if they are no outputs."""
    found: dict[str, str] = {}
    for output in plan.outputs:
        for origin in output.origins if output.is_derived else ():
            if not origin.task:
                is_own = output.request.extra["kind"] == PICTURE
                found[origin.path] = output.slug.partition(":")[0] if is_own else origin.key
    for path, slug in found.items():
        file = project.hashes.state(path)
        is_pointer = file is not None and file.is_pointer
        yield Picture(
            task=f"{plan.name}:{slug}",
            name=slug,
            part="",
            path=path,
            state="fresh" if file else "missing",
            provenance=Provenance("", "", "", "", "", ()),
            width=1,
            height=1,
            sha256=file.sha256 if file and not is_pointer else "",
            size=file.size if file else 0,
            why=(_POINTER,) if is_pointer else (),
            derived=tuple(derived[path]),
            is_given=True,
        )


def _sheets(project: Project, plan: JobPlan, failures: Mapping[str, Failure], earlier: _Earlier) -> Iterator[Picture]:
    """Yield the job's sheets, each with the frames that its index has."""
    outputs = {
        kind: [one for one in plan.outputs if one.is_derived and one.request.extra["kind"] == kind]
        for kind in (SHEET, INDEX)
    }
    frames = {image: found for output in outputs[INDEX] for image, found in _frames(project, output)}
    for output in outputs[SHEET]:
        picture = _planned_picture(project, output, failures, earlier, ())
        found = frames.get(posixpath.basename(output.path), ())
        made = picture.provenance
        settings = [(key, as_text(value)) for key, value in sorted(output.request.extra.items()) if key in _OF_SHEET]
        provenance = Provenance("", "", "", "", "", tuple(settings), seconds=made.seconds, time=made.time)
        name, _, page = output.slug.partition(":")
        part = f"page {page}" if page else ""
        # nobody goes back to an earlier version of a sheet: it follows its images
        yield replace(picture, name=name, part=part, provenance=provenance, frames=found, earlier=())


def _frames(project: Project, output: Output) -> Iterator[tuple[str, tuple[Frame, ...]]]:
    """Yield the name of a sheet's file and its frames, as they are in its index; nothing if that cannot be read."""
    try:
        data = (project.root / output.path).read_bytes()
        check_index(output.path, data)
    except (OSError, ImagegenError):  # it is not there, or not ours any more
        return
    said = json.loads(data)
    size = said["meta"]["size"]
    width, height = size["w"], size["h"]
    places = ((name, frame["frame"]) for name, frame in said["frames"].items())
    yield (
        said["meta"]["image"],
        tuple(
            Frame(name, f"{output.job}:{name}", (at["x"] / width, at["y"] / height, at["w"] / width, at["h"] / height))
            for name, at in places
        ),
    )


def _planned_picture(
    project: Project,
    output: Output,
    failures: Mapping[str, Failure],
    earlier: _Earlier,
    derived: Sequence[DerivedFile],
) -> Picture:
    output = project.with_decisions(output)
    standing = _standing(project, output, failures)
    line = standing.line
    return Picture(
        task=output.task,
        name=output.request.name,
        part=_part(output.request.name, output.slug),
        path=output.path,
        state=standing.state,
        provenance=provenance_of(line, line.request) if line else to_provenance(output.fields),
        width=output.request.width,
        height=output.request.height,
        sha256=standing.sha256,
        size=standing.size,
        why=standing.why,
        wanted=tuple(_wanted(standing.reasons)),
        failure=standing.failure,
        earlier=earlier.of(output.store_name, line),
        derived=tuple(derived),
        rerolls="seed" in output.parameters and not output.has_own_seed,
        item=f"{output.job}:{output.base}" if output.variant else "",
        variant=output.variant,
    )


@dataclass(frozen=True)
class _Standing:
    """How an output stands: the fields of `Picture`, and the line that says what made its file."""

    state: State
    why: tuple[str, ...]
    failure: tuple[str, ...]
    sha256: str
    size: int
    reasons: tuple[Reason, ...]
    line: OutputLine | None


def _standing(project: Project, output: Output, failures: Mapping[str, Failure]) -> _Standing:
    output = project.with_origins(output)
    found = project.found(output)
    verdict = project.verdict(output, found=found)
    failure = failures.get(output.task)
    is_current = failure is not None and failure.fingerprint == output.fingerprint and verdict.state != "fresh"
    file = project.hashes.state(output.path)
    is_pointer = file is not None and file.is_pointer
    return _Standing(
        state=_state(found, verdict, is_current),
        why=(*_why(verdict.reasons), *filter(None, [verdict.note, _POINTER if is_pointer else ""])),
        failure=tuple(filter(None, [failure.what, failure.hint])) if failure and is_current else (),
        sha256="" if is_pointer else found.sha256 or "",
        size=file.size if file else 0,
        reasons=verdict.reasons,
        line=verdict.line if found.sha256 else None,
    )


def _recorded_picture(project: Project, plan: JobPlan, path: str, earlier: _Earlier) -> Picture:
    """Return what a broken job, which nobody knows what it asks for, had generated before."""
    state = project.hashes.state(path)
    sha256 = state.sha256 if state else ""
    line = project.lock(plan.name).line_of(path, sha256)
    assert line is not None  # noqa: S101 - the path is one of the lock file's
    width, height = (line.request.get(side) for side in ("width", "height"))
    return Picture(
        task=f"{plan.name}:{line.output}",
        name=str(line.request.get("name") or line.output),
        part="",
        path=path,
        state="failed" if not sha256 else "stale" if line.sha256 == sha256 else "edited",
        provenance=provenance_of(line, line.request),
        width=width if isinstance(width, int) and width > 0 else 1,
        height=height if isinstance(height, int) and height > 0 else 1,
        sha256=sha256,
        size=state.size if state else 0,
        why=(f"{plan.file} is broken, so what it asks for is not known",),
        earlier=earlier.of(f"{plan.name}:{line.output}", line if sha256 else None),
    )


def _state(found: FileOnDisk, verdict: Verdict, has_failed: bool) -> State:
    if found.sha256 is None:
        return "failed" if has_failed else "missing"
    if verdict.state == "fresh" or verdict.state == "stale":
        return verdict.state
    return "stale" if verdict.line and verdict.line.sha256 == found.sha256 else "edited"


def _part(name: str, slug: str) -> str:
    return slug.removeprefix(make_slug(name)).strip("-") if name != slug else ""


def _why(reasons: Iterable[Reason]) -> Iterator[str]:
    """Return reasons in words, but for what the state says already."""
    return (str(reason) for reason in reasons if reason.kind not in ("missing", "new"))


def _wanted(reasons: Iterable[Reason]) -> Iterator[FieldChange]:
    for reason in reasons:
        if reason.kind in ("changed", "encoding", "model") and reason.field:
            yield FieldChange(reason.field, as_text(reason.old), as_text(reason.new))
