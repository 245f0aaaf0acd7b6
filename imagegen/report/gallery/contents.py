"""Collects what the gallery shows: each job's pictures, how they stand, and their earlier versions. Reads only."""

from __future__ import annotations

import functools
import json
import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

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
from imagegen.report.gallery.earlier import EarlierVersions
from imagegen.report.gallery.picture import (
    DerivedFile,
    FieldChange,
    Frame,
    Group,
    Picture,
    Provenance,
    State,
)
from imagegen.report.gallery.provenance import as_text, provenance_of, to_provenance
from imagegen.report.gallery.remarks import add_remarks
from imagegen.state.attempts import Failure, read_failures

__all__ = ["PlannedPicture", "collect_groups", "list_pictures"]


_OF_SHEET = frozenset({"layout", "columns", "cell", "padding", "extrude", "trim", "max_size", "power_of_two"})
"""Fields of a sheet's request that are shown: the others say which images are on it."""
_POINTER = "only its Git LFS pointer is here: git lfs pull"


def collect_groups(
    project: Project,
    plans: Sequence[JobPlan],
    earlier: EarlierVersions | None = None,
    known: dict[str, Picture] | None = None,
) -> tuple[Group, ...]:
    """Return each job's pictures, in its own order.

    Args:
        project: whose pictures they are.
        plans: of its jobs.
        earlier: the earlier versions, if they are known already.
        known: pictures that are still the same, by task; those that are collected are added.

    Raises:
        OSError: something cannot be read.
        ImagegenError: likewise.

    """
    failures = read_failures(project.failures)
    if earlier is None:
        earlier = EarlierVersions(project.store)
        earlier.update()
    known = {} if known is None else known
    return tuple(add_remarks(project, _group(project, plan, failures, earlier, known)) for plan in plans)


@dataclass(frozen=True)
class PlannedPicture:
    """What a picture is collected from.

    Attributes:
        task: its name.
        path: of its file.
        outputs: itself, if it is one; then what is derived from it alone, or a sheet's indexes.

    """

    task: str
    kind: Literal["image", "file", "sheet"]
    path: str
    outputs: tuple[Output, ...]

    @property
    def paths(self) -> set[str]:
        """The files that it follows from."""
        origins = (origin.path for output in self.outputs for origin in output.origins)
        return {self.path, *(output.path for output in self.outputs), *origins}


def list_pictures(plan: JobPlan) -> Iterator[PlannedPicture]:
    """Yield the pictures of a job without problems: its images, then files that it derives others from, then sheets."""
    of_kind: dict[str, list[Output]] = defaultdict(list)
    derived: dict[str, list[Output]] = defaultdict(list)
    """What is derived from one image alone, by the name of that image: its task, or its path."""
    files: dict[str, str] = {}
    """Files that are not outputs, with the names of their pictures."""
    for output in plan.outputs:
        kind = output.request.extra["kind"] if output.is_derived else ""
        of_kind[kind].append(output)
        if kind == PICTURE:
            derived[output.origins[0].name].append(output)
        for origin in output.origins if output.is_derived else ():
            if not origin.task:
                files[origin.path] = output.slug.partition(":")[0] if kind == PICTURE else origin.key
    for output in of_kind[""]:
        yield PlannedPicture(output.task, "image", output.path, (output, *derived[output.task]))
    for path, name in files.items():
        yield PlannedPicture(f"{plan.name}:{name}", "file", path, tuple(derived[path]))
    for output in of_kind[SHEET]:
        yield PlannedPicture(output.task, "sheet", output.path, (output, *of_kind[INDEX]))


def _group(
    project: Project,
    plan: JobPlan,
    failures: Mapping[str, Failure],
    earlier: EarlierVersions,
    known: dict[str, Picture],
) -> Group:
    if not plan.problems:
        candidates = Candidates(project, plan)
        frames = functools.cache(functools.partial(_frames, project, plan.name))  # an index is read once for all pages

        def collect(planned: PlannedPicture) -> Picture:
            if planned.kind == "file":
                return _file(project, planned, failures)
            if planned.kind == "sheet":
                return _sheet(project, planned, failures, earlier, frames)
            output, *others = planned.outputs
            derived = [_derived_file(project, other, failures) for other in others]
            picture = _planned_picture(project, output, failures, earlier, derived)
            found = candidates.of(output)
            return replace(picture, candidates=found) if found else picture

        found = [known.get(planned.task) or collect(planned) for planned in list_pictures(plan)]
        known.update((picture.task, picture) for picture in found)
        return Group(plan.name, plan.doc, plan.file, tuple(found))
    try:
        lines = project.lock(plan.name).lines
    except ImagegenError:
        lines = {}  # it is among the problems
    paths = [path for path, (*_, line) in lines.items() if line.request.get("backend") != DERIVE]
    recorded = tuple(_recorded_picture(project, plan, path, earlier) for path in paths)
    return Group(plan.name, plan.doc, plan.file, recorded, tuple(map(str, plan.problems)))


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


def _file(project: Project, planned: PlannedPicture, failures: Mapping[str, Failure]) -> Picture:
    """Return a file that the job derives others from, and that is no output."""
    file = project.hashes.state(planned.path)
    is_pointer = file is not None and file.is_pointer
    return Picture(
        task=planned.task,
        name=planned.task.partition(":")[2],
        part="",
        path=planned.path,
        state="fresh" if file else "missing",
        provenance=Provenance("", "", "", "", "", ()),
        width=1,
        height=1,
        sha256=file.sha256 if file and not is_pointer else "",
        size=file.size if file else 0,
        why=(_POINTER,) if is_pointer else (),
        derived=tuple(_derived_file(project, output, failures) for output in planned.outputs),
        is_given=True,
    )


def _sheet(
    project: Project,
    planned: PlannedPicture,
    failures: Mapping[str, Failure],
    earlier: EarlierVersions,
    frames: Callable[[str], Mapping[str, tuple[Frame, ...]]],
) -> Picture:
    """Return a sheet, with the frames that its index has."""
    output, *indexes = planned.outputs
    picture = _planned_picture(project, output, failures, earlier, ())
    name = posixpath.basename(output.path)
    found = next((of_sheet[name] for of_sheet in (frames(index.path) for index in indexes) if name in of_sheet), ())
    made = picture.provenance
    settings = [(key, as_text(value)) for key, value in sorted(output.request.extra.items()) if key in _OF_SHEET]
    provenance = Provenance("", "", "", "", "", tuple(settings), seconds=made.seconds, time=made.time)
    name, _, page = output.slug.partition(":")
    part = f"page {page}" if page else ""
    # nobody goes back to an earlier version of a sheet: it follows its images
    return replace(picture, name=name, part=part, provenance=provenance, frames=found, earlier=())


def _frames(project: Project, job: str, index: str) -> Mapping[str, tuple[Frame, ...]]:
    """Return the name of the sheet's file and its frames, as its index has them; nothing if that cannot be read."""
    try:
        data = (project.root / index).read_bytes()
        check_index(index, data)
    except (OSError, ImagegenError):  # it is not there, or not ours any more
        return {}
    said = json.loads(data)
    size = said["meta"]["size"]
    width, height = size["w"], size["h"]
    places = ((name, frame["frame"]) for name, frame in said["frames"].items())
    frames = (
        Frame(name, f"{job}:{name}", (at["x"] / width, at["y"] / height, at["w"] / width, at["h"] / height))
        for name, at in places
    )
    return {said["meta"]["image"]: tuple(frames)}


def _planned_picture(
    project: Project,
    output: Output,
    failures: Mapping[str, Failure],
    earlier: EarlierVersions,
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


def _recorded_picture(project: Project, plan: JobPlan, path: str, earlier: EarlierVersions) -> Picture:
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
