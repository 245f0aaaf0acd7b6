"""`doit accept`: keep the current file as an output's image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from imagegen.commands.build import Build, select_images
from imagegen.commands.command import command, option
from imagegen.errors import ImagegenError, InputError, Problem, printable

if TYPE_CHECKING:
    from imagegen.execute.curation import AcceptResult

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
)
def accept(build: Build, words: list[str], *, undo: bool) -> None:
    """Accept each file that is not as it was generated, or take that back."""
    from imagegen.execute.curation import accept, take_back_accept

    if not words:
        raise InputError(Problem("", "name what to accept, an image or a whole job", "doit accept JOB:IMAGE"))
    select_images(build, words)  # a mistake is reported before anybody is waited for
    problems: list[Problem] = []
    found = []
    with build.lock():
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
    elif found:
        print("\n".join(_undone_lines(found) if undo else _accepted_lines(found)), flush=True)
    upload_pending(build)
    if problems:
        raise ImagegenError(*problems)


def upload_pending(build: Build) -> None:
    """Upload to the shared store, if there is one, what was accepted: others may need it before the next build."""
    if build.project.has_uploads_due:
        from imagegen.execute.run import run
        from imagegen.report.console import print_note

        run(build.project, [], print_note)


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
