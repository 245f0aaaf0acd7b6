"""What a run did as a page of Markdown: for a job of GitHub or GitLab, for a notebook or an editor.

It is a heading and blocks of HTML, which every Markdown has, and without an empty line in them, which would end them.
So nothing in a text can be taken for Markdown; and each text that a person wrote is code, where GitHub and GitLab look
for no @mention, #issue or :emoji:.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from imagegen.errors import Problem, printable
from imagegen.report.console import plural
from imagegen.report.run_summary import ImageOutcome

__all__ = ["MARKER", "Links", "group_images", "summary_markdown"]

MARKER = "<!-- written by doit --summary -->"
"""The first line of the page: a file that begins otherwise is somebody else's."""
_LONGEST = 300
"""Characters of a text."""
_MOST_PROBLEMS, _MOST_PLACES = 100, 3
_FRAME_BYTES = 500
"""What is around the rows of the table."""
_WIDTH = 128
"""Pixels that a thumbnail is shown in."""
_ESCAPES = {ord(character): f"&#{ord(character)};" for character in "&<>\"'`$@|\\"}
"""The ampersand, what HTML means something by, and what a program may look for before it reads the HTML."""


@dataclass(frozen=True)
class Links:
    """What the page can link to.

    Attributes:
        picture: the address of an image's picture, and its width if that is known; None if there is none.
        file: the address of its file; empty if it cannot be named.
        note: what to say of the pictures; empty for nothing.
    """

    picture: Callable[[ImageOutcome], tuple[str, int | None] | None]
    file: Callable[[ImageOutcome], str]
    note: str = ""


def summary_markdown(
    headline: str,
    notes: Iterable[str],
    images: Sequence[ImageOutcome],
    problems: Iterable[Problem],
    links: Links,
    most_bytes: int,
) -> str:
    """Return the page.

    Args:
        headline: what the run did, in a line.
        notes: what else there is to say, a line each.
        images: that were not fresh, in the order of their rows. Those that were not begun are only in the headline.
        problems: that are not about one image: broken jobs, and what came after the images.
        links: to pictures and files.
        most_bytes: of the page; rows that do not fit are left out, and counted.
    """
    groups = group_images(images)
    shown = [one for image, derived in groups for one in (image, *derived)]
    said = [*notes, *([links.note] if links.note and shown else [])]
    head = [MARKER, "", f"## imagegen: {_escape(headline)}", "", *_details(shown, problems)]
    foot = [line for note in said for line in (f"<p>{_escape(note)}</p>", "")]
    room = most_bytes - len("\n".join([*head, *foot]).encode("utf-8", "replace")) - _FRAME_BYTES
    rows: list[str] = []
    for one, derived in groups:
        row = _row(one, derived, links)
        room -= len(row.encode("utf-8", "replace")) + 1
        if room < 0:
            break
        rows.append(row)
    return "\n".join([*head, *_table(rows, len(groups) - len(rows)), *foot])


def group_images(images: Sequence[ImageOutcome]) -> list[tuple[ImageOutcome, Sequence[ImageOutcome]]]:
    """Return what gets a row, failures first, each with the files derived from it, which get none of their own."""
    groups: dict[str, tuple[ImageOutcome, list[ImageOutcome]]] = {}
    for one in sorted(images, key=lambda one: (one.state != "failed", one.task.count(":"))):
        image = groups.get(one.task.rpartition(":")[0])
        if one.state != "cancelled":
            if image and one.state in ("derived", "restored"):
                image[1].append(one)
            else:
                groups[one.task] = (one, [])
    order = {one.task: at for at, one in enumerate(images)}
    return sorted(groups.values(), key=lambda group: (group[0].state != "failed", order[group[0].task]))


def _table(rows: Sequence[str], left_out: int) -> Iterator[str]:
    if rows:
        names = ("", "image", "state", "why", "seconds", "seed")
        yield f"<table><tr>{''.join(f'<th>{name}</th>' for name in names)}</tr>"
        yield from rows
        yield "</table>"
        yield ""
    if left_out:
        yield f"<p>… and {left_out} more</p>"
        yield ""


def _row(one: ImageOutcome, derived: Iterable[ImageOutcome], links: Links) -> str:
    name, picture = _code(one.task), ""
    if found := links.picture(one):
        width = min(_WIDTH, found[1] or _WIDTH)  # never enlarged
        picture = f'<img src="{_escape(found[0])}" width="{width}" alt="{_escape(one.task)}">'
    name, picture = _link(name, links.file(one)), _link(picture, links.file(one))
    said = f"<br>{_code(one.prompt)}" if one.prompt else ""
    if others := [_link(_code(file.task.rpartition(":")[2]), links.file(file)) for file in derived]:
        said += f"<br>with {', '.join(others)}"
    why = ", ".join(_code(str(reason)) for reason in one.reasons)
    note = f"<br>{_code(one.note)}" if one.note else ""
    seconds = f"{one.seconds:.1f}" if one.state == "generated" else ""
    seed = "" if one.seed is None or one.state == "failed" else _code(str(one.seed))
    cells = (picture, f"{name}{said}", one.state, f"{why}{note}", seconds, seed)
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _link(text: str, address: str) -> str:
    return f'<a href="{_escape(address)}">{text}</a>' if text and address else text


def _details(shown: Iterable[ImageOutcome], problems: Iterable[Problem]) -> Iterator[str]:
    """Yield a block of all that is wrong: what many images have is in it once."""
    where: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        where.setdefault((problem.what, problem.hint), []).append(problem.where)
    for one in shown:
        for problem in one.problems:
            where.setdefault((problem.what, problem.hint), []).append(one.task)
    if not where:
        return
    yield f"<details open><summary><b>{plural(len(where), 'problem')}</b></summary><ul>"
    for (what, hint), found in list(where.items())[:_MOST_PROBLEMS]:
        places = [*dict.fromkeys(filter(None, found))]
        more = f" and {len(places) - _MOST_PLACES} more" if len(places) > _MOST_PLACES else ""
        at = f"{', '.join(map(_code, places[:_MOST_PLACES]))}{more}: " if places else ""
        yield f"<li>{at}{_code(what)}{f'<br>{_code(hint)}' if hint else ''}</li>"
    if len(where) > _MOST_PROBLEMS:
        yield f"<li>… and {len(where) - _MOST_PROBLEMS} more</li>"
    yield "</ul></details>"
    yield ""


def _code(text: str) -> str:
    """Return a text of somebody's as code, in one line."""
    line = " ".join(text.split())
    return f"<code>{_escape(line if len(line) <= _LONGEST else f'{line[: _LONGEST - 1]}…')}</code>"


def _escape(text: str) -> str:
    """Return a text in one line, in which nothing means anything to HTML or Markdown."""
    return printable(" ".join(text.split())).translate(_ESCAPES)
