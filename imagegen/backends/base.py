"""The protocol of a backend, and what goes in and out of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from imagegen.config.settings import Settings
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = [
    "Backend",
    "Cancelled",
    "Context",
    "Diagnosis",
    "Diagnostic",
    "Elsewhere",
    "Explaining",
    "GeneratedImage",
    "GenerationError",
    "ModelIdentity",
    "OverdueError",
    "Place",
    "Placing",
    "Prepared",
    "Progress",
    "Queueing",
    "Recalling",
    "Relocating",
    "Resolved",
    "Resolving",
    "UnsettledError",
]


@dataclass(frozen=True)
class GeneratedImage:
    """What a backend returned: an image file's bytes (PNG, WebP or JPEG), and how they came about.

    facts: JSON values worth keeping, for example device or server revision. The executor measures the seconds.
    may_be_flat: whether one flat colour may be what was asked for; else such an image is refused.
    any_size: whether it may have another size than the request's, which then is not that of the image but of what
    it begins with; else such an image is refused.
    made_at: the place, where there are several; it is told where the image cannot be used.
    settled: called once the image is in the store, or cannot be used: what the backend kept of it until then, for a run
    after a kill, can go.
    """

    data: bytes
    facts: Mapping[str, Any] = field(default_factory=dict)
    may_be_flat: bool = True
    any_size: bool = False
    made_at: str = ""
    settled: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class ModelIdentity:
    """The model's ID, and its digest (hex) where that can be known locally and cheaply, else None."""

    id: str
    digest: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """One row of `doit doctor`: what was looked at, and what was found there.

    ok: nothing is wrong; one with a hint is a warning. hint: what to do about it, a command where there is one.
    blocks: where it is not ok, whether it keeps a job from being built.
    """

    ok: bool
    what: str
    found: str
    hint: str = ""
    blocks: bool = True


@dataclass(frozen=True)
class Context:
    """What a job's section for a backend is resolved with.

    root: the project's folder. read: the bytes of a file that the section names, its path from there; raises
    ImagegenError where it cannot be read. Files read so are watched: a change of theirs is noticed.
    """

    root: Path
    settings: Settings
    read: Callable[[str], bytes]


@dataclass(frozen=True)
class Resolved:
    """What a section comes to, its files read.

    extra: of the requests: parameters that are no field of Request, and all that `generate` needs besides.
    model: the one that the section or the settings name; None where it is to be decided, because there is only one.
    where_given: parameters that count only where the job gives them, since the section brings its own.
    origins: reference images that are other outputs, by their place in the section's `images`: the outputs' names, as
    `plan.naming.is_output_name` knows them. `generate` finds each in the request's `extra`: the sha256 of its file in
    `images`, its path in `files`. Until it is made, `preflight` finds its name in place of the sha256, and no file.
    """

    extra: Mapping[str, Any]
    model: str | None
    where_given: frozenset[str] = frozenset()
    origins: Mapping[str, str] = field(default_factory=dict)


class GenerationError(Exception):
    """A backend could not make one image. `problem` says why and how to fix it; its `where` is left empty."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.problem = Problem("", what, hint)


class UnsettledError(GenerationError):
    """The same, where the generator may have made the image or make it yet: the next attempt is this one again."""


class OverdueError(GenerationError):
    """Its time is over; raised by `Progress.check` within a backend. timeout_s: seconds that it had."""

    def __init__(self, timeout_s: float) -> None:
        hint = "raise generate.timeout_s in the job file if it only needs longer"
        super().__init__(f"not done after {timeout_s:g} s", hint)


class Elsewhere(Exception):  # noqa: N818 - nothing is wrong with the image
    """Its place was lost, or cannot make it: the same attempt goes on at another. Raised by a `Place` alone."""


class Cancelled(Exception):  # noqa: N818 - it is no error: the user asked for it
    """The user asked to stop; raised by `Progress.check` within a backend."""


class Progress(Protocol):
    """What a backend reports to while it makes one image."""

    timeout_s: float
    """Seconds that this image may take."""

    @property
    def attempt(self) -> str:
        """A UUID for this attempt at the image, on disk before it is told.

        After a kill the next attempt has the same one, so that a backend which hands it on finds what became of it.
        After a failure, and where an image is made anew, it is another; after an UnsettledError it is the same.
        """

    def attempt_at(self, place: str) -> str:
        """The same; and it is on disk by then that it is made at this place, by a name that lasts."""

    @property
    def begun_at(self) -> str:
        """The place that was told last of the attempt that is open; empty where none is open, or none was told."""

    def event(self, name: str, **facts: Any) -> None:
        """Something happened.

        What is shown: `steps` (done, total), `waiting` (text) for what it waits for, `note` (text) for a line that
        stays. The first two words of a `waiting` say what, the others how far that is; an empty text ends it.
        """

    def restart(self) -> None:
        """Its time counts from now, for the time-out and the record: what was waited for was none of its own."""

    def check(self) -> None:
        """Raise Cancelled where the user asked to stop. Call it at least every 0.2 s of waiting."""

    def wait(self, seconds: float) -> None:
        """Sleep that long (seconds), raising Cancelled as soon as the user asks to stop."""


class Backend(Protocol):
    """An adapter that turns a request into an image. One object serves a whole run, from several threads."""

    @property
    def name(self) -> str:
        """What a job calls it."""

    @property
    def version(self) -> str:
        """Changes with what it would draw or send for one and the same request; recorded, not compared."""

    @property
    def parameters(self) -> frozenset[str]:
        """The request fields that it honours: only these enter the fingerprint."""

    @property
    def options(self) -> Mapping[str, Any]:
        """Cerberus schema of the job's section for this backend, with the types and rules of `config.schema`."""

    @property
    def model_option(self) -> str:
        """The option that names the model; empty where there are no models."""

    @property
    def default_model(self) -> str:
        """The model where the job names none."""

    @property
    def in_flight(self) -> int:
        """How many requests may be with the generator at a time (at least 1)."""

    @property
    def is_generator(self) -> bool:
        """Whether its images come from a trained model, and are marked so."""

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        """All that would keep these requests of one job from being made, found before the first is queued."""

    def model_identity(self, request: Request) -> ModelIdentity:
        """The model that would draw this request. Contacts nothing."""

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Make the image. Raises GenerationError, or Cancelled from `progress`."""


@runtime_checkable
class Resolving(Protocol):
    """A backend whose section names files, or leaves things to the settings. For others, the section is the extra."""

    def resolve(self, section: Mapping[str, Any], context: Context) -> Resolved:
        """What a checked section comes to. Contacts nothing.

        Raises ImagegenError, each problem's `where` the key in the section that it is about.
        """


@runtime_checkable
class Recalling(Protocol):
    """A backend whose section says things otherwise than its requests record them. For others, options are recorded."""

    def recall(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """The section that comes to these recorded fields of its own, the model apart.

        Raises ImagegenError where none does, because a record does not hold it all.
        """


@runtime_checkable
class Relocating(Protocol):
    """A backend whose requests tell where its generator or its folder is. Of others, any machine can draw them."""

    def relocated(self, request: Request, context: Context) -> Request:
        """The request, planned on another machine, as this one draws it: by `context.settings`, in `context.root`.

        Its reference images are here already. Contacts nothing.
        """


@runtime_checkable
class Queueing(Protocol):
    """A backend whose images wait for each other at the generator. Of others, all that are in flight are drawn at once.

    While one waits so, `generate` calls `Progress.restart`.
    """

    def at_once(self, request: Request) -> int:
        """How many like this one are drawn at a time, of those in flight (at least 1). Contacts nothing."""


@runtime_checkable
class Explaining(Protocol):
    """A backend that decides where a request's fields go, in a workflow for example. For others, nothing is shown."""

    def explain(self, request: Request) -> Sequence[str]:
        """A line for each field: what becomes of it. Contacts nothing."""


@runtime_checkable
class Place(Protocol):
    """Where one image is made, of a backend that has several such places."""

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Make the image, as `Backend.generate` does. Raises Elsewhere too."""

    def leave(self) -> None:
        """The image needs it no more, made or not. Called once, after `generate` where that was called."""


@runtime_checkable
class Placing(Protocol):
    """A backend that makes images at several places, servers for example, which are not good for all images alike."""

    def group(self, request: Request) -> Hashable:
        """What the images have in common that are the same to all places. For requests that are prepared."""

    def place(self, waiting: Mapping[Any, int]) -> tuple[Hashable, Place] | None:
        """The group of which an image is next, and where it is made; None while it is better to wait.

        waiting: how many images wait of each group. It is asked again whenever an image is done, and twice a second.
        """


@runtime_checkable
class Prepared(Protocol):
    """A backend with steps that are done once, before the first image: it starts a server or pulls a model."""

    def only_model(self, request: Request) -> str:
        """The only model there is, for a request that names none. Raises GenerationError unless it is one."""

    def prepare(self, requests: Sequence[Request], progress: Progress) -> Sequence[Problem]:
        """What must be done before these requests of one job, which passed preflight; the problems found by then.

        Jobs are prepared side by side, in threads of their own, while images of others are generated.
        """

    def close(self) -> None:
        """The run is over: stop what `prepare` started."""


@runtime_checkable
class Diagnostic(Protocol):
    """A backend that has more to tell `doit doctor` than its preflight; none has to."""

    def diagnose(self, requests: Sequence[Request]) -> Sequence[Diagnosis]:
        """Its own rows, for these requests of all jobs (at least one). May contact the server; changes nothing."""
