"""What a person decides about an image: accepting the current file, or rerolling the seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from imagegen.backends.text import list_first
from imagegen.errors import ImagegenError, InputError, Problem
from imagegen.execute.build_image import blocked_problem
from imagegen.execute.decisions import (
    check_fingerprint_known,
    choose_seed,
    random_seed,
    record_accepted,
    record_decision,
)
from imagegen.execute.stored_images import store_current_file, store_file
from imagegen.images.formats import BadImage
from imagegen.images.image_file import verify
from imagegen.images.index_check import check_index
from imagegen.plan.freshness import IN_CONFLICT, conflict_hint
from imagegen.plan.output import Output
from imagegen.plan.record import ACCEPT, REROLL, TAKEN_BACK
from imagegen.plan.sheets import INDEX
from imagegen.project import Project

__all__ = ["AcceptResult", "accept", "find_images", "reroll", "take_back_accept"]


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
        raise error.with_problems(*(Problem(one.where, one.what, hint) for one in error.problems)) from None


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
        raise InputError(*dict.fromkeys(problems))
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
