"""`doit mark`: say of images whether to keep them, and write notes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imagegen.commands.build import Build, select, select_images
from imagegen.commands.command import Answer, command, option
from imagegen.commands.restore import find_named
from imagegen.errors import BAD_INPUT, DONE, ImagegenError, InputError, Problem, printable

if TYPE_CHECKING:
    from imagegen.plan.output import Output
    from imagegen.plan.remark import Remark
    from imagegen.report.results.curation import MarkedImage
    from imagegen.state.review_file import ReviewFile

__all__ = ["mark"]

_NONE = "none"
"""The value of --as that takes a mark back."""
_SHA256 = "[0-9a-f]{64}"
_SHORTEST = 8
"""Characters of a sha256 by which --seen knows a file."""
_SHOWN = 72
"""Characters of a note in the list."""


@command(
    "mark",
    "Mark images to keep, to reject or for later, and write notes; without options, list both.",
    {
        "doit mark portraits:mallsing --as keep": "this picture is good",
        'doit mark portraits:mallsing --note "the hands"': "a note beside it; an empty one takes it back",
        "doit mark portraits --as none": "takes the marks of a whole job back",
        "doit mark": "lists all marks and notes",
    },
    [
        option(
            "as", str, None, "the mark; none takes it back", value="MARK", choices=["keep", "reject", "later", _NONE]
        ),
        option("note", str, None, "the note; an empty one takes it back"),
        option(
            "of",
            list,
            [],
            "the sha256 of the file that was looked at, if that is not the present one, or none if there was none; "
            "with several images, one for each, in their order",
            value="SHA256",
        ),
        option("by", str, None, "who says it [default: user.name of git]"),
        option("seen", str, None, "mark nothing if a file's sha256 begins with none of these", value="SHA256,…"),
    ],
    words="IMAGE|JOB...",
    result="imagegen.report.results.curation:Marks",
)
def mark(build: Build, words: list[str], **options: Any) -> Answer:
    """Write each mark and note to its job's review file, or list them."""
    given, note = options["as"], options["note"]
    if given is None and note is None:
        return _list(build, words)
    if not words:
        raise InputError(Problem("", "name what to mark, an image or a whole job", "doit mark JOB:IMAGE --as keep"))
    for text, name in ((note, "the note"), (options["by"], "the name")):
        _check_text(text, name)
    _check_seen(options["seen"])
    named = _pair(build, words, options["of"])
    outputs = _find_images(build, words, needs_file=given not in (None, _NONE) and not named, seen=options["seen"])
    return _record(build, outputs, given, note, by=options["by"], named=named)


def _check_seen(seen: str | None) -> None:
    for beginning in [] if seen is None else seen.split(","):
        if len(beginning) < _SHORTEST or set(beginning) - set("0123456789abcdef"):
            hint = f"at least {_SHORTEST} characters of each file's sha256"
            raise InputError(Problem("", f"--seen: '{printable(beginning)}' does not begin a sha256", hint))


def _check_text(text: str | None, name: str) -> None:
    from imagegen.plan.remark import LONGEST_NOTE

    if text is None:
        return
    if len(text) > LONGEST_NOTE:
        what = f"{name} has {len(text)} characters, and at most {LONGEST_NOTE} are kept"
        raise InputError(Problem("", what, "write it into a file of its own, and name that file in the note"))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(Problem("", f"{name} is not valid UTF-8", "type it again")) from None


def _pair(build: Build, words: list[str], of: Sequence[str]) -> dict[str, str | None]:
    """Return the sha256 of the file that each image's remark is about, by task; empty if it is the present one.

    Raises ImagegenError.
    """
    if not of:
        return {}
    for sha256 in of:
        if sha256 != _NONE and not re.fullmatch(_SHA256, sha256):
            raise InputError(Problem("", f"--of {sha256} is not a sha256", "give all of its 64 characters"))
    named = find_named(build, words, "--of", of)
    return {output.task: None if one == _NONE else one for output, one in zip(named, of, strict=True)}


def _record(
    build: Build,
    outputs: list[Output],
    given: str | None,
    note: str | None,
    *,
    by: str | None,
    named: Mapping[str, str | None],
) -> Answer:
    """Write the remarks on these images, and return what changed. named: see `_pair`."""
    from imagegen.plan.remark import Remark
    from imagegen.project.git import user_name
    from imagegen.project.remarks import record_remarks
    from imagegen.report.results.curation import ChangedMark, Marks

    by = user_name(build.root) if by is None else by
    remarks: dict[str, list[Remark]] = {}
    without_file = 0
    for output in outputs:
        state = build.project.hashes.state(output.path)
        sha256 = named.get(output.task, state.sha256 if state else None)
        found = remarks.setdefault(output.job, [])
        has_file = bool(sha256) or output.task in named
        if given == _NONE or (given is not None and has_file):
            found.append(Remark(output.full_slug, "mark", None if given == _NONE else given, sha256, by=by))
        without_file += given not in (None, _NONE) and not has_file
        if note is not None:
            found.append(Remark(output.full_slug, "note", note.strip() or None, sha256, by=by))
    tasks = {(output.job, output.full_slug): output.task for output in outputs}
    changed = [
        (tasks[job, remark.image], remark)
        for job, found in remarks.items()
        for remark in record_remarks(build.project, job, found)
    ]
    lines = [printable(_changed_line(task, remark)) for task, remark in changed]
    images = len({task for task, _ in changed})
    counts = [f"{images} changed"] if len(outputs) > 1 or not changed else []
    as_before = len(outputs) - images - without_file * (note is None)
    counts += [f"{as_before} as before"] * (as_before > 0) + [f"{without_file} without an image"] * (without_file > 0)
    lines += [", ".join(counts)] if counts else []
    marks = tuple(ChangedMark(task, remark.kind, remark.value) for task, remark in changed)
    return Answer(Marks((), marks, as_before, without_file), lines)


def _find_images(build: Build, words: list[str], *, needs_file: bool, seen: str | None) -> list[Output]:
    """Return the images and sheets that words name.

    Args:
        build: this invocation.
        words: names of images and jobs, or patterns.
        needs_file: whether it is a problem if an image that has a word of its own has no file.
        seen: beginnings of the sha256 of all files that were looked at; None if that is not known.

    Raises:
        ImagegenError: with everything that cannot be marked.
    """
    from imagegen.plan.sheets import SHEET

    one_by_one = select(build, words).one_by_one
    outputs, problems, files = [], [], []
    for planned in select_images(build, words):
        output = planned.output
        is_named = output.task in one_by_one
        if output.is_derived and output.request.extra["kind"] != SHEET:
            if is_named:
                hint = f"mark its image: doit mark {output.origins[0].task} …" if output.origins[0].task else ""
                problems.append(Problem(output.task, "it is derived, and has no mark of its own", hint))
            continue
        state = build.project.hashes.state(output.path)
        if state is not None and state.in_conflict:
            files.append(Problem(output.path, "two branches changed it, and no side is chosen yet", "choose one"))
        elif needs_file and is_named and state is None:
            hint = f"doit {output.task} generates it; a note can be written before: --note"
            files.append(Problem(output.task, f"there is no image {output.path} to mark", hint))
        elif seen and state is not None and not state.sha256.startswith(tuple(seen.split(","))):
            files.append(Problem(output.task, "its picture has changed since it was looked at", "look at it again"))
        outputs.append(output)
    if problems or files:
        raise (InputError if problems else ImagegenError)(*problems, *files)
    return outputs


def _changed_line(task: str, remark: Remark) -> str:
    if remark.kind == "note":
        return f"noted      {task}  {_brief(remark.value)}" if remark.value else f"unnoted    {task}"
    return f"marked     {task}  {remark.value}" if remark.value else f"unmarked   {task}"


def _list(build: Build, words: list[str]) -> Answer:
    """Return the marks and notes of what words name, of each image that has any."""
    from imagegen.project.remarks import find_jobless_reviews, read_remarks
    from imagegen.report.console import table
    from imagegen.report.results.curation import Marks

    selection = select(build, words)
    found: list[MarkedImage] = []
    problems: list[Problem] = []
    for plan in selection.plans:
        try:
            file = read_remarks(build.project, plan.name)
        except ImagegenError as error:
            problems += error.problems
            continue
        outputs = [
            build.planned[task].output for task in selection.images if build.planned[task].output.job == plan.name
        ]
        found += _find_marked(build, file, outputs)
    if not words:
        problems += find_jobless_reviews(build.project, {plan.name for plan in build.plans})
    lines = [printable(line) for line in table([*map(_row, found)]) or ["no marks and no notes"]]
    return Answer(Marks(tuple(found)), lines, BAD_INPUT if problems else DONE, problems)


def _find_marked(build: Build, file: ReviewFile, outputs: Sequence[Output]) -> Iterator[MarkedImage]:
    from imagegen.report.results.curation import MarkedImage

    for output in outputs:
        mark, note = file.find(output.full_slug, "mark"), file.find(output.full_slug, "note")
        if not (mark or note):
            continue
        state = build.project.hashes.state(output.path)
        sha256 = state.sha256 if state else None
        yield MarkedImage(
            output.task,
            output.path,
            mark.value if mark else None,
            note.value if note else None,
            mark.time if mark else "",
            mark.by if mark else "",
            note.time if note else "",
            note.by if note else "",
            tuple(one.kind for one in (mark, note) if one and not one.is_about(sha256)),
        )


def _row(image: MarkedImage) -> Sequence[str]:
    others = image.about_another_version
    said = [("mark", image.mark_time, image.mark_by), ("note", image.note_time, image.note_by)]
    said = [one for one in said if one[1]]
    if len({by for _, _, by in said}) == 1:
        said = [("", *max(one[1:] for one in said))]
    return (
        "-" if image.mark is None else f"({image.mark})" if "mark" in others else image.mark,
        image.task,
        _brief(image.note),
        ", ".join(" ".join(filter(None, [kind, time[:16].replace("T", " "), by])) for kind, time, by in said),
        f"({' and '.join(others)} for another version)" if others else "",
    )


def _brief(text: str | None) -> str:
    line = " ".join((text or "").split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
