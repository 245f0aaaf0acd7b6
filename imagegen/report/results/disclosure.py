"""What was used, as data: `doit disclosure`."""

from __future__ import annotations

from dataclasses import dataclass

from imagegen.report.disclosure_statement import Statement

__all__ = ["DisclosedImages"]


@dataclass(frozen=True)
class DisclosedImages:
    """Which images were generated, by which models, and which were changed by hand.

    Attributes:
        statement: the facts, which every format has.
        path: the file that was to be written with --out; null without it.
        is_written: whether it was written now; it is not if it has these facts already.
    """

    statement: Statement
    path: str | None
    is_written: bool
