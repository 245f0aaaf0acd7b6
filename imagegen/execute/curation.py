"""What a person decides about an image: accepting the current file, rerolling the seed, restoring a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from imagegen.backends.text import list_first
from imagegen.config.job import Encoding
from imagegen.errors import ImagegenError, Problem
from imagegen.execute.build_image import blocked_problem, convert, encode_output, make_line, replace_output
from imagegen.execute.decisions import (
    check_fingerprint_known,
    choose_seed,
    random_seed,
    record_accepted,
    record_decision,
)
from imagegen.execute.stored_images import ImageCopy, StoredImage, store_current_file, store_file
from imagegen.images.formats import BadImage, format_of
from imagegen.images.image_file import verify
from imagegen.images.index_check import check_index
from imagegen.plan.freshness import IN_CONFLICT, Reason, compare_requests, conflict_hint
from imagegen.plan.origins import PICTURE
from imagegen.plan.output import Output
from imagegen.plan.record import ACCEPT, REROLL, TAKEN_BACK, Decision, recorded_fields
from imagegen.plan.sheets import INDEX
from imagegen.project import Project
from imagegen.state.store import StoreEntry

__all__ = [
    "AcceptResult",
    "ImageVersion",
    "accept",
    "find_images",
    "list_versions",
    "previous_version",
    "reroll",
    "restore",
    "take_back_accept",
]


@dataclass(frozen=True)
class AcceptResult:
    """What became of one output.

    Attributes:
        state: `fresh` if there was nothing to decide, `unaccepted` if a decision was taken back.
        note: what else there is to say.

    """

    output: Output
    state: Literal["accepted", "unaccepted", "fresh", "missing"]
    note: str = ""


def accept(project: Project, output: Output) -> AcceptResult:
    """Keep the output's current file as its image until its request changes. The file goes into the store, unchanged.

    The caller holds the mutex, and has read the lock files since.

    Raises:
        ImagegenError: the file is not a whole image of the output's format, or not a sheet's index; or the request is
            not known yet.
        OSError: a file cannot be read or written.
    """
    output = project.with_origins(output)
    verdict = project.verdict(output)
    state = project.hashes.state(output.path)
    if state is None:
        return AcceptResult(output, "missing")
    if verdict.state == "fresh":
        return AcceptResult(output, "fresh", verdict.note)
    if state.is_pointer:
        raise ImagegenError(Problem(output.task, f"{output.path} is a Git LFS pointer", "git lfs pull, then try again"))
    if state.in_conflict:
        raise ImagegenError(Problem(output.task, f"{output.path}: {IN_CONFLICT}", conflict_hint(output.path)))
    if not state.sha256:
        raise ImagegenError(Problem(output.task, f"{output.path} is a folder", "move it away"))
    if not output.fingerprint and output.has_random_seed:
        output = choose_seed(project, output)
    check_fingerprint_known(output)
    data = (project.root / output.path).read_bytes()
    note = _check_image(output, data)
    line = project.lock(output.job).line_of(output.path, state.sha256)
    sha256 = store_file(project, output, data, line)
    record_accepted(project, output, sha256)
    return AcceptResult(output, "accepted", "; ".join(filter(None, [project.verdict(output).note, note])))


def take_back_accept(project: Project, output: Output) -> AcceptResult:
    """Have the output's file count again as it did before it was accepted. It stays in place, and in the store.

    The caller holds the mutex, and has read the lock files since.

    Raises:
        ImagegenError: the file in place is not the one that was accepted.
        OSError: the file cannot be read, or the decision not recorded.
    """
    output = project.with_origins(output)
    decision = project.lock(output.job).decisions.get((ACCEPT, output.full_slug))
    if decision is None or decision.value in (None, TAKEN_BACK):
        return AcceptResult(output, "fresh", "no file was accepted for it")
    state = project.hashes.state(output.path)
    if state is None or state.sha256 != decision.value["sha256"]:
        what = f"{output.path} is {'missing' if state is None else 'not the file that was accepted'}"
        raise ImagegenError(Problem(output.task, what, f"doit restore {output.task} --list shows the accepted one"))
    store_current_file(project, output)
    record_decision(project, output.job, ACCEPT, output.full_slug, TAKEN_BACK)
    verdict = project.verdict(output)
    stale = f"stale: {', '.join(map(str, verdict.reasons))}; the next doit generates it again"
    return AcceptResult(output, "unaccepted", stale if verdict.state == "stale" else verdict.note)


def _check_image(output: Output, data: bytes) -> str:
    """Return what there is to say about the image. Raises ImagegenError if it is damaged or of another format."""
    if not output.encoding.is_image:
        if output.fields["kind"] == INDEX:  # a converted one is for other programs to read
            _check_index(output, data)
        return ""
    try:
        file = verify(data, may_be_followed=True)
    except BadImage as error:
        hint = f"save it as {output.encoding.format}; or delete it, and doit restores or generates it"
        raise ImagegenError(Problem(output.task, f"{output.path} cannot be used: {error}", hint)) from None
    if file.format != output.encoding.format:
        what = f"{output.path} is a {file.format} file, but its name and the job say {output.encoding.format}"
        raise ImagegenError(Problem(output.task, what, f"save it as {output.encoding.format}"))
    asked = (output.request.width, output.request.height)
    if {"width", "height"} <= output.fields.keys() and (file.width, file.height) != asked:
        return f"it is {file.width}×{file.height}, the job asks for {asked[0]}×{asked[1]}"
    return ""


def _check_index(output: Output, data: bytes) -> None:
    """Raise ImagegenError if nothing could be made from a sheet's JSON index."""
    try:
        fields, pages = output.fields, output.fields.get("pages", 1)
        rules = {"least_pages": pages, "most_pages": pages, "max_size": fields.get("max_size")}
        check_index(output.path, data, fields.get("order"), **rules)
    except ImagegenError as error:
        hint = f"correct it; or delete it, and doit {output.task} restores it or derives it again"
        raise ImagegenError(*(Problem(one.where, one.what, hint) for one in error.problems)) from None


def reroll(project: Project, outputs: Sequence[Output]) -> list[Output]:
    """Choose a new seed for each output, 1 … 2^32−1, and return the outputs to build with them.

    A reroll is stronger than the job's rule for seeds. The caller holds the mutex, and has read the lock files since.

    Raises:
        ImagegenError: some of them cannot be rerolled; then nothing is decided.
        OSError: a decision cannot be recorded.
    """
    rerolled = [output.with_decisions(seed=_other_seed(output)) for output in outputs]
    problems = [problem for output in rerolled if (problem := _find_problem(project, output))]
    if problems:
        raise ImagegenError(*dict.fromkeys(problems))
    for output in rerolled:
        record_decision(project, output.job, REROLL, output.full_slug, output.request.seed)
    return [replace(output, has_random_seed=False) for output in rerolled]


def _other_seed(output: Output) -> int:
    while (seed := random_seed()) == output.request.seed:
        pass
    return seed


def _find_problem(project: Project, output: Output) -> Problem | None:
    if output.has_own_seed:
        hint = "take its 'seed' out of the job file, or write another one there"
        return Problem(output.task, "its item has a seed of its own, which always counts", hint)
    if output.is_derived:
        return _explain_derived(project, output)
    if "seed" not in output.parameters:
        what = f"it has no seed: {output.request.backend} takes none"
        return Problem(output.task, what, f"to generate it again: doit -a {output.task}")
    verdict = project.verdict(output)
    return None if verdict.state == "stale" else blocked_problem(output, verdict)


def _explain_derived(project: Project, output: Output) -> Problem:
    """Return why what is derived cannot be rerolled, and which images can be instead."""
    images, made_from = find_images(project, output)
    what = f"it is derived from {list_first(made_from)}, and has no seed"
    free = [image.task for image in images if "seed" in image.parameters and not image.has_own_seed]
    hint = f"doit reroll {' '.join(free[:_MOST_NAMED])}" if free else ""
    if len(free) > _MOST_NAMED:
        hint = f"reroll those of its images that you don't like: {hint} …"
    elif images and not free and (problem := _find_problem(project, images[0])):
        hint = problem.hint
    return Problem(output.task, what, hint)


def find_images(project: Project, output: Output) -> tuple[list[Output], list[str]]:
    """Return the images that something is derived from in the end; and the names of these and of its files, if any."""
    known = {one.task: one for plan in project.plans() for one in plan.outputs}
    images: list[Output] = []
    names: dict[str, None] = {}
    derived = {output.task: output}
    waiting = [output]
    for one in waiting:
        for origin in one.origins:
            found = known.get(origin.task)
            if found and found.is_derived and origin.task not in derived:
                derived[origin.task] = found
                waiting.append(found)
            elif origin.task not in derived and (name := origin.task or origin.path) not in names:
                names[name] = None
                images += [found] if found else []
    return images, list(names)


_MOST_NAMED = 4
"""Images that a hint names."""


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
    state = project.hashes.state(output.path)
    sha256 = state.sha256 if state else None
    lock = project.lock(output.job)
    line = lock.line_of(output.path, sha256)
    line = line if line and line.sha256 == sha256 else None
    known = {output.fingerprint: output.fields} if output.fingerprint else {}
    known |= {line.fingerprint: line.request for line in lock.lines.get(output.path, ())}
    names = {output.store_name, output.task}
    found: dict[tuple[str, str, str], list[StoreEntry]] = {}
    for entry in project.store.all_entries():
        is_of_output = entry.name in names or (entry.fingerprint in known and not entry.by_hand)
        if is_of_output and project.store.has(entry.sha256):
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
    """Put this version back, until the output's request changes, and return how it stays.

    If only the seed makes the difference, that seed is decided; otherwise the file is accepted. The current file goes
    into the store. The caller holds the mutex, and has read the lock files since.

    Raises:
        ImagegenError: a file that is not ours is in the way, the version cannot be read, or does not fit its sheet.
        OSError: a file cannot be read or written.
    """
    _check_sheet(output, version)
    found = project.found(output)
    if found.sha256 is not None and not found.ours:
        problem = blocked_problem(output, project.verdict(output, forced=True))
        hint = f"to keep it, so that it can be restored later: doit accept {output.task}; or move the file away"
        raise ImagegenError(Problem(problem.where, problem.what, hint))
    data = b"" if version.is_now else _read_file(project, output, version)
    if version.by_hand or (version.fingerprint != output.fingerprint and _seed_of(output, version) is None):
        check_fingerprint_known(output)
    if version.is_now:
        return _decide(project, output, version, found.sha256 or "")
    sha256 = project.store.put(data)
    store_current_file(project, output)
    lock = project.lock(output.job)
    if not version.by_hand:
        line = make_line(output, version.record, data)
        lock.append(replace(line, fingerprint=version.fingerprint, request=recorded_fields(version.request)))
    stays = _decide(project, output, version, sha256)
    if found.sha256 != sha256:
        line_of_file = None if version.by_hand else lock.line_of(output.path, sha256)
        replace_output(project, output.path, data, sha256, line_of_file)
    lock.compact(project.hashes.sha256, project.temporary)
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
        raise ImagegenError(Problem(output.task, what, hint))


def _decide(project: Project, output: Output, version: ImageVersion, sha256: str) -> str:
    """Record what makes the version, with a file of this sha256, the output's image, and return how it stays."""
    if not version.by_hand and version.fingerprint == output.fingerprint:
        if project.accepted(output) is not None:
            record_decision(project, output.job, ACCEPT, output.full_slug, None)
        return ""
    seed = _seed_of(output, version)
    if seed is not None:
        plans = project.plans({output.job: [Decision(REROLL, output.full_slug, None, "")]})
        planned = (one for plan in plans for one in plan.outputs if one.task == output.task)
        by_rule = next((one.request.seed for one in planned), None)
        record_decision(project, output.job, REROLL, output.full_slug, None if by_rule == seed else seed)
        return f"with its seed {seed}"
    if version.is_now:
        store_current_file(project, output)
    record_accepted(project, output, sha256)
    return "accepted until its request changes"


def _seed_of(output: Output, version: ImageVersion) -> int | None:
    """Return the seed that gives the output that version's request; None if a seed alone does not."""
    seed = version.request.get("seed")
    if version.by_hand or output.has_own_seed or not isinstance(seed, int):
        return None
    return seed if output.with_decisions(seed=seed).fingerprint == version.fingerprint else None


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
