"""What people say of an image: a mark, or a note."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["LONGEST_NOTE", "MARKS", "Kind", "Remark"]

Kind = Literal["mark", "note"]
MARKS = ("keep", "reject", "later")
LONGEST_NOTE = 4000
"""Characters: the files of notes stay small."""


@dataclass(frozen=True)
class Remark:
    """A mark or a note of an image.

    Attributes:
        image: its full slug, without the job.
        value: one of MARKS, or the text of a note; None: it was taken back.
        sha256: of the file that was looked at; None if there was none yet.
        time: ISO 8601 in UTC.
        by: who gave it; empty if that is not known.

    """

    image: str
    kind: Kind
    value: str | None
    sha256: str | None
    time: str = ""
    by: str = ""

    def is_about(self, sha256: str | None) -> bool:
        """Return whether the image's file, which has this hash now, is the one that was looked at."""
        return self.sha256 is None or self.sha256 == sha256
