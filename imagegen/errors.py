"""Every error that a user can meet: what happened, where, and how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["ImagegenError", "Problem", "did_you_mean"]


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong.

    `where` is `file:line:column` or a task's name (may be empty), `what` one sentence without a full stop,
    `mend` what to do about it (may be empty; a command where there is one).
    """

    where: str
    what: str
    mend: str = ""

    def __str__(self) -> str:
        """`where: what`, and the mend on a line of its own."""
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\n    {self.mend}" if self.mend else head


class ImagegenError(Exception):
    """What a user can mend. It carries all the problems that were found, not only the first."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'steps'?` for the nearest of the choices, or an empty string."""
    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.65)
    return f"; did you mean '{near[0]}'?" if near else ""
