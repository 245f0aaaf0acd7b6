"""What the next run would do, and why, and how long it takes: without asking a backend or writing anything."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal, get_args

from imagegen.backends.text import list_first
from imagegen.errors import FailureKind, ImagegenError, failure_kind
from imagegen.execute.build_image import RECORDED_NOT_AVAILABLE, encode_output
from imagegen.execute.paid_images import find_paid_image, unpaid_problem
from imagegen.execute.shared_store import ACCEPTED_NOT_AVAILABLE
from imagegen.execute.stored_images import ImageCopy, StoredImages
from imagegen.execute.worker import ImageAttempt
from imagegen.plan.freshness import CHANGED, Verdict
from imagegen.plan.origins import sort_by_origin
from imagegen.plan.output import Output
from imagegen.plan.record import Durations, Estimate, OutputLine, total_seconds
from imagegen.project import Project

__all__ = [
    "ACTS",
    "Act",
    "Cost",
    "Forecast",
    "ForecastImage",
    "check_with_origins",
    "estimate",
    "forecast",
    "forecast_pictures",
    "price",
    "sum_up",
]

Act = Literal["generate", "derive", "follow", "restore", "keep", "fail", "ignore", "fresh"]
"""What becomes of an output. follow: whether it is stale is only known once what it is made from is there.
fail: the file in its place must not be replaced. ignore: `doit ignore` named it."""
ACTS: tuple[Act, ...] = get_args(Act)


@dataclass(frozen=True)
class ForecastImage:
    """What the next run would do with one output; its verdict says why.

    origin: where it is restored from: `the store`, the path of an output that shows it already, the task of one that
    is to be generated, or the shared store, which is not asked for this; of one that is ignored, the task that
    `doit ignore` named. seconds: that generating it takes; None if that is not known. price: of generating it, in US
    dollars; None if that is not known. may_be_paid: whether an earlier run ended before the image arrived.
    failure: what will keep it from being built, if it fails.
    """

    output: Output
    verdict: Verdict
    act: Act
    origin: str = ""
    seconds: float | None = None
    price: Decimal | None = Decimal(0)
    may_be_paid: bool = False
    failure: FailureKind | None = None

    @property
    def is_encoded_again(self) -> bool:
        """Whether only the file is encoded again, from the image that it was made of."""
        return self.act == "restore" and self.verdict.only_encoding


@dataclass(frozen=True)
class Forecast:
    """images: each one asked for, in order. seconds: that generating takes, as far as that is known.

    unknown: how many images are to be generated of which it is not known how long they take.
    """

    images: tuple[ForecastImage, ...]
    seconds: float = 0.0
    unknown: int = 0

    @property
    def price(self) -> Decimal:
        """What generating costs, in US dollars, as far as that is known."""
        return sum((one.price for one in self.images if one.price), Decimal(0))

    @property
    def unpriced(self) -> int:
        """How many images are to be generated of which it is not known what they cost."""
        return sum(one.price is None for one in self.images)

    def refused(self, budget: Decimal) -> list[str]:
        """Return the jobs with an image that costs more than the budget, or whose price is not known."""
        return list(dict.fromkeys(one.output.job for one in self.images if one.price is None or one.price > budget))

    def affordable(self, budget: Decimal) -> int:
        """Return how many images that cost something, in order, can be paid for; none of jobs that are refused."""
        count, left, refused = 0, budget, self.refused(budget)
        for price in (one.price for one in self.images if one.price and one.output.job not in refused):
            if price > left:
                break
            count, left = count + 1, left - price
        return count

    @property
    def counts(self) -> Counter[str]:
        """How many images, by act."""
        return Counter(one.act for one in self.images)

    @property
    def is_stale(self) -> bool:
        """Whether the next run would write any image, or fail at one. What it leaves alone is not stale."""
        return any(one.act not in ("fresh", "keep", "ignore") for one in self.images)


@dataclass(frozen=True)
class Cost:
    """What generating pictures comes to.

    Attributes:
        pictures: how many there are.
        seconds: that they take; None if it is not known of each.
        price: in US dollars, as far as it is known.
        unpriced: of how many it is not known.

    """

    pictures: int
    seconds: float | None
    price: Decimal
    unpriced: int


def sum_up(project: Project, outputs: Sequence[Output]) -> Cost:
    """Return what generating these comes to; one that is named twice is generated twice."""
    outputs = [output for output in outputs if not output.is_derived]
    estimates = estimate(project, outputs)
    times = [estimates[output.task] for output in outputs]
    seconds = None if any(one.seconds is None for one in times) else total_seconds(times)
    prices = [price(project, output) for output in outputs]
    return Cost(len(outputs), seconds, sum(filter(None, prices), Decimal(0)), prices.count(None))


def forecast_pictures(project: Project, known: Mapping[str, Output], outputs: Sequence[Output], count: int = 1) -> Cost:
    """Return what generating images again comes to, with what they are made from that the run would generate first.

    Args:
        project: whose images they are.
        known: all its outputs, by task.
        outputs: each is generated whether it is fresh or not.
        count: how often.

    Raises:
        ImagegenError: one that they are made from cannot be read.

    """
    named = {output.task for output in outputs}
    origins = {origin.task for output in outputs for origin in output.origins if origin.task in known} - named
    images = forecast(project, check_with_origins(project, known, origins), ()).images
    first = [one.output for one in images if one.act == "generate" and one.output.task not in named]
    return sum_up(project, [*first, *(output for output in outputs for _ in range(count))])


def check_with_origins(
    project: Project, known: Mapping[str, Output], tasks: Iterable[str]
) -> list[tuple[Output, Verdict]]:
    """Return how the outputs of these tasks stand, each after all that it is made from. Raises ImagegenError.

    known: all outputs, by task.
    """
    needed = dict.fromkeys(tasks)
    waiting = list(needed)
    while waiting:
        for origin in known[waiting.pop()].origins:
            if origin.task in known and origin.task not in needed:
                needed[origin.task] = None
                waiting.append(origin.task)
    unfinished: set[str] = set()
    standing = []
    with project.asking_for_models_once():
        for output in sort_by_origin([known[task] for task in needed]):
            found, verdict = project.check_freshness(project.with_decisions(output), unfinished)
            standing.append((found, verdict))
            if verdict.state not in ("fresh", "kept"):
                unfinished.add(found.task)
    return standing


def forecast(project: Project, standing: Sequence[tuple[Output, Verdict]], ignored: Collection[str]) -> Forecast:
    """Forecast what the next run would do with these outputs.

    Args:
        standing: Each output with its verdict, after those that it is made from.
        ignored: Tasks that doit passes over; what is made from them is also passed over.
    """
    ignored_by = {task: task for task in ignored}
    for output, _ in standing:
        for origin in output.origins:
            if origin.task in ignored_by:
                ignored_by.setdefault(output.task, ignored_by[origin.task])
    passed = [_pass_over(output, verdict, ignored_by) for output, verdict in standing]
    foreseen = iter(_foresee(project, [one for one, found in zip(standing, passed, strict=True) if found is None]))
    images = _fail_followers(_generate_once(found or next(foreseen) for found in passed))
    estimates = estimate(project, [one.output for one in images if one.act == "generate"])
    images = [
        replace(one, seconds=estimates[one.output.task].seconds) if one.output.task in estimates else one
        for one in images
    ]
    unknown = sum(one.seconds is None for one in estimates.values())
    return Forecast(tuple(images), total_seconds(estimates.values()), unknown)


def _pass_over(output: Output, verdict: Verdict, ignored_by: Mapping[str, str]) -> ForecastImage | None:
    """Return the forecast of an output that the run leaves as it is; None for any other."""
    if output.task in ignored_by:
        return ForecastImage(output, verdict, "ignore", ignored_by[output.task])
    if verdict.state == "fresh" or verdict.state == "kept":
        return ForecastImage(output, verdict, "fresh" if verdict.state == "fresh" else "keep")
    return None


def _foresee(project: Project, standing: Sequence[tuple[Output, Verdict]]) -> list[ForecastImage]:
    """Forecast what the run would do with each of these outputs, none of which it leaves as it is."""
    if not standing:
        return []  # else every line of every lock file is read
    stored = StoredImages(project)

    def foresee(one: tuple[Output, Verdict]) -> ForecastImage:
        output, verdict = one
        try:
            origin = _find_origin(project, stored, output, verdict)
        except ImagegenError as error:
            problem = error.problems[0]
            verdict = replace(verdict, state="blocked", note=problem.what, hint=problem.hint)
            return ForecastImage(output, verdict, "fail", failure=failure_kind(error))
        if origin is not None:
            return ForecastImage(output, verdict, "restore", origin)
        act = _choose_act(project, output, verdict)
        if act == "follow" and verdict.state == "blocked" and verdict.note == CHANGED:
            return ForecastImage(output, _explain_kept(verdict), "keep")
        if act == "keep":
            note = ACCEPTED_NOT_AVAILABLE if project.accepted(output) else RECORDED_NOT_AVAILABLE
            verdict = replace(verdict, note=note)
        cost = price(project, output) if act == "generate" else Decimal(0)
        if cost != 0 and (path := find_paid_image(project, output)):
            problem = unpaid_problem(output, path)
            verdict = replace(verdict, state="blocked", note=problem.what, hint=problem.hint)
            return ForecastImage(output, verdict, "fail", failure="paid")
        may_be_paid = cost != 0 and _may_be_paid(project, output)
        failure: FailureKind | None = "not_replaced" if act == "fail" else None
        return ForecastImage(output, verdict, act, price=cost, may_be_paid=may_be_paid, failure=failure)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool, _redirect_output():
        return list(pool.map(foresee, standing))


@contextlib.contextmanager
def _redirect_output() -> Iterator[None]:
    """Keep what a backend prints out of the forecast, which may be JSON for a program.

    In the main thread alone: two threads would each put back what the other has put there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield


def _may_be_paid(project: Project, output: Output) -> bool:
    """Whether an earlier run ended between the request of the image and its arrival."""
    with contextlib.suppress(ImagegenError, OSError):  # the run says so
        return bool(output.fingerprint) and ImageAttempt(project, output, forced=False).is_open()
    return False


def _explain_kept(verdict: Verdict) -> Verdict:
    """Say of a file that somebody changed what decides whether the run keeps it or fails."""
    changing = list_first([reason.field for reason in verdict.reasons])
    return replace(verdict, note=f"{CHANGED}; if {changing} changes, the run does not replace it, and fails")


def _choose_act(project: Project, output: Output, verdict: Verdict) -> Act:
    if verdict.reasons and all(reason.kind == "follows" for reason in verdict.reasons):
        return "follow"  # also if the file in its place may be in the way: only then is that clear
    if verdict.state == "blocked":
        return "fail"
    if _is_kept_unless_found(project, output, verdict):
        return "keep"
    return "derive" if output.is_derived else "generate"


def _find_origin(project: Project, stored: StoredImages, output: Output, verdict: Verdict) -> str | None:
    """Where the run would restore it from; None if it would not."""
    is_blocked = verdict.state == "blocked"
    if is_blocked and verdict.is_missing and project.settings.store:
        return "the shared store, if it has the accepted file"
    if not output.fingerprint or (is_blocked and verdict.line):
        return None
    accepted = project.accepted(output)
    if project.store.has(accepted or ""):
        return "the store"
    if project.has_accepted(output):
        return "git"
    is_kept = _is_kept_unless_found(project, output, verdict)
    copy = stored.find_copy(output, project.model_digest(output), only_recorded=is_kept)
    if is_kept and (accepted or copy is None):
        return "the shared store, if it has that one" if project.settings.store else None
    if copy is None or (is_blocked and not _is_in_place(project, stored, output, copy)):
        return None
    if not isinstance(copy, OutputLine):
        return "the store"
    return "git" if copy.path == output.path and verdict.is_missing else copy.path


def _is_kept_unless_found(project: Project, output: Output, verdict: Verdict) -> bool:
    """Whether the current file is kept if the image that the lock file records is not available."""
    if verdict.state != "stale":
        return False
    return project.accepted(output) is not None or (verdict.is_recorded_elsewhere and project.is_as_requested(output))


def _is_in_place(project: Project, stored: StoredImages, output: Output, copy: ImageCopy) -> bool:
    """Whether the current file, which no line records, is what would be written: the lock file was lost."""
    found = project.found(output).sha256
    try:
        image = stored.read(copy, project.store.peek) if found else None
        return image is not None and hashlib.sha256(encode_output(project, output, image)).hexdigest() == found
    except Exception:  # what cannot be encoded is not what is there
        return False


def _fail_followers(images: Iterable[ForecastImage]) -> list[ForecastImage]:
    """Have what is made from an output that fails fail with it."""
    failing: set[str] = set()
    found = []
    for one in images:
        origin = next((origin.task for origin in one.output.origins if origin.task in failing), None)
        if origin and one.act not in ("fail", "ignore"):
            verdict = replace(one.verdict, note=f"not built, because {origin} fails", hint="")
            one = replace(one, verdict=verdict, act="fail", origin="", price=Decimal(0), failure="origin")
        if one.act == "fail":
            failing.add(one.output.task)
        found.append(one)
    return found


def _generate_once(images: Iterable[ForecastImage]) -> list[ForecastImage]:
    """Of images of one fingerprint, have the first generated, and the others restored from it."""
    first: dict[str, str] = {}
    found = []
    for one in images:
        if one.act == "generate" and one.output.fingerprint:
            task = first.setdefault(one.output.fingerprint, one.output.task)
            if task != one.output.task:
                one = replace(one, act="restore", origin=task, price=Decimal(0))
        found.append(one)
    return found


def price(project: Project, output: Output) -> Decimal | None:
    """Return what generating the output costs, in US dollars; None if that is not known."""
    if output.is_derived:
        return Decimal(0)
    try:
        return project.backends[output.request.backend].price(output.request)
    except ImagegenError:  # its preflight says so
        return None


def estimate(project: Project, outputs: Iterable[Output]) -> dict[str, Estimate]:
    """Estimate by task what generating outputs takes, from earlier ones. Derived outputs take no time to speak of."""
    outputs = list(outputs)
    known = Durations(project.sample_lines() if outputs else ())
    found = {}
    for output in outputs:
        if not output.is_derived:
            request = output.request
            try:
                at_once = project.backends[request.backend].concurrency(request)
            except ImagegenError:  # its preflight says so
                at_once = 1
            found[output.task] = Estimate(known.estimate(request), request.backend, at_once)
    return found
