"""Accepting the file that is there as an output's image, until its request changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

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
from imagegen.execute.stored_images import StoredImage, store_current_file, store_file
from imagegen.images.formats import BadImage, format_of
from imagegen.images.image_file import verify
from imagegen.plan.freshness import IN_CONFLICT, Reason, conflict_hint, find_differences
from imagegen.plan.output import Output
from imagegen.plan.record import ACCEPT, REROLL, Decision, OutputLine
from imagegen.project import Project
from imagegen.state.store import StoreEntry

__all__ = [
    "AcceptResult",
    "ImageVersion",
    "accept",
    "list_versions",
    "previous_version",
    "reroll",
    "restore",
]


@dataclass(frozen=True)
class AcceptResult:
    """What became of one output. state: accepted, fresh (nothing to decide) or missing. note: what there is to say."""

    output: Output
    state: str
    note: str = ""


def accept(project: Project, output: Output) -> AcceptResult:
    """Decide that the output's file is its image; it goes into the store, and is not changed.

    The caller holds the mutex, and has read the lock files since.
    Raises ImagegenError where the file is no whole image of the output's format; OSError.
    """
    output = project.with_origins(output)
    verdict = project.verdict(output)
    state = project.hashes.state(output.path)
    if state is None:
        return AcceptResult(output, "missing")
    if verdict.state == "fresh":
        return AcceptResult(output, "fresh", verdict.note)
    if state.is_pointer:
        raise ImagegenError(Problem(output.task, f"{output.path} is a Git LFS pointer", "git lfs pull, then again"))
    if state.in_conflict:
        raise ImagegenError(Problem(output.task, f"{output.path}: {IN_CONFLICT}", conflict_hint(output.path)))
    if not state.sha256:
        raise ImagegenError(Problem(output.task, f"{output.path} is a folder", "move it away"))
    if not output.fingerprint and output.has_random_seed:
        output = choose_seed(project, output)
    check_fingerprint_known(output)
    data = (project.root / output.path).read_bytes()
    note = _judged(output, data)
    line = project.lock(output.job).line_of(output.path, state.sha256)
    sha256 = store_file(project, output, data, line)
    record_accepted(project, output, sha256)
    return AcceptResult(output, "accepted", "; ".join(filter(None, [project.verdict(output).note, note])))


def _judged(output: Output, data: bytes) -> str:
    """What is to be said of the image; ImagegenError where it is none."""
    if output.encoding.format == "json":
        return ""  # a sheet's index is for other programs to read
    try:
        file = verify(data, may_be_followed=True)
    except BadImage as error:
        hint = f"save it as a {output.encoding.format} file, or delete it to have it generated again"
        raise ImagegenError(Problem(output.task, f"{output.path} cannot be used: {error}", hint)) from None
    if file.format != output.encoding.format:
        what = f"{output.path} is a file in {file.format}, by its name and the job it is {output.encoding.format}"
        raise ImagegenError(Problem(output.task, what, f"save it as {output.encoding.format}"))
    asked = (output.request.width, output.request.height)
    if {"width", "height"} <= output.fields.keys() and (file.width, file.height) != asked:
        return f"it is {file.width}×{file.height}, the job asks for {asked[0]}×{asked[1]}"
    return ""


def reroll(project: Project, outputs: Sequence[Output]) -> list[Output]:
    """The outputs with new seeds, 1 … 2^32−1; they are to be made after that.

    The caller holds the mutex, and has read the lock files since. Where anything is wrong with any of them, nothing is
    decided: raises ImagegenError with all of it; OSError.
    """
    drawn = [output.with_decisions(seed=_other_seed(output)) for output in outputs]
    problems = [problem for output in drawn if (problem := _problem(project, output))]
    if problems:
        raise ImagegenError(*problems)
    for output in drawn:
        record_decision(project, output.job, REROLL, output.full_slug, output.request.seed)
    return [replace(output, has_random_seed=False) for output in drawn]


def _other_seed(output: Output) -> int:
    while (seed := random_seed()) == output.request.seed:
        pass
    return seed


def _problem(project: Project, output: Output) -> Problem | None:
    if output.has_own_seed:
        hint = "take its 'seed' out of the job file, or write another one there"
        return Problem(output.task, "its item has a seed of its own, which goes before any other", hint)
    if output.is_derived:
        what = f"it is derived from {', '.join(origin.task for origin in output.origins[:3])}, and has no seed"
        return Problem(output.task, what, f"doit reroll {output.origins[0].task}")
    if "seed" not in output.parameters:
        what = f"{output.request.backend} makes the same image whatever the seed"
        return Problem(output.task, what, f"to have it generated again: doit -a {output.task}")
    verdict = project.verdict(output)
    return None if verdict.state == "stale" else blocked_problem(output, verdict)


@dataclass(frozen=True)
class ImageVersion:
    """One image that an output had, or has.

    fingerprint, request: of what it was made for. time: of its making, as the lock file has it.
    files: sha256 → encoding, None for what a backend returned; of those that the store has. by_hand: somebody made or
    changed it. is_now: it is the output's image. reasons: how its request differs from the one of now.
    """

    fingerprint: str
    request: Mapping[str, Any]
    time: str
    model_digest: str | None
    backend_version: str
    seconds: float
    by_hand: bool = False
    files: Mapping[str, Encoding | None] = field(default_factory=dict)
    is_now: bool = False
    reasons: tuple[Reason, ...] = ()


def list_versions(project: Project, output: Output) -> list[ImageVersion]:
    """What there is to go back to, the newest first, the present image among it. Raises OSError."""
    state = project.hashes.state(output.path)
    sha256 = state.sha256 if state else None
    lock = project.lock(output.job)
    line = lock.line_of(output.path, sha256)
    line = line if line and line.sha256 == sha256 else None
    known = {output.fingerprint: output.fields} if output.fingerprint else {}
    known |= {line.fingerprint: line.request for line in lock.lines.get(output.path, ())}
    found: dict[tuple[str, str, str], list[StoreEntry]] = {}
    for entry in _entries(project, output, known):
        if project.store.has(entry.sha256):
            found.setdefault((entry.fingerprint, entry.time, entry.sha256 if entry.by_hand else ""), []).append(entry)
    pasts = []
    for (fingerprint, time, by_hand), entries in found.items():
        first = entries[0]
        request = next((entry.request for entry in entries if entry.request), known.get(fingerprint, {}))
        pasts.append(
            ImageVersion(
                fingerprint,
                request,
                time,
                first.model_digest,
                first.backend_version,
                first.seconds,
                bool(by_hand),
                {entry.sha256: entry.encoding for entry in entries},
                by_hand == sha256
                if by_hand
                else line is not None and (line.fingerprint, line.time) == (fingerprint, time),
                tuple(find_differences(request, output.fields)),
            )
        )
    if line and not any(past.is_now for past in pasts):
        pasts.append(_of_line(line, output))
    return sorted(pasts, key=lambda past: past.time, reverse=True)


def previous_version(pasts: list[ImageVersion], *, is_fresh: bool) -> int | None:
    """The place in the list of the one before what the request asks for; None where there is none.

    is_fresh: whether the present image is what it asks for; where not (a reroll failed), that is the one before.
    """
    at = next((at for at, past in enumerate(pasts) if past.is_now), -1)
    before = at if at >= 0 and not is_fresh else at + 1
    return before if before < len(pasts) else None


def _entries(project: Project, output: Output, known: Mapping[str, Any]) -> Iterator[StoreEntry]:
    """The store's entries that are of this output."""
    names = {output.store_name, output.task}
    for entry in project.store.all_entries():
        if entry.name in names or (entry.fingerprint in known and not entry.by_hand):
            yield entry


def _of_line(line: OutputLine, output: Output) -> ImageVersion:
    return ImageVersion(
        line.fingerprint,
        line.request,
        line.time,
        line.model_digest,
        line.backend_version,
        line.seconds,
        is_now=True,
        reasons=tuple(find_differences(line.request, output.fields)),
    )


def restore(project: Project, output: Output, past: ImageVersion) -> str:
    """Put this image back; how it stays. It does so until the output's request changes.

    The caller holds the mutex, and has read the lock files since. Where the seed alone tells the two apart, that seed
    is decided; else the file is accepted. What is there now goes into the store.
    Raises ImagegenError where a file is in the way that is not ours; OSError.
    """
    found = project.found(output)
    if found.sha256 is not None and not found.ours:
        verdict = project.verdict(output, forced=True)
        problem = blocked_problem(output, verdict)
        hint = f"to keep it, so that it can be gone back to: doit accept {output.task}; or move the file away"
        raise ImagegenError(Problem(problem.where, problem.what, hint))
    if past.is_now:
        _check_holdable(output, past)
        return _decide(project, output, past, found.sha256 or "")
    data = _file(project, output, past)
    _check_holdable(output, past)
    sha256 = project.store.put(data)
    store_current_file(project, output)
    lock = project.lock(output.job)
    if not past.by_hand:
        line = make_line(output, _source(past, data, output.encoding), data)
        lock.append(replace(line, fingerprint=past.fingerprint, request=past.request))
    stays = _decide(project, output, past, sha256)
    if found.sha256 != sha256:
        replace_output(project, output.path, data, sha256, None if past.by_hand else lock.line_of(output.path, sha256))
    on_disk = {path: state.sha256 for path in lock.lines if (state := project.hashes.state(path))}
    lock.compact(on_disk, project.temporary)
    return stays


def _decide(project: Project, output: Output, past: ImageVersion, sha256: str) -> str:
    seed = _seed_of(output, past)
    if not past.by_hand and past.fingerprint == output.fingerprint:
        if project.accepted(output) is not None:
            record_decision(project, output.job, ACCEPT, output.full_slug, None)
        return ""
    if seed is not None:
        record_decision(
            project, output.job, REROLL, output.full_slug, None if _rules_seed(project, output) == seed else seed
        )
        return f"with its seed {seed}"
    if past.is_now:
        store_current_file(project, output)
    record_accepted(project, output, sha256)
    return "accepted until its request changes"


def _check_holdable(output: Output, past: ImageVersion) -> None:
    """That it can be decided to be the output's image. Raises ImagegenError."""
    if past.by_hand or (past.fingerprint != output.fingerprint and _seed_of(output, past) is None):
        check_fingerprint_known(output)


def _seed_of(output: Output, past: ImageVersion) -> int | None:
    """The seed that makes the output's request the one of that image; None where that takes more."""
    seed = past.request.get("seed")
    if past.by_hand or output.has_own_seed or not isinstance(seed, int):
        return None
    return seed if output.with_decisions(seed=seed).fingerprint == past.fingerprint else None


def _rules_seed(project: Project, output: Output) -> int | None:
    """The seed that the output has without a reroll."""
    plans = project.plans({output.job: [Decision(REROLL, output.full_slug, None, "")]})
    found = (one for plan in plans for one in plan.outputs if one.task == output.task)
    return next((one.request.seed for one in found), None)


def _file(project: Project, output: Output, past: ImageVersion) -> bytes:
    """The output file that shows this image: one that was there, or encoded again."""
    by_fitness = sorted(past.files.items(), key=lambda one: (one[1] != output.encoding, one[1] is not None))
    for sha256, encoding in by_fitness:
        data = project.store.get(sha256)
        if data is None:
            continue
        if past.by_hand:
            return data if format_of(data) == output.encoding.format else convert(data, output.encoding)
        if encoding == output.encoding:
            return data
        return encode_output(project, output, _source(past, data, encoding), past.request)
    raise ImagegenError(
        Problem(output.task, "the store has this image no more, or its file has gone bad", "doit verify")
    )


def _source(past: ImageVersion, data: bytes, encoding: Encoding | None) -> StoredImage:
    return StoredImage(data, encoding, past.model_digest, past.backend_version, past.seconds, past.time)
