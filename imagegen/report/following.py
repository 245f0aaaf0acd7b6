"""What shows a run: live on a terminal that a person watches, in plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TextIO

from imagegen.execute.events import Outcome
from imagegen.report.console import shown_line
from imagegen.report.plain import PlainReport, is_ci

if TYPE_CHECKING:
    from imagegen.plan.record import Expected
    from imagegen.report.live import LiveReport

__all__ = ["following"]


def following(
    stream: TextIO,
    environment: Mapping[str, str],
    total: int,
    expected: Mapping[str, Expected],
    *,
    quiet: bool = False,
    line_of: Callable[[Outcome], str] = shown_line,
) -> LiveReport | PlainReport:
    """What is told each event, and stopped at the end.

    total: images that the run has to do with; with none there is nothing to watch. expected: what generating takes, by
    task. quiet: only failures are told. line_of: what is said of an outcome, empty for nothing.
    """
    in_ci = is_ci(environment)
    if total and not quiet and not in_ci and stream.isatty():
        from imagegen.report.live import LiveReport

        return LiveReport(stream, total, expected, line_of)

    def say(line: str) -> None:
        stream.write(f"{line}\n")
        stream.flush()

    return PlainReport(say, quiet=quiet, timed=in_ci, line_of=line_of)
