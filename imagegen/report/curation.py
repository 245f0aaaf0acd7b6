"""What `doit pick`, `reroll`, `restore` and `accept` say."""

from __future__ import annotations

from collections.abc import Sequence

from imagegen.errors import printable
from imagegen.execute.curation import AcceptResult, ImageVersion
from imagegen.execute.pick import CANDIDATES, PickResult
from imagegen.plan.freshness import Verdict
from imagegen.plan.output import Output
from imagegen.report.console import counted, table

__all__ = ["accepted_lines", "history_lines", "picked_lines", "reroll_failed_line", "restored_line"]

_LONGEST = 48


def picked_lines(pick: PickResult, verdict: Verdict) -> list[str]:
    """What was picked and where the others are. verdict: on the image that was picked."""
    first = pick.outputs[0]
    if not first.variant or first.slug == first.full_slug:
        return [printable(f"unpicked   {first.job}:{first.base}: {counted(len(pick.outputs), 'variant')} again")]
    lines = [f"picked     {first.task}  {first.path}  (variant {first.variant})"]
    if pick.candidates:
        lines.append(f"candidates {', '.join(pick.candidates)}  in {CANDIDATES}/{first.job}")
    if verdict.state == "stale":
        why = ", ".join(map(str, verdict.reasons))
        lines.append(
            f"{first.task} is stale as its variant was ({why}): the next doit generates it again; "
            f"to keep it as it is: doit accept {first.task}"
        )
    return [printable(line) for line in lines]


def reroll_failed_line(outputs: Sequence[Output]) -> str:
    """What stays of a reroll whose image was not made."""
    tasks = " ".join(output.task for output in outputs)
    return (
        f"the earlier image stays, and so does the new seed: the next doit makes it; to go back: doit restore {tasks}"
    )


def history_lines(pasts: Sequence[ImageVersion]) -> list[str]:
    """A numbered line for each image that there is to go back to."""
    rows = []
    for number, past in enumerate(pasts, start=1):
        request = past.request
        seed, model = request.get("seed", ""), request.get("model", "")
        rows.append(
            [
                "→" if past.is_now else "",
                str(number),
                past.time[:19].replace("T", " "),
                f"seed {seed}" if seed != "" else "",
                " ".join(filter(None, [str(request.get("backend", "")), str(model)])),
                _beginning(str(request.get("prompt", ""))),
                _why(past),
            ]
        )
    return table(rows)


def restored_line(output: Output, past: ImageVersion, stays: str) -> str:
    """What was put back, and how it stays."""
    detail = ", ".join(filter(None, [f"made {past.time[:19].replace('T', ' ')}", stays]))
    return printable(f"restored   {output.task}  {output.path}  ({detail})")


def accepted_lines(found: Sequence[AcceptResult]) -> list[str]:
    """A line for each image that was accepted, and how many there was nothing to decide about."""
    lines = [
        printable(f"accepted   {one.output.task}  {one.output.path}  ({one.note.removeprefix('accepted: ')})")
        for one in found
        if one.state == "accepted"
    ]
    others = [
        f"{number} {words}"
        for state, words in (("fresh", "fresh already"), ("missing", "not made yet, or missing"))
        if (number := sum(one.state == state for one in found))
    ]
    return [*lines, ", ".join([f"{len(lines)} accepted", *others])]


def _why(past: ImageVersion) -> str:
    reasons = ", ".join(map(str, past.reasons))
    words = ["now" if past.is_now else "", "made or changed by hand" if past.by_hand else "", reasons]
    return f"({'; '.join(filter(None, words)) or 'the same request'})"


def _beginning(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
