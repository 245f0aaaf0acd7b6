"""What a program hears while its images are built. What becomes of each is an `ImageOutcome`."""

from __future__ import annotations

from dataclasses import dataclass

from imagegen.execute.events import Arrived as ArrivedOutput
from imagegen.execute.events import Event as RunEvent
from imagegen.execute.events import Outcome, ProgressEvent
from imagegen.report.run_summary import FindPlace, ImageOutcome, summarise_images

__all__ = ["Arrived", "Begun", "Event", "Note", "Started", "Steps", "as_public_event"]


@dataclass(frozen=True)
class Begun:
    """The run begins.

    Attributes:
        total: images that are not fresh. An `ImageOutcome` follows for each.
    """

    total: int


@dataclass(frozen=True)
class Started:
    """The backend begins to generate an image.

    Attributes:
        task: its name, `portraits:mallsing`.
        path: its file, in the project.
    """

    task: str
    path: str


@dataclass(frozen=True)
class Steps:
    """How far the backend is with an image.

    Attributes:
        task: its name.
        done: steps of sampling that are done.
        total: steps there are.
    """

    task: str
    done: int
    total: int


@dataclass(frozen=True)
class Note:
    """What there is to know meanwhile: what an image or a job waits for, say.

    Attributes:
        task: the image that it is about; empty if it is about none.
        job: the job that it is about; empty if it is about none.
        text: a line for a person.
    """

    task: str
    job: str
    text: str


@dataclass(frozen=True)
class Arrived:
    """The backend has generated an image. Its outcome follows once it is verified, stored and in place.

    Attributes:
        task: its name.
        path: its file, in the project.
    """

    task: str
    path: str


Event = Begun | Started | Steps | Note | Arrived | ImageOutcome


def as_public_event(event: RunEvent, find_place: FindPlace) -> Event | None:
    """Return an event of a run for a program; None for those that mean something to us alone.

    find_place: finds where its image comes from.
    """
    if isinstance(event, Outcome):
        return summarise_images([event], find_place, with_fresh=True)[0]
    if not isinstance(event, ProgressEvent):
        kind = Arrived if isinstance(event, ArrivedOutput) else Started
        return kind(event.output.task, event.output.path)
    task = event.output.task if event.output else ""
    if event.name in ("note", "waiting"):
        return Note(task, event.job or (event.output.job if event.output else ""), str(event.facts.get("text", "")))
    done, total = event.facts.get("done"), event.facts.get("total")
    if event.name == "steps" and isinstance(done, int) and isinstance(total, int):
        return Steps(task, done, total)
    return None
