"""`doit accept`: keep the current file as an output's image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from imagegen.commands.build import Build, select_images
from imagegen.commands.command import Answer, answer_even_if_it_fails, command, option
from imagegen.errors import DONE, FAILED, ImagegenError, InputError, Problem, printable

if TYPE_CHECKING:
    from imagegen.execute.curation import AcceptResult
    from imagegen.report.results.curation import AcceptedFiles

__all__ = ["accept", "upload_pending"]


@command(
    "accept",
    "Keep the current file (a hand-edited one, say) as the image until its prompt or settings change.",
    {
        "doit accept portraits:mallsing": "this file",
        "doit accept portraits": "all files of a job",
        "doit accept portraits:mallsing --undo": "it counts again as it did before",
    },
    [option("undo", bool, False, "take it back: an edited file counts as edited again, and a stale one as stale")],
    words="IMAGE|JOB...",
    result="imagegen.report.results.curation:AcceptedFiles",
)
def accept(build: Build, words: list[str], *, undo: bool) -> Answer:
    """Accept each file that is not as it was generated, or take that back."""
    from imagegen.execute.curation import accept, take_back_accept

    if not words:
        raise InputError(Problem("", "name what to accept, an image or a whole job", "doit accept JOB:IMAGE"))
    select_images(build, words)  # a mistake is reported before anybody is waited for
    problems: list[Problem] = []
    found: list[AcceptResult] = []
    with answer_even_if_it_fails(lambda: _summarise(found) if found else None), build.lock():
        planned = select_images(build, words)
        for one in planned:
            try:
                output = build.project.with_decisions(one.output)
                found.append((take_back_accept if undo else accept)(build.project, output))
            except ImagegenError as error:
                problems += error.problems
    if len(planned) == 1 and found and found[0].state == "missing":
        output = found[0].output
        hint = f"doit {output.task} generates it"
        problems.append(Problem(output.task, f"there is no file {output.path} to accept", hint))
        lines: Sequence[str] = ()
    else:
        lines = [*(_undone_lines(found) if undo else _accepted_lines(found))] if found else ()
    code = FAILED if problems else DONE
    with answer_even_if_it_fails(lambda: _summarise(found)):
        problems += upload_pending(build)
    return Answer(_summarise(found), lines, code, problems)


def _summarise(found: Sequence[AcceptResult]) -> AcceptedFiles:
    from imagegen.report.results.curation import AcceptedFile, AcceptedFiles

    return AcceptedFiles(tuple(AcceptedFile(one.output.task, one.output.path, one.state, one.note) for one in found))


def upload_pending(build: Build) -> Sequence[Problem]:
    """Upload to the shared store, if there is one, what was accepted: others may need it before the next build.

    Returns what kept it from that, which the next build tries again.
    """
    if not build.project.has_uploads_due:
        return ()
    from imagegen.execute.run import run
    from imagegen.report.console import print_note

    return run(build.project, [], print_note).problems


def _undone_lines(found: Sequence[AcceptResult]) -> Iterator[str]:
    undone = [one for one in found if one.state == "unaccepted"]
    for one in undone:
        yield printable(f"unaccepted {one.output.task}  {one.output.path}  ({one.note})")
    if others := len(found) - len(undone):
        yield f"{len(undone)} unaccepted, {others} had no accepted file"


def _accepted_lines(found: Sequence[AcceptResult]) -> Iterator[str]:
    accepted = [one for one in found if one.state == "accepted"]
    for one in accepted:
        note = one.note.removeprefix("accepted: ")
        yield printable(f"accepted   {one.output.task}  {one.output.path}  ({note})")
    others = [
        f"{number} {words}"
        for state, words in (("fresh", "fresh already"), ("missing", "not generated yet, or missing"))
        if (number := sum(one.state == state for one in found))
    ]
    yield ", ".join([f"{len(accepted)} accepted", *others])
