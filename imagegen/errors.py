"""Every error that a user can meet: what happened, where, and how to fix it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

__all__ = [
    *("BAD_INPUT", "DONE", "FAILED", "NOT_BEGUN", "STOPPED"),
    *("LONGEST", "FailureKind", "ImagegenError", "InputError", "NotBegunError", "Problem"),
    *("did_you_mean", "failure_kind", "not_written", "printable"),
]

DONE, FAILED, BAD_INPUT, NOT_BEGUN = range(4)
"""Exit codes of every command: docs/scripting.md says what each means."""
STOPPED = 130
"""The exit code after Ctrl-C, as in every shell."""

LONGEST = 2000
"""Characters of each part of a problem in a message: what it quotes may be of any length."""


FailureKind = Literal[
    "input",
    "preflight",
    "held_back",
    "budget",
    "paid",
    "not_replaced",
    "origin",
    "not_begun",
    "storage",
    "failed",
]
"""What kept an image from being built. `report.run_summary.ImageOutcome` says what each means."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    `where` is `file:line:column` or a task's name (may be empty), `what` one sentence without a full stop,
    `hint` what to do about it (may be empty; a command where there is one). `place` is `file:line:column` of what it is
    about, where `where` does not say it: of a task's item, for a program.
    """

    where: str
    what: str
    hint: str = ""
    place: str = ""

    def __lt__(self, other: Problem) -> bool:
        """Order problems by where they are."""
        return (self.where, self.what, self.hint) < (other.where, other.what, other.hint)

    def __str__(self) -> str:
        """Return `where: what`, and the hint on a line of its own: safe for a terminal, and not too long to read."""
        where, what, hint = (_cut(printable(part)) for part in (self.where, self.what, self.hint))
        head = f"{where}: {what}" if where else what
        return f"{head}\n    {hint}" if hint else head


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


class ImagegenError(Exception):
    """What a user can fix. It has all the problems that were found, not only the first.

    This class itself is for what failed: a file, a server or another program is not as it would have to be.
    """

    exit_code = FAILED
    """Of a command that ends with it."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems

    def with_problems(self, *problems: Problem) -> ImagegenError:
        """Return an error of this kind with other problems: the same in other words, or with their place."""
        kind = next(one for one in (InputError, NotBegunError, ImagegenError) if isinstance(self, one))
        return kind(*problems)


class InputError(ImagegenError):
    """A job file, a setting, an option or a name is wrong, and to change that is to fix it: nothing was changed.

    Whatever `config`, `prompts` and `plan` raise is of this kind.
    """

    exit_code = BAD_INPUT


class NotBegunError(ImagegenError):
    """Nothing is wrong with what was asked, but it was not begun.

    A question was not answered with yes, another doit is at work, or something is not installed.
    """

    exit_code = NOT_BEGUN


def failure_kind(error: ImagegenError) -> FailureKind:
    """Return the kind of the failure of an image that this error keeps from being built."""
    if isinstance(error, InputError):
        return "input"
    return "not_begun" if isinstance(error, NotBegunError) else "failed"


def not_written(error: OSError, where: str = "", path: str = "", doing: str = "write") -> Problem:
    """Return why something could not be written, and what to do. path: of what, if the error does not say it."""
    path = str(error.filename2 or error.filename or path)
    if path.startswith(os.path.join(os.getcwd(), "")):  # noqa: PTH109, PTH118 - texts
        path = os.path.relpath(path)
    what = f"cannot {doing}: {error.strerror or error}{f': {path}' if path else ''}"
    return Problem(where, what, f"{_HINTS.get(error.errno or 0, 'fix the path or its permissions')}, then try again")


_HINTS = {
    errno.ENOSPC: "free disk space",
    errno.EDQUOT: "free disk space, or have your quota raised",
    errno.EROFS: "mount the file system so that it can be written to",
}


def printable(text: str) -> str:
    """Return the text with control characters, except newlines and tabs, as escapes: they would steer a terminal."""
    return re.sub(_CONTROL, lambda match: ascii(match[0])[1:-1], text)


# not compiled here: a run with nothing to do does without
_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
"""Control characters, those that turn the direction of writing, and the bytes of a file's name that are not UTF-8."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return `; did you mean 'steps'?` for the nearest of the choices; empty if none is near."""
    import difflib

    choices = list(choices)
    near = [one for one in choices if one.lower() == word.lower()][:1]
    near = near or difflib.get_close_matches(word, choices, n=1, cutoff=0.65)
    return f"; did you mean '{near[0]}'?" if near else ""
