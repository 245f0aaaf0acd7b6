"""A forecast as a person reads it, or a program: what the next run would do, why, and how long it will take."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from imagegen.errors import Problem, printable
from imagegen.execute.build_image import blocked_problem
from imagegen.execute.forecast import ACTS, Forecast, ForecastImage
from imagegen.plan.freshness import Reason
from imagegen.project import JobPlan
from imagegen.report.console import Piece, counted, duration, reasons, word_diff

__all__ = ["Line", "as_data", "as_lines"]

Line = Sequence[Piece]
"""A line in pieces; the style of one is an act, `old`, `new` or none."""
_LONGEST = 100
"""Characters of a value that is no text of several words."""
_DIGEST = re.compile("[0-9a-f]{64}")


def as_lines(
    forecast: Forecast, plans: Iterable[JobPlan], problems: Iterable[Problem], named: Collection[str]
) -> Iterator[Line]:
    """First what is broken; then each image that the run would touch, or that was named; last the total.

    plans: the jobs asked for. problems: with the settings. named: tasks, each by its own name.
    """
    plans = list(plans)
    broken = [plan for plan in plans if plan.problems]
    # what is wrong with the settings is wrong with every job: once is enough
    for problem in dict.fromkeys([*problems, *(problem for plan in broken for problem in plan.problems)]):
        yield from _plain(str(problem))
    for one in _shown(forecast, named):
        yield _head(one)
        yield from ([("    ", ""), *_pieces(reason)] for reason in one.verdict.reasons if _is_of_field(reason))
    if stuck := next((one for one in forecast.images if one.act == "fail"), None):
        yield from _plain(f"where a file is not replaced: {blocked_problem(stuck.output, stuck.verdict).hint}")
    for plan in plans:
        yield from (_plain_line(f"{plan.name}: {note}") for note in plan.notes)
    yield _plain_line(_total(forecast, len(broken)) if plans else "no job files in jobs/: nothing to do")


def as_data(forecast: Forecast, plans: Iterable[JobPlan], problems: Iterable[Problem], named: Collection[str]) -> str:
    """The same as JSON text: an object with `images`, `jobs`, `problems` and `total`. Times are seconds."""
    total = {act: forecast.counts[act] for act in ACTS}
    known = total["generate"] > forecast.unknown or not total["generate"]
    found = {
        "images": [_image(one) for one in _shown(forecast, named)],
        "jobs": [
            {
                "job": plan.name,
                "file": plan.file,
                "problems": [asdict(problem) for problem in plan.problems],
                "notes": plan.notes,
            }
            for plan in plans
        ],
        "problems": [asdict(problem) for problem in problems],
        "total": {**total, "seconds": round(forecast.seconds, 3) if known else None, "unknown": forecast.unknown},
    }
    return json.dumps(found, indent=2, ensure_ascii=False)


def _shown(forecast: Forecast, named: Collection[str]) -> list[ForecastImage]:
    return [one for one in forecast.images if one.act != "fresh" or one.output.task in named]


def _head(one: ForecastImage) -> Line:
    output, verdict = one.output, one.verdict
    said = f" {output.task}  {output.path}"
    if one.act == "generate":
        said += f"  {duration(one.seconds)}"
    elif one.act == "restore":
        said += f"  from {one.origin}{', encoded again' if one.is_encoded_anew else ''}"
    elif one.act == "keep":
        said += f": {verdict.note}"
    elif one.act == "fail":
        said += f": {verdict.note}" if verdict.note.startswith("not made") else f" is not replaced: {verdict.note}"
    elif one.act == "ignore":
        said += f": left alone, until doit forget {one.origin}"
    elif one.act == "fresh" and verdict.line:
        said += f"  since {verdict.line.time[:16].replace('T', ' ')} UTC"
    said += "".join(f", {part}" for part in _of_request(one))
    if one.act in ("generate", "derive", "follow", "restore"):  # of others it is told already, or decides nothing
        others = [reason for reason in verdict.reasons if not _is_of_field(reason)]
        said += f"  ({reasons(others)})" if others else ""
    return [(f"{one.act:<9}", one.act), (printable(said), "")]


def _is_of_field(reason: Reason) -> bool:
    """Whether it has a line of its own, with the old value and the new one."""
    return bool(reason.field) and reason.kind not in ("origin", "follows")


def _of_request(one: ForecastImage) -> Iterator[str]:
    """Of one that is to be drawn, what is open yet; of a fresh one, what it was drawn with."""
    request = one.output.request
    if one.act == "fresh":
        if "seed" in one.output.parameters:
            yield f"seed {request.seed}"
        if request.model:
            yield f"model {request.model}"
    if one.act == "generate":
        if request.seed is None:
            yield "its seed is drawn then"
        if one.output.has_open_model and not request.model:
            yield "its model is decided then: the only one there is"


def _pieces(reason: Reason) -> list[Piece]:
    """What changed in one field, whole where `str(reason)` cuts it short."""
    old, new = reason.old, reason.new
    if reason.kind == "model":
        return [(f"the model's files changed: {_short(old)} → {_short(new)}", "")]
    field = printable("negative prompt" if reason.field == "negative" else reason.field)
    if (_has_words(old) or _has_words(new)) and {type(old), type(new)} <= {str, type(None)}:
        return [(f"{field}: ", ""), *((printable(text), style) for text, style in word_diff(old or "", new or ""))]
    nothing = "random" if reason.field == "seed" else "none"
    return [(f"{field}: ", ""), (_value(old, nothing), "old"), (" → ", ""), (_value(new, nothing), "new")]


def _has_words(value: object) -> bool:
    return isinstance(value, str) and len(value.split()) > 1


def _value(value: Any, nothing: str) -> str:
    if value in ("", None):
        return nothing
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        return f"{_short(value)}…"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return printable(" ".join((text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…").split()))


def _short(digest: str | None) -> str:
    return (digest or "unknown")[:12]


def _total(forecast: Forecast, broken: int) -> str:
    counts = forecast.counts
    words = {
        "generate": "to generate",
        "derive": "to derive",
        "follow": "may follow",
        "restore": "to restore",
        "keep": "kept",
        "fail": "to fail",
        "ignore": "ignored",
    }
    said = []
    for act in ACTS:
        if counts[act]:
            time = f" ({_time(forecast, counts[act])})" if act == "generate" else ""
            said.append(f"{counts[act]} {words.get(act, act)}{time}")
    if broken:
        said.append(counted(broken, "broken job"))
    if not said or (list(counts) == ["fresh"] and not broken):
        said.append("nothing to do")
    return ", ".join(said)


def _time(forecast: Forecast, generated: int) -> str:
    if forecast.unknown == generated:
        return duration(None)
    of = f", and {forecast.unknown} of unknown duration" if forecast.unknown else ""
    return f"{duration(forecast.seconds)}{of}"


def _image(one: ForecastImage) -> dict[str, Any]:
    output, request, line = one.output, one.output.request, one.verdict.line
    return {
        "task": output.task,
        "path": output.path,
        "act": one.act,
        "from": one.origin,
        "encoded_anew": one.is_encoded_anew,
        "reasons": [asdict(reason) for reason in one.verdict.reasons],
        "note": one.verdict.note,
        "seconds": one.seconds,
        "backend": request.backend,
        "model": request.model,
        "seed": request.seed,
        "made": line.time if line else None,
    }


def _plain(text: str) -> Iterator[Line]:
    return (_plain_line(line) for line in text.split("\n"))


def _plain_line(text: str) -> Line:
    return [(printable(text), "")]
