"""What the next run would do, and why: found out without asking a backend, and without writing anything."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from imagegen.backends.base import Backend
from imagegen.errors import ImagegenError
from imagegen.execute.build_image import RECORDED_NOT_AVAILABLE, encode_output
from imagegen.execute.shared_store import ACCEPTED_NOT_AVAILABLE
from imagegen.execute.stored_images import ImageCopy, StoredImages
from imagegen.plan.freshness import Verdict
from imagegen.plan.output import Output
from imagegen.plan.record import Durations, Estimate, total_seconds
from imagegen.plan.request import Request
from imagegen.project import Project

__all__ = [
    "ACTS",
    "Forecast",
    "ForecastImage",
    "estimate",
    "forecast",
]


ACTS = ("generate", "derive", "follow", "restore", "keep", "fail", "ignore", "fresh")
"""All that can come of an output. follow: what it is made from is yet to be made, and only then is it known whether it
is stale. fail: the file in its place must not be replaced. ignore: `doit ignore` named it."""


@dataclass(frozen=True)
class ForecastImage:
    """What the next run would do with one output, and why: see its verdict.

    act: one of ACTS. origin: of one to restore: `the store`, the path of an output that shows it already, the task of
    one that is to be generated, or the shared store, which is not asked for this; of one that is ignored, the task that
    `doit ignore` named. seconds: that its generating takes, None where that is not known.
    """

    output: Output
    verdict: Verdict
    act: str
    origin: str = ""
    seconds: float | None = None

    @property
    def is_encoded_anew(self) -> bool:
        """Whether only the file is written anew, from the image that it was made of."""
        return self.act == "restore" and self.verdict.only_encoding


@dataclass(frozen=True)
class Forecast:
    """images: each one asked for, in order. seconds: that generating takes, as far as that is known.

    unknown: of how many that are to be generated it is not known how long they take.
    """

    images: tuple[ForecastImage, ...]
    seconds: float = 0.0
    unknown: int = 0

    @property
    def counts(self) -> Counter[str]:
        """How many images, by act."""
        return Counter(one.act for one in self.images)

    @property
    def is_stale(self) -> bool:
        """Whether the next run would write any image, or fail at one. What it leaves alone is not stale."""
        return any(one.act not in ("fresh", "keep", "ignore") for one in self.images)


def forecast(project: Project, standing: Sequence[tuple[Output, Verdict]], ignored: Collection[str]) -> Forecast:
    """What the next run would do with these outputs, each with how it stands. ignored: tasks that doit passes over."""
    sources = StoredImages(project)
    passed_over = {task: task for task in ignored}
    for (
        output,
        _,
    ) in standing:  # each comes after what it is made from, without which it is passed over too
        for origin in output.origins:
            if origin.task in passed_over:
                passed_over.setdefault(output.task, passed_over[origin.task])

    def foreseen(one: tuple[Output, Verdict]) -> ForecastImage:
        output, verdict = one
        if output.task in passed_over:
            return ForecastImage(output, verdict, "ignore", passed_over[output.task])
        if verdict.state in ("fresh", "kept"):
            return ForecastImage(output, verdict, {"kept": "keep"}.get(verdict.state, verdict.state))
        try:
            origin = _origin(project, sources, output, verdict)
        except ImagegenError as error:
            problem = error.problems[0]
            return ForecastImage(
                output, replace(verdict, state="blocked", note=problem.what, hint=problem.hint), "fail"
            )
        if origin is not None:
            return ForecastImage(output, verdict, "restore", origin)
        act = _act(project, output, verdict)
        if act == "keep":
            note = ACCEPTED_NOT_AVAILABLE if project.accepted(output) else RECORDED_NOT_AVAILABLE
            verdict = replace(verdict, note=note)
        return ForecastImage(output, verdict, act)

    # what a backend prints is not to stand in the forecast, which may be JSON for a program
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool, contextlib.redirect_stdout(sys.stderr):
        images = _held_up(_each_once(pool.map(foreseen, standing)))
    taking = estimate(project, [one.output for one in images if one.act == "generate"])
    images = [
        replace(one, seconds=taking[one.output.task].seconds) if one.output.task in taking else one for one in images
    ]
    unknown = sum(one.seconds is None for one in taking.values())
    return Forecast(tuple(images), total_seconds(taking.values()), unknown)


def _act(project: Project, output: Output, verdict: Verdict) -> str:
    if verdict.reasons and all(reason.kind == "follows" for reason in verdict.reasons):
        return "follow"  # also where the file was changed by hand: whether it is kept or in the way shows then
    if verdict.state == "blocked":
        return "fail"
    if _is_only_brought(project, output, verdict):
        return "keep"
    return "derive" if output.is_derived else "generate"


def _origin(project: Project, sources: StoredImages, output: Output, verdict: Verdict) -> str | None:
    """Where the run would restore it from; None where it would not."""
    if verdict.state == "blocked" and verdict.is_missing and project.settings.store:
        return "the shared store, if it has the accepted file"
    if not output.fingerprint or (verdict.state == "blocked" and verdict.line):
        return None
    accepted = project.accepted(output)
    if project.store.has(accepted or ""):
        return "the store"
    if project.has_accepted(output):
        return "git"
    is_only_brought = _is_only_brought(project, output, verdict)
    copy = sources.foresee(output, project.model_digest(output), only_recorded=is_only_brought)
    if is_only_brought and (accepted or copy is None):
        return "the shared store, if it has that one" if project.settings.store else None
    if copy is None or (verdict.state == "blocked" and not _is_just_that(project, sources, output, copy)):
        return None
    if copy.path == output.path and verdict.is_missing:
        return "git"
    return copy.path or "the store"


def _is_only_brought(project: Project, output: Output, verdict: Verdict) -> bool:
    """Whether the file there is kept where the one that the lock file tells of is not to be had."""
    if verdict.state != "stale":
        return False
    return project.accepted(output) is not None or (verdict.is_recorded_elsewhere and project.answers(output))


def _is_just_that(project: Project, sources: StoredImages, output: Output, copy: ImageCopy) -> bool:
    """Whether the file there, of which no line says what made it, is what would be written: the lock file was lost."""
    found = project.found(output).sha256
    source = sources.look(copy) if found else None
    try:
        if source is None:
            return False
        data = source.data if source.encoding == output.encoding else encode_output(project, output, source)
        return hashlib.sha256(data).hexdigest() == found
    except Exception:  # what cannot be encoded is not what is there
        return False


def _held_up(images: Iterable[ForecastImage]) -> list[ForecastImage]:
    """With what is made from an output that fails, which fails with it. images: each after what it is made from."""
    failing: set[str] = set()
    found = []
    for one in images:
        origin = next((origin.task for origin in one.output.origins if origin.task in failing), None)
        if origin and one.act not in ("fail", "ignore"):
            verdict = replace(one.verdict, note=f"not built, because {origin} fails", hint="")
            one = replace(one, verdict=verdict, act="fail", origin="")
        if one.act == "fail":
            failing.add(one.output.task)
        found.append(one)
    return found


def _each_once(images: Iterable[ForecastImage]) -> list[ForecastImage]:
    """Of images of one fingerprint the first is generated, and the others are that one again."""
    first: dict[str, str] = {}
    found = []
    for one in images:
        if one.act == "generate" and one.output.fingerprint:
            task = first.setdefault(one.output.fingerprint, one.output.task)
            if task != one.output.task:
                one = replace(one, act="restore", origin=task)
        found.append(one)
    return found


def estimate(project: Project, outputs: Iterable[Output]) -> dict[str, Estimate]:
    """By task; without what is derived, which takes no time to speak of."""
    known = Durations(project.recorded())
    found = {}
    for output in outputs:
        if not output.is_derived:
            request = output.request
            at_once = _at_once(project.backends[request.backend], request)
            found[output.task] = Estimate(known.estimate(request), request.backend, at_once)
    return found


def _at_once(backend: Backend, request: Request) -> int:
    try:
        return backend.concurrency(request)
    except ImagegenError:  # its preflight says so
        return 1
