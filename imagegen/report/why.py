"""What the next `doit` would do, and why: the lines of `doit why`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from imagegen.errors import Problem, printable

if TYPE_CHECKING:
    from decimal import Decimal

    from imagegen.execute.forecast import Forecast, ForecastImage
    from imagegen.plan.freshness import Reason
    from imagegen.project import JobPlan

__all__ = ["Line", "Piece", "as_lines", "word_diff"]

Piece = tuple[str, str]
"""Text, and its style: an act, `old`, `new` or none."""
Line = Sequence[Piece]

_TOTALS = {
    "generate": "to generate",
    "derive": "to derive",
    "follow": "may follow",
    "restore": "to restore",
    "keep": "kept",
    "fail": "to fail",
    "ignore": "ignored",
    "fresh": "fresh",
}
_LONGEST = 100
"""Characters of a value that is not a text of several words."""
_DIGEST = re.compile("[0-9a-f]{64}")
_DIGITS = 12
"""Digits of a digest that are shown."""
_NO_NAMES: Mapping[str, str] = {}
_CONTEXT_WORDS = 8
"""Unchanged words that are shown before and after a change."""


def as_lines(
    forecast: Forecast,
    plans: Sequence[JobPlan],
    problems: Iterable[Problem],
    named: Collection[str],
    budget: Decimal | None = None,
    *,
    has_settings: bool,
    names: Mapping[str, str] = _NO_NAMES,
) -> Iterator[Line]:
    """Yield what is broken; then each image that the run would touch, or that was named; last the total.

    Args:
        forecast: of the images.
        plans: the jobs asked for.
        problems: with the settings, and files in jobs/ that are not built.
        named: the tasks that were named one by one.
        budget: what the run may cost; None if there is no limit.
        has_settings: whether the settings are valid; else they are what breaks every job.
        names: paths of files, by their sha256.

    """
    from imagegen.execute.budget import describe_unlimited
    from imagegen.execute.build_image import blocked_problem
    from imagegen.execute.paid_images import LOST_BEFORE

    broken = [plan for plan in plans if plan.problems]
    # what is wrong with the settings is wrong with every job: once is enough
    for problem in dict.fromkeys([*problems, *(problem for plan in broken for problem in plan.problems)]):
        yield from map(_plain_line, str(problem).split("\n"))
    for one in _shown(forecast, named):
        yield _head(one, is_named=one.output.task in named)
        yield from ([("    ", ""), *_change(reason, names)] for reason in one.verdict.reasons if _has_own_line(reason))
        if one.may_be_paid:
            yield _plain_line(f"    {LOST_BEFORE}")
        has_own_hint = _is_not_built(one) or (one.act == "keep" and one.output.task in named)
        if one.verdict.hint and has_own_hint:
            yield _plain_line(f"    {one.verdict.hint}")
    if stuck := next((one for one in forecast.images if one.act == "fail" and not _is_not_built(one)), None):
        yield _plain_line(f"if a file is not replaced: {blocked_problem(stuck.output, stuck.verdict).hint}")
    for plan in plans:
        yield from (_plain_line(f"{plan.name}: {note}") for note in plan.notes)
    if broken and not has_settings:
        yield _plain_line("nothing can be built: the settings are not valid")
    else:
        yield _plain_line(_total(forecast, len(broken)) if plans else "no job files in jobs/: nothing to do")
        if budget is not None and (forecast.price or forecast.unpriced):
            yield _plain_line(_compare_with_budget(forecast, budget))
        elif unpriced := [one.output.request for one in forecast.images if one.price is None]:
            yield _plain_line(describe_unlimited(unpriced[0]))


def _shown(forecast: Forecast, named: Collection[str]) -> list[ForecastImage]:
    return [one for one in forecast.images if one.act != "fresh" or one.output.task in named]


def _is_not_built(one: ForecastImage) -> bool:
    """Whether it fails for another reason than the file that is in its place."""
    return one.act == "fail" and one.verdict.note.startswith("not built")


def _head(one: ForecastImage, *, is_named: bool) -> Line:
    from imagegen.config.money import dollars
    from imagegen.report.console import duration, reasons

    output, verdict = one.output, one.verdict
    said = f" {output.task}  {output.path}"
    if one.act == "generate":
        said += f"  {duration(one.seconds)}"
        if is_named and one.price != 0:
            said += ", price unknown" if one.price is None else f", {dollars(one.price)}"
    elif one.act == "restore":
        said += f"  from {one.origin}{', encoded again' if one.is_encoded_again else ''}"
    elif one.act == "keep":
        said += f": {verdict.note}"
    elif one.act == "fail":
        said += f": {verdict.note}" if _is_not_built(one) else f" is not replaced: {verdict.note}"
    elif one.act == "ignore":
        said += f": left alone, until doit forget {one.origin}"
    elif one.act == "fresh" and verdict.line:
        said += f"  since {verdict.line.time[:16].replace('T', ' ')} UTC"
    said += "".join(f", {part}" for part in _request_parts(one))
    said += f"  ({verdict.note})" if one.act == "fresh" and verdict.note else ""
    if one.act in ("generate", "derive", "follow", "restore"):
        others = [
            reason
            for reason in verdict.reasons
            if not _has_own_line(reason) and (one.act, reason.kind) != ("restore", "new")
        ]
        said += f"  ({reasons(others)})" if others else ""
    return [(f"{one.act:<9}", one.act), (printable(said), "")]


def _request_parts(one: ForecastImage) -> Iterator[str]:
    """Yield what is still open for an image to generate, and what a fresh one was generated with."""
    request = one.output.request
    if one.act == "fresh":
        if "seed" in one.output.parameters:
            yield f"seed {request.seed}"
        if request.model:
            yield f"model {request.model}"
    if one.act == "generate":
        if request.seed is None and one.output.uses_seed:
            yield "its seed is chosen then"
        if one.output.has_open_model and not request.model:
            server = "no checkpoint or model is set: the server's is used, if it has only one"
            yield _OPEN_MODEL if request.backend == "sd" else server


_OPEN_MODEL = (
    "no model is set: the only checkpoint is used, or what a server of your own has; if there is none: doit sd:setup"
)
"""Of sd, whose server is started with a model."""


def _has_own_line(reason: Reason) -> bool:
    """Whether it is of a field, and shown with the old value and the new one."""
    return bool(reason.field) and reason.kind not in ("origin", "follows")


def _change(reason: Reason, names: Mapping[str, str]) -> list[Piece]:
    """Return what changed in one field, whole if `str(reason)` cuts it short. names: as for `as_lines`."""
    old, new = reason.old, reason.new
    if reason.kind == "model":
        parts = (slice(at, at + _DIGITS) for at in range(0, len(old), _DIGITS))
        shown = next((part for part in parts if old[part] != new[part]), slice(_DIGITS))
        return [(f"the model's files changed: {old[shown]} → {new[shown]}", "")]
    field = printable("negative prompt" if reason.field == "negative" else reason.field)
    if (_has_words(old) or _has_words(new)) and {type(old), type(new)} <= {str, type(None)}:
        return [(f"{field}: ", ""), *((printable(text), style) for text, style in word_diff(old or "", new or ""))]
    nothing = "random" if reason.field == "seed" else "none"
    return [(f"{field}: ", ""), (_value(old, nothing, names), "old"), (" → ", ""), (_value(new, nothing, names), "new")]


def _has_words(value: object) -> bool:
    return isinstance(value, str) and len(value.split()) > 1


def _value(value: Any, nothing: str, names: Mapping[str, str]) -> str:
    import json

    if value in ("", None):
        return nothing
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        return f"{value[:_DIGITS]}…{f' ({printable(names[value])})' if value in names else ''}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return printable(" ".join((text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…").split()))


def word_diff(old: str, new: str) -> list[Piece]:
    """Return what changed word by word, readable without colour: `a [-grey-] {+green+} cloak`."""
    before, after = old.split(), new.split()
    if before == after:
        return [("only its white space changed", "")]
    pieces: list[Piece] = []
    for what, i, j, k, m in SequenceMatcher(None, before, after).get_opcodes():
        if what == "equal":
            is_last = j == len(before) and m == len(after)
            pieces.append((_unchanged(before[i:j], is_first=i == 0, is_last=is_last), ""))
            continue
        if i < j:
            pieces.append((f"[-{' '.join(before[i:j])}-]", "old"))
        if k < m:
            pieces.append((f"{{+{' '.join(after[k:m])}+}}", "new"))
    return [(f"{' ' if index else ''}{text}", style) for index, (text, style) in enumerate(pieces)]


def _unchanged(words: Sequence[str], *, is_first: bool, is_last: bool) -> str:
    head = [] if is_first else list(words[:_CONTEXT_WORDS])
    tail = [] if is_last else list(words[len(words) - _CONTEXT_WORDS :])
    if len(words) <= len(head) + len(tail) + 3:  # leaving out so few would save nothing
        return " ".join(words)
    return " ".join([*head, "…", *tail])


def _total(forecast: Forecast, broken: int) -> str:
    from imagegen.report.console import duration, plural, price_text

    counts = forecast.counts
    said = []
    for act, words in _TOTALS.items():
        if counts[act]:
            said.append(f"{counts[act]} {words}")
        if act == "generate" and counts[act]:
            is_unknown = forecast.unknown == counts[act]
            more = f", and {forecast.unknown} of unknown duration" if forecast.unknown and not is_unknown else ""
            price = price_text(forecast.price, forecast.unpriced)
            costs = f"; {price}" if price else ""
            said[-1] += f" ({duration(None if is_unknown else forecast.seconds)}{more}{costs})"
    if broken:
        said.append(plural(broken, "broken job"))
    if not said or (list(counts) == ["fresh"] and not broken):
        said.append("nothing to do")
    return ", ".join(said)


def _compare_with_budget(forecast: Forecast, budget: Decimal) -> str:
    """Return whether the budget is enough, for how many of the images that cost something, and what is refused."""
    from imagegen.backends.text import list_first
    from imagegen.config.money import dollars
    from imagegen.report.console import plural

    costly = sum(one.price != 0 for one in forecast.images)
    enough, refused = forecast.affordable(budget), forecast.refused(budget)
    said = f"the budget of {dollars(budget)} is "
    if not enough:
        images = "the image that costs" if costly == 1 else f"any of the {costly} images that cost"
        said += f"not enough for {images} something"
    elif enough < costly:
        said += f"enough for {enough} of the {plural(costly, 'image')} that cost something"
    else:
        said += "enough"
    if refused:
        said += f"; jobs with an image of unknown or higher price are not built: {list_first(refused)}"
    return said


def _plain_line(text: str) -> Line:
    return [(printable(text), "")]
