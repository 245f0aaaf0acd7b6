"""The versions of an image that the store has, and going back to one of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from imagegen.config.job import Encoding
from imagegen.errors import ImagegenError, InputError, Problem
from imagegen.execute.build_image import blocked_problem, convert, encode_output, make_line, replace_output
from imagegen.execute.decisions import check_fingerprint_known, record_accepted, record_decision
from imagegen.execute.stored_images import ImageCopy, StoredImage, store_current_file
from imagegen.images.formats import format_of
from imagegen.plan.freshness import Reason, compare_requests
from imagegen.plan.origins import PICTURE, sort_by_origin
from imagegen.plan.output import Output
from imagegen.plan.record import ACCEPT, REROLL, Decision, OutputLine, recorded_fields
from imagegen.project import Project
from imagegen.state.store import StoreEntry

__all__ = [
    "ImageVersion",
    "list_versions",
    "list_versions_of_each",
    "previous_version",
    "restore",
    "restore_each",
    "seed_that_differs",
]


@dataclass(frozen=True)
class ImageVersion:
    """One image that an output had, or has."""

    record: ImageCopy
    """What says how it was made."""
    request: Mapping[str, Any]
    """The fields that it was made for."""
    by_hand: bool = False
    """Whether somebody made or changed it."""
    files: Mapping[str, Encoding | None] = field(default_factory=dict)
    """Its files in the store: sha256 → encoding; None for what a backend returned."""
    is_now: bool = False
    """Whether it is the output's image now."""
    reasons: tuple[Reason, ...] = ()
    """How its request differs from the present one."""

    @property
    def fingerprint(self) -> str:
        """The fingerprint that it was made for."""
        return self.record.fingerprint

    @property
    def time(self) -> str:
        """When it was made, as the lock file has it."""
        return self.record.time


def list_versions(project: Project, output: Output) -> list[ImageVersion]:
    """List the images that can be restored, the newest first, the present one among them. Raises OSError."""
    return next(list_versions_of_each(project, [output]))


def list_versions_of_each(project: Project, outputs: Iterable[Output]) -> Iterator[list[ImageVersion]]:
    """Yield what `list_versions` returns for each of these; the store's index is read once. Raises OSError."""
    index: dict[str, list[StoreEntry]] = {}
    for entry in project.store.all_entries():
        for key in (entry.name, entry.fingerprint):
            index.setdefault(key, []).append(entry)
    for output in outputs:
        yield _list_versions(project, output, index)


def _list_versions(project: Project, output: Output, index: Mapping[str, Sequence[StoreEntry]]) -> list[ImageVersion]:
    """List the versions of one image. index: the store's entries by name and by fingerprint."""
    state = project.hashes.state(output.path)
    sha256 = state.sha256 if state else None
    lock = project.lock(output.job)
    line = lock.line_of(output.path, sha256)
    line = line if line and line.sha256 == sha256 else None
    known = {output.fingerprint: output.fields} if output.fingerprint else {}
    known |= {line.fingerprint: line.request for line in lock.lines.get(output.path, ())}
    named = [entry for name in (output.store_name, output.task) for entry in index.get(name, ())]
    made = [entry for fingerprint in known for entry in index.get(fingerprint, ()) if not entry.by_hand]
    found: dict[tuple[str, str, str], list[StoreEntry]] = {}
    for entry in {id(entry): entry for entry in (*named, *made)}.values():
        if project.store.has(entry.sha256):
            found.setdefault((entry.fingerprint, entry.time, entry.sha256 if entry.by_hand else ""), []).append(entry)
    versions = []
    for (fingerprint, time, by_hand), entries in found.items():
        request = next((entry.request for entry in entries if entry.request), known.get(fingerprint, {}))
        if by_hand:
            is_now = by_hand == sha256
        else:
            is_now = line is not None and (line.fingerprint, line.time) == (fingerprint, time)
        files = {entry.sha256: entry.encoding for entry in entries}
        reasons = tuple(compare_requests(request, output.fields))
        versions.append(ImageVersion(entries[0], request, bool(by_hand), files, is_now, reasons))
    if line and not any(version.is_now for version in versions):
        reasons = tuple(compare_requests(line.request, output.fields))
        versions.append(ImageVersion(line, line.request, is_now=True, reasons=reasons))
    return sorted(versions, key=lambda version: version.time, reverse=True)


def previous_version(versions: Sequence[ImageVersion], *, is_fresh: bool) -> int | None:
    """Return the index of the version before what the request asks for; None if there is none.

    is_fresh: the present image is what it asks for; if not (a reroll failed), the present image is the one before.
    """
    now = next((at for at, version in enumerate(versions) if version.is_now), -1)
    before = now if now >= 0 and not is_fresh else now + 1
    return before if before < len(versions) else None


def restore(project: Project, output: Output, version: ImageVersion) -> str:
    """Put this version back, until the output's request changes, and return how it stays: see `restore_each`."""
    ((_, stays),) = restore_each(project, [(output, version)])
    return stays


def restore_each(
    project: Project, wanted: Iterable[tuple[Output, ImageVersion]]
) -> Iterator[tuple[tuple[Output, ImageVersion], str]]:
    """Put versions back, each until its output's request changes, and yield how each stays, after its origins.

    If only the seed makes the difference, that seed is decided; otherwise the file is accepted. The current file goes
    into the store. The caller holds the mutex, and has read the lock files since.

    Raises:
        ImagegenError: a file that is not ours is in the way, a version cannot be read, or does not fit its sheet; then
            nothing is changed.
        OSError: a file cannot be read or written.
    """
    versions = {output.task: (output, version) for output, version in wanted}
    problems = [problem for one in versions.values() for problem in _find_problems(project, *one)]
    if problems:
        raise ImagegenError(*dict.fromkeys(problems))
    rules = _seeds_by_rule(project, versions.values())
    for output in sort_by_origin([output for output, _ in versions.values()]):
        _, version = versions[output.task]
        # what it is made from may just have been put back
        yield versions[output.task], _put_back(project, project.with_origins(output), version, rules)
    for job in dict.fromkeys(output.job for output, _ in versions.values()):
        project.lock(job).compact(project.hashes.sha256, project.temporary)


def _find_problems(project: Project, output: Output, version: ImageVersion) -> Sequence[Problem]:
    """Return why this version cannot be put back. Raises OSError."""
    try:
        _check_sheet(output, version)
        found = project.found(output)
        if found.sha256 is not None and not found.ours:
            problem = blocked_problem(output, project.verdict(output, forced=True))
            hint = f"doit accept {output.task} keeps it as a version; then doit restore {output.task}"
            return [Problem(problem.where, problem.what, hint)]
        if version.by_hand or (version.fingerprint != output.fingerprint and _seed_of(output, version) is None):
            check_fingerprint_known(output)
        if not version.is_now:
            _read_file(project, output, version)
    except ImagegenError as error:
        return error.problems
    return ()


def _put_back(project: Project, output: Output, version: ImageVersion, rules: Mapping[str, int | None]) -> str:
    """Put a version back that nothing is in the way of, and return how it stays. rules: see `_decide`."""
    present = project.found(output).sha256
    if version.is_now:
        return _decide(project, output, version, present or "", rules)
    data = _read_file(project, output, version)
    sha256 = project.store.put(data)
    store_current_file(project, output)
    lock = project.lock(output.job)
    if not version.by_hand:
        line = make_line(output, version.record, data)
        lock.append(replace(line, fingerprint=version.fingerprint, request=recorded_fields(version.request)))
    stays = _decide(project, output, version, sha256, rules)
    if present != sha256:
        line_of_file = None if version.by_hand else lock.line_of(output.path, sha256)
        replace_output(project, output.path, data, sha256, line_of_file)
    return stays


def _check_sheet(output: Output, version: ImageVersion) -> None:
    """Refuse a page or an index of a sheet as it was before: those that are there now would not fit it.

    Raises ImagegenError.
    """
    if not output.is_derived or output.fields["kind"] == PICTURE:
        return
    check_fingerprint_known(output)
    if version.fingerprint != output.fingerprint:
        what = "this version is from an earlier sheet, and would not fit the other files of the one that is there now"
        hint = "restore its images, or change the job back, and run doit: the sheet and its indexes follow"
        raise InputError(Problem(output.task, what, hint))


def _seeds_by_rule(project: Project, wanted: Iterable[tuple[Output, ImageVersion]]) -> dict[str, int | None]:
    """Return the seeds that images have by their job's rule, by task: of those that will have a seed decided."""
    instead: dict[str, list[Decision]] = {}
    for output, version in wanted:
        if version.fingerprint != output.fingerprint and _seed_of(output, version) is not None:
            instead.setdefault(output.job, []).append(Decision(REROLL, output.full_slug, None, ""))
    if not instead:
        return {}
    return {output.task: output.request.seed for plan in project.plans(instead) for output in plan.outputs}


def _decide(
    project: Project, output: Output, version: ImageVersion, sha256: str, rules: Mapping[str, int | None]
) -> str:
    """Record what makes the version, with a file of this sha256, the output's image, and return how it stays.

    rules: of `_seeds_by_rule`.
    """
    if not version.by_hand and version.fingerprint == output.fingerprint:
        if project.accepted(output) is not None:
            record_decision(project, output.job, ACCEPT, output.full_slug, None)
        return ""
    seed = _seed_of(output, version)
    if seed is not None:
        is_by_rule = rules.get(output.task) == seed
        record_decision(project, output.job, REROLL, output.full_slug, None if is_by_rule else seed)
        return f"with its seed {seed}"
    if version.is_now:
        store_current_file(project, output)
    record_accepted(project, output, sha256)
    return "accepted until its request changes"


def _seed_of(output: Output, version: ImageVersion) -> int | None:
    """Return the seed that gives the output that version's request; None if a seed alone does not."""
    return None if version.by_hand else _find_seed(output, version.fingerprint, version.request)


def seed_that_differs(output: Output, line: OutputLine) -> int | None:
    """Return the seed of an output's line, if it alone makes its request another than the output's; else None."""
    return None if line.fingerprint == output.fingerprint else _find_seed(output, line.fingerprint, line.request)


def _find_seed(output: Output, fingerprint: str, request: Mapping[str, Any]) -> int | None:
    seed = request.get("seed")
    if output.has_own_seed or not isinstance(seed, int):
        return None
    return seed if output.with_decisions(seed=seed).fingerprint == fingerprint else None


def _read_file(project: Project, output: Output, version: ImageVersion) -> bytes:
    """Return the output file that shows this version: one that was there, or encoded again."""
    best_first = sorted(version.files.items(), key=lambda one: (one[1] != output.encoding, one[1] is not None))
    for sha256, encoding in best_first:
        data = project.store.get(sha256)
        if data is None:
            continue
        if version.by_hand:
            is_same = not output.encoding.is_image or format_of(data) == output.encoding.format
            return data if is_same else convert(data, output.encoding)
        return encode_output(project, output, StoredImage(data, version.record, encoding), version.request)
    what = "the store no longer has this version, or its file is damaged"
    raise ImagegenError(Problem(output.task, what, "doit verify"))
