"""Accepting the file that is there as an output's image, until its request changes."""

from __future__ import annotations

from dataclasses import dataclass

from imagegen.errors import ImagegenError, Problem
from imagegen.execute.deciding import accept_file, check_holdable, draw_seed
from imagegen.execute.keeping import put_in_store
from imagegen.images.image_file import BadImage, verify
from imagegen.plan.freshness import IN_CONFLICT, choose_side
from imagegen.plan.output import Output
from imagegen.project import Project

__all__ = ["Accepted", "accept"]


@dataclass(frozen=True)
class Accepted:
    """What became of one output. state: accepted, fresh (nothing to decide) or missing. note: what there is to say."""

    output: Output
    state: str
    note: str = ""


def accept(project: Project, output: Output) -> Accepted:
    """Decide that the output's file is its image; it goes into the store, and is not changed.

    The caller holds the mutex, and has read the lock files since.
    Raises ImagegenError where the file is no whole image of the output's format; OSError.
    """
    output = project.with_origins(output)
    verdict = project.verdict(output)
    state = project.hashes.state(output.path)
    if state is None:
        return Accepted(output, "missing")
    if verdict.state == "fresh":
        return Accepted(output, "fresh", verdict.note)
    if state.is_pointer:
        raise ImagegenError(Problem(output.task, f"{output.path} is a Git LFS pointer", "git lfs pull, then again"))
    if state.in_conflict:
        raise ImagegenError(Problem(output.task, f"{output.path}: {IN_CONFLICT}", choose_side(output.path)))
    if not state.sha256:
        raise ImagegenError(Problem(output.task, f"{output.path} is a folder", "move it away"))
    if not output.fingerprint and output.draws_seed:
        output = draw_seed(project, output)
    check_holdable(output)
    data = (project.root / output.path).read_bytes()
    note = _judged(output, data)
    line = project.lock(output.job).line_of(output.path, state.sha256)
    sha256 = put_in_store(project, output, data, line)
    accept_file(project, output, sha256)
    return Accepted(output, "accepted", "; ".join(filter(None, [project.verdict(output).note, note])))


def _judged(output: Output, data: bytes) -> str:
    """What is to be said of the image; ImagegenError where it is none."""
    if output.encoding.format == "json":
        return ""  # a sheet's index is for other programs to read
    try:
        info = verify(data, may_be_followed=True)
    except BadImage as error:
        hint = f"save it as a {output.encoding.format} file, or delete it to have it generated again"
        raise ImagegenError(Problem(output.task, f"{output.path} cannot be used: {error}", hint)) from None
    if info.format != output.encoding.format:
        what = f"{output.path} is a file in {info.format}, by its name and the job it is {output.encoding.format}"
        raise ImagegenError(Problem(output.task, what, f"save it as {output.encoding.format}"))
    asked = (output.request.width, output.request.height)
    if {"width", "height"} <= output.fields.keys() and (info.width, info.height) != asked:
        return f"it is {info.width}×{info.height}, the job asks for {asked[0]}×{asked[1]}"
    return ""
