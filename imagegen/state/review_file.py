"""The review file of a job: the marks and notes that people gave its images. Meant to be committed.

JSON Lines; each says one thing: a mark or a note of one image, given at a time, of the file with a sha256. One rule
reads them: of the lines that say the same kind of thing of the same image, the latest counts. So the union of the lines
of merged branches, in any order and any number of times, says the same in every clone, and neither side's note takes
away the other side's mark. What was taken back is a line too: without it, a merge would bring back what it replaced.

A change writes the file whole and sorted, with the lines that count. That takes a lock of its own, and not the build's:
people look at pictures while others are generated, for hours.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, get_args

from imagegen.errors import InputError, Problem
from imagegen.plan.remark import MARKS, Kind, Remark
from imagegen.state import json_line
from imagegen.state.journal import Journal
from imagegen.state.json_line import dump_fields, parse_fields
from imagegen.state.mutex import hold
from imagegen.state.timestamps import timestamp_after

__all__ = ["REVIEW_ATTRIBUTES", "ReviewFile", "read_review_file", "write_remarks"]

REVIEW_ATTRIBUTES = "jobs/*.review merge=union text eol=lf"
"""The line of .gitattributes by which git merges review files."""
VERSION = 1
"""Of the line format. Lines of a later version are refused."""
_WAIT_S = 10.0
"""Seconds to wait for others that write marks, at least: each takes some milliseconds."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)


@dataclass
class ReviewFile:
    """What a review file says: of each image, by its full slug, the mark and the note that count."""

    remarks: dict[tuple[str, Kind], Remark] = field(default_factory=dict)

    def find(self, image: str, kind: Kind) -> Remark | None:
        """Return the image's mark or note; None if it has none, or it was taken back."""
        found = self.remarks.get((image, kind))
        return found if found and found.value is not None else None

    def add(self, remark: Remark) -> None:
        """Let the remark count, unless a later one does. Of two of one time, any may, but the same one everywhere."""
        key = (remark.image, remark.kind)
        self.remarks[key] = max(remark, self.remarks.get(key, remark), key=lambda one: (one.time, _dump(one)))


def read_review_file(name: str, path: Path) -> ReviewFile:
    """Read the review file at `path`; an empty one if there is none. A last line that was cut off does not count.

    Args:
        name: as shown to the user.
        path: of the file.

    Raises:
        ImagegenError: located, for a file that has merge-conflict markers, is newer, or is not ours.
    """

    def refuse(number: int, line: bytes, error: Exception) -> NoReturn:
        said = json_line.explain(line, error, kind="a review file", attributes=REVIEW_ATTRIBUTES, version=VERSION)
        raise InputError(Problem(f"{name}:{number}", *said)) from None

    found = ReviewFile()
    try:
        for remark in Journal(path, _parse, _dump).read(refuse).entries:
            found.add(remark)
    except OSError as error:
        raise InputError(Problem(name, f"cannot be read: {error.strerror}", "check its permissions")) from None
    return found


def write_remarks(name: str, path: Path, given: Iterable[Remark], state: Path, wait_s: float) -> list[Remark]:
    """Write these remarks to the review file, and return those that say anything new, with their times.

    Without any, the file is left as it is, byte by byte. Each remark is later than the one it replaces, whatever
    another machine's clock said.

    Args:
        name: of the file, as shown to the user.
        path: of the file.
        given: without times.
        state: the project's `.imagegen`.
        wait_s: seconds to wait for others that write remarks.

    Raises:
        ImagegenError: the file cannot be understood, or others are still writing.
        OSError: the file is as it was.
    """
    own = state / "review"
    with hold(own, max(wait_s, _WAIT_S)):
        file = read_review_file(name, path)
        added = []
        for remark in given:
            before = file.remarks.get((remark.image, remark.kind))
            if before is None and remark.value is None:
                continue
            if before and (before.value, before.sha256) == (remark.value, remark.sha256):
                continue
            if before and before.value is None and remark.value is None:
                continue
            time = timestamp_after(before.time if before else "")
            added.append(Remark(remark.image, remark.kind, remark.value, remark.sha256, time, remark.by))
            file.add(added[-1])
        if added:
            temporary = own / "tmp"
            shutil.rmtree(temporary, ignore_errors=True)  # of somebody who was killed
            Journal(path, _parse, _dump).compact([file.remarks[key] for key in sorted(file.remarks)], temporary)
        return added


def _dump(remark: Remark) -> bytes:
    fields: dict[str, Any] = {"image": remark.image, remark.kind: remark.value, "sha256": remark.sha256}
    fields |= {"time": remark.time} | ({"by": remark.by} if remark.by else {})
    return dump_fields(fields, VERSION)


def _parse(raw: bytes) -> Remark:
    """Return what the line says. Raises ValueError, NewerVersionError among them."""
    fields = parse_fields(raw, VERSION)
    kinds = [kind for kind in get_args(Kind) if kind in fields]
    if len(kinds) != 1:
        raise ValueError("it has neither a mark nor a note" if not kinds else "it has both a mark and a note")
    (kind,) = kinds
    for name in ("image", "sha256", "time"):
        if name not in fields:
            raise ValueError(f"it has no '{name}'")
    value, sha256 = fields[kind], fields["sha256"]
    if not _is_sound(fields, kind, value) or not (sha256 is None or isinstance(sha256, str)):
        raise ValueError(f"its {kind}, 'image', 'sha256', 'time' or 'by' is not valid")
    return Remark(fields["image"], kind, value, sha256, fields["time"], fields.get("by", ""))


def _is_sound(fields: Mapping[str, Any], kind: Kind, value: object) -> bool:
    is_value = value is None or (value in MARKS if kind == "mark" else isinstance(value, str))
    is_text = all(isinstance(fields.get(name, ""), str) for name in ("image", "time", "by"))
    return is_value and is_text and bool(_TIME.fullmatch(fields["time"]))
