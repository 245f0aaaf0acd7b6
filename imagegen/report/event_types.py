"""The lines that are printed with `--json` while a command works: what each event has.

`doit schema --results` follows from these classes. A field with a default is left out where it is that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from imagegen.errors import Problem
from imagegen.report.run_summary import ImageOutcome, RunSummary

__all__ = [
    "EVENTS",
    "ImageArrived",
    "ImageOutcomeEvent",
    "ImageStarted",
    "ImageSteps",
    "ImageText",
    "ImageTimeRestarted",
    "ProgressText",
    "RunBegun",
    "RunEnded",
    "ServingAt",
    "WatchBegun",
    "WatchBuilt",
    "WatchEdit",
    "event_data",
]


@dataclass(frozen=True, kw_only=True)
class RunBegun:
    """A run begins to bring images up to date.

    Attributes:
        total: number of images that are not fresh.
        seconds_left: expected time of the run, in seconds; null if it is not known.
    """

    total: int
    seconds_left: float | None


@dataclass(frozen=True, kw_only=True)
class ImageStarted:
    """A backend begins to generate an image.

    Attributes:
        task: name of the task, such as `portraits:mallsing`.
        expected_seconds: expected time of the image, in seconds; null if it is not known.
        seconds_left: time left of the whole run, in seconds, now and then.
    """

    task: str
    expected_seconds: float | None
    seconds_left: float | None = None


@dataclass(frozen=True, kw_only=True)
class ImageSteps:
    """An image is as far as this.

    Attributes:
        task: name of the task, such as `portraits:mallsing`; empty while a job is prepared.
        job: job that is being prepared; empty for an image.
        done: number of steps done.
        total: number of all steps.
        seconds_left: time left of the whole run, in seconds, now and then.
    """

    task: str
    job: str
    done: float
    total: float
    seconds_left: float | None = None


@dataclass(frozen=True, kw_only=True)
class ImageText:
    """What an image waits for, until the next event says more (waiting); or what there is to say of it (note).

    Attributes:
        task: name of the task, such as `portraits:mallsing`; empty if the text is about a whole job or run.
        job: job that the text is about; empty otherwise.
        text: the text; empty when the image no longer waits.
        seconds_left: time left of the whole run, in seconds, now and then.
    """

    task: str
    job: str
    text: str
    seconds_left: float | None = None


@dataclass(frozen=True, kw_only=True)
class ImageTimeRestarted:
    """An image that waited for others at its server is begun only now.

    Attributes:
        task: name of the task, such as `portraits:mallsing`.
        job: always empty.
        seconds_left: time left of the whole run, in seconds, now and then.
    """

    task: str
    job: str
    seconds_left: float | None = None


@dataclass(frozen=True, kw_only=True)
class ImageArrived:
    """A backend has generated an image; its outcome follows once its file is in place.

    Attributes:
        task: name of the task, such as `portraits:mallsing`.
        seconds_left: time left of the whole run, in seconds, now and then.
    """

    task: str
    seconds_left: float | None = None


@dataclass(frozen=True, kw_only=True)
class ImageOutcomeEvent(ImageOutcome):
    """What became of an image: as the result will say it.

    Attributes:
        seconds_left: time left of the whole run, in seconds, now and then.
    """

    seconds_left: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunEnded:
    """A run has ended. The result follows; a command may have several runs."""


@dataclass(frozen=True, kw_only=True)
class ProgressText:
    """What a command does that takes its time.

    Attributes:
        text: what the command is doing, in words.
    """

    text: str


@dataclass(frozen=True, kw_only=True)
class ServingAt:
    """`doit review` answers now.

    Attributes:
        urls: addresses of the page, the best one first.
    """

    urls: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class WatchBegun:
    """`doit watch` begins.

    Attributes:
        jobs: number of watched jobs.
        stale: tasks that are out of date, and left alone until an edit changes them.
    """

    jobs: int
    stale: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class WatchEdit:
    """`doit watch` noticed an edit.

    Attributes:
        files: files that changed.
        build: tasks that are built now.
        problems: problems with the jobs, and reasons why images are not built.
    """

    files: tuple[str, ...]
    build: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, kw_only=True)
class WatchBuilt:
    """`doit watch` has built what an edit made stale: the result of that build.

    Attributes:
        exit_code: exit code of the build.
        version: version of the schema of its result.
        command: always `run`.
        problems: problems that the build met.
        result: what the build did; null if it did not get that far.
    """

    exit_code: int
    version: int
    command: str
    problems: tuple[Problem, ...]
    result: RunSummary | None


EVENTS: Mapping[str, type] = {
    "run": RunBegun,
    "started": ImageStarted,
    "steps": ImageSteps,
    "waiting": ImageText,
    "note": ImageText,
    "restarted": ImageTimeRestarted,
    "arrived": ImageArrived,
    "outcome": ImageOutcomeEvent,
    "end": RunEnded,
    "progress": ProgressText,
    "serving": ServingAt,
    "watching": WatchBegun,
    "edit": WatchEdit,
    "built": WatchBuilt,
}
"""By what the field `event` of the line says."""


def event_data(event: str, data: Any) -> dict[str, Any]:
    """Return an event as it is written. data: of its class in EVENTS."""
    shown = {one.name: getattr(data, one.name) for one in fields(data)}
    left_out = [one.name for one in fields(data) if one.default is not MISSING and shown[one.name] == one.default]
    return {"event": event, **{name: value for name, value in shown.items() if name not in left_out}}
