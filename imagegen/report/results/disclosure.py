"""What was used, as data: `doit disclosure`."""

from __future__ import annotations

from dataclasses import dataclass

from imagegen.report.disclosure_statement import Statement

__all__ = ["DisclosedImages"]


@dataclass(frozen=True)
class DisclosedImages:
    """Which images were generated, by which models, and which were changed by hand.

    Attributes:
        statement: the facts, which are the same in every format.
        path: file named by `--out`; null without it.
        is_written: whether the file was written now; false if it has these facts already.
    """

    statement: Statement
    path: str | None
    is_written: bool
