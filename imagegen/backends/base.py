"""The base class of all backends, and the data that goes in and out of one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from imagegen.config.settings import Settings
from imagegen.errors import Problem
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = [
    "Backend",
    "Cancelled",
    "Context",
    "Diagnosis",
    "GeneratedImage",
    "GenerationError",
    "MayBePaidError",
    "MayBeRunningError",
    "ModelIdentity",
    "OverdueError",
    "Progress",
    "ReferenceFile",
    "Resolved",
    "ServerSlot",
    "TryAnotherServer",
    "find_reference",
]


@dataclass(frozen=True)
class GeneratedImage:
    """What a backend returns: an image file's bytes (PNG, WebP, AVIF or JPEG), and how they came about."""

    data: bytes
    facts: Mapping[str, Any] = field(default_factory=dict)
    """JSON values worth keeping, such as the device or the server's revision. The executor measures the seconds."""
    may_be_flat: bool = True
    """Whether the image may be a single flat colour. Otherwise such an image is refused."""
    any_size: bool = False
    """Whether the image may have another size than the request's, which its workflow only begins with, for example."""
    server: str = ""
    """Where it was generated, if there are several servers. It is reported if the image cannot be used."""
    on_stored: Callable[[], None] = lambda: None
    """Called once the image is in the store, or cannot be used: the backend need not keep it for another run. By then,
    the next image may be with the backend."""
    engine: str = ""
    """What generated it, such as a program, its build and its device: one line. It is recorded beside the backend's
    version in the lock file and the image, and never compared."""


@dataclass(frozen=True)
class ModelIdentity:
    """A model, and which version of it."""

    id: str
    digest: str | None = None
    """Hex; None if it cannot be known locally and cheaply."""
    files: tuple[str, ...] = ()
    """The absolute paths of all files that the digest follows from, there or not. While none of them changes, a run
    with nothing to do doesn't ask; if a digest has none, each run plans its images."""


@dataclass(frozen=True)
class Diagnosis:
    """One row of `doit doctor`."""

    ok: bool
    """Whether nothing is wrong. With a hint, it is a warning."""
    what: str
    """What was looked at."""
    found: str
    hint: str = ""
    """What to do about it, a command if there is one."""
    blocks: bool = True
    """If it is not ok: whether it keeps a job from being built."""


class ReferenceFile(NamedTuple):
    """What is known of an image file without reading all of it."""

    head: bytes
    size: int
    sha256: str
    is_pointer: bool
    """Whether it is a Git LFS pointer, whose content is not here."""


@dataclass(frozen=True)
class Context:
    """The project on this machine, for which a backend works."""

    root: Path
    settings: Settings
    read: Callable[[str], bytes]
    """Reads a file that a job's section names, by its path from the root; imagegen then notices when the file changes.
    Raises ImagegenError."""
    look: Callable[[str], ReferenceFile | None] = lambda _: None
    """Looks at such a file, and reads it only if it has changed since it was last read. None: `read` it instead."""


@dataclass(frozen=True)
class Resolved:
    """What a job's section comes to, its files read."""

    extra: Mapping[str, Any]
    """Of the requests: parameters that are not a field of Request, and whatever else `generate` needs. It holds no path
    of this machine, since a request may be generated on another one."""
    model: str | None
    """The model that the section or the settings name. None leaves it to `Backend.choose_model`."""
    only_if_given: frozenset[str] = frozenset()
    """Parameters that count only if the job gives them, since the section brings its own."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Reference images that are other outputs: their names, by their key in the section's `images`. `generate` finds
    the sha256 of each one's file in `extra["images"]`. Until it exists, `preflight` finds the name there."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Reference images that are files: their paths as the section has them, by their sha256. `Progress.file` returns
    the files of both kinds."""
    unused: frozenset[str] = frozenset()
    """Parameters that the model does not take, though the backend does with others: they don't count here."""


class GenerationError(Exception):
    """A backend could not generate one image. `problem` says why and what to do; its `where` is empty."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.problem = Problem("", what, hint)


class MayBeRunningError(GenerationError):
    """A backend gave up, but its generator may still generate the image: the next run continues this attempt.

    Raise it instead of Cancelled too, if the generator goes on: the image is then shown as cancelled.
    """


class MayBePaidError(GenerationError):
    """An image that costs something was requested, and may have been made and charged for, but it never arrived.

    For example, the connection broke while its answer was awaited. Raise it instead of Cancelled and OverdueError too,
    once the request is sent. The price then counts as spent, the user is informed, and the next run requests the image
    again, as a new attempt. If that could still collect this one, raise MayBeRunningError.

    If an image costs something (see `Backend.price`), any other GenerationError says that nothing was charged, and so
    does TryAnotherServer; but after MayBeRunningError, OverdueError, Cancelled (unless that says otherwise) and what is
    none of these it may have been charged for as well.
    """


class OverdueError(GenerationError):
    """The image's time is over. `Progress.check` raises it."""

    def __init__(self, timeout_s: float) -> None:
        hint = "raise generate.timeout_s in the job file if it only needs longer"
        super().__init__(f"not done after {timeout_s:g} s", hint)


class TryAnotherServer(Exception):  # noqa: N818 - nothing is wrong with the image
    """The server is lost, or cannot make the image: the attempt continues at another one. For a `ServerSlot` alone."""


class Cancelled(Exception):  # noqa: N818 - it is no error: the user asked for it
    """The user asked to stop; raised by `Progress.check` within a backend.

    may_be_paid: whether the image, if it costs something, may have been charged for. A backend that knows that the
    image is not requested at the moment raises it with False.
    """

    def __init__(self, *, may_be_paid: bool = True) -> None:
        super().__init__()
        self.may_be_paid = may_be_paid


def find_reference(files: Mapping[str, Path], sha256: str) -> Path:
    """Return the file of a reference image. Raises GenerationError."""
    if sha256 not in files:
        raise GenerationError(f"the reference image {sha256[:12]}… is not there", "run doit again")
    return files[sha256]


class Progress(Protocol):
    """What a backend reports to while it generates one image."""

    timeout_s: float
    """Seconds that this image may take."""

    @property
    def last_server(self) -> str:
        """The server that the open attempt was begun at last; empty if there is none."""

    def begin_attempt(self, server: str = "") -> str:
        """Return a UUID for this attempt at the image, which is on disk before this returns.

        After a kill or a MayBeRunningError, the next attempt gets the same UUID, so a backend that hands it to its
        generator finds what became of the image. After any other failure, or if the image is generated again, it is
        another one.

        Args:
            server: where the image is generated, by a name that lasts; noted on disk beside the UUID.
        """

    def file(self, sha256: str) -> Path:
        """Return where the reference image with this content is on this machine. Raises GenerationError."""

    def event(self, name: str, **facts: Any) -> None:
        """Report that something happened.

        Shown are `steps` (done, total), `waiting` (text) for what it waits for, and `note` (text) for a line that
        stays. The first two words of a `waiting` say what, the others how far that is; an empty text ends it.
        """

    def restart_clock(self) -> None:
        """Count the image's time from now: what it waited for until now was not its own."""

    def check(self) -> None:
        """Raise Cancelled or OverdueError if it is time to stop. Call it at least every 0.2 s of waiting."""

    def wait(self, seconds: float) -> None:
        """Sleep that long (seconds), raising as `check` does as soon as it is time to stop."""


class ServerSlot:
    """Room for one image at a server, as `Backend.pick_server` gives it out. release: gives the room back."""

    def __init__(
        self, generate: Callable[[Request, Progress], GeneratedImage], release: Callable[[], None] = lambda: None
    ) -> None:
        self._generate, self._release = generate, release

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Generate the image, as `Backend.generate` does. Raises TryAnotherServer too."""
        return self._generate(request, progress)

    def release(self) -> None:
        """Give the room back. Called once, after `generate` if that was called."""
        self._release()


class Backend:
    """An adapter that turns a request into an image. Subclass it: `name`, `parameters` and `generate` are needed.

    One object serves a whole run, from several threads. Planning calls `resolve` and `model_identity`. For the stale
    images, `preflight`, `prepare` and `generate` follow, and `close` at the end.
    """

    name: str
    """What a job calls it: the name of its entry point."""

    parameters: frozenset[str]
    """The request fields and options that decide the pixels: only these enter the fingerprint."""

    version: str = "1"
    """Raise it when one and the same request would give another picture; recorded, not compared."""

    options: Mapping[str, Any] = {}
    """Cerberus schema of the job's section for this backend, with the types and rules of `config.schema`."""

    model_option: str = ""
    """The option that names the model; empty if there are no models."""

    default_model: str = ""
    """The model if the job names none."""

    is_generator: bool = True
    """Whether a trained model makes the images, so that they are marked as generated."""

    context: Context
    """The project on this machine. Set before any method is called, and not yet in `__init__`."""

    @property
    def in_flight(self) -> int:
        """How many requests may be with the generator at a time (at least 1)."""
        return 1

    def resolve(self, section: Mapping[str, Any]) -> Resolved:
        """Turn a checked section into what its requests hold. Contacts nothing.

        Raises:
            ImagegenError: each problem's `where` is the key in the section that it is about.
        """
        model = section.get(self.model_option, self.default_model) if self.model_option else ""
        return Resolved({key: value for key, value in section.items() if key != self.model_option}, model)

    def recover_section(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the section that gives these recorded fields, without the model.

        Raises:
            ImagegenError: no section does, because a record does not hold everything.
        """
        return {key: value for key, value in fields.items() if key in self.options}

    def strip_local(self, request: Request) -> Request:
        """Return the request without what its job says of the job's own machine, such as an address or a folder.

        Called before it is sent to a worker of a cluster, which generates it by its own settings.
        """
        return request

    def model_identity(self, request: Request) -> ModelIdentity:
        """Return the model that would generate this request. Called in every run, for each image; contacts nothing."""
        return ModelIdentity(request.model)

    def choose_model(self, request: Request) -> str:
        """Return the only model there is, for a request whose `resolve` left it open.

        Raises:
            GenerationError: there is none, or more than one.
        """
        raise GenerationError(f"the job names no model for {request.name}", f"name it: {self.name}.{self.model_option}")

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        """Return everything that would keep these requests of one job from being generated, before any is queued."""
        del requests
        return []

    def prepare(self, requests: Sequence[Request], progress: Progress) -> Sequence[Problem]:
        """Do what comes once before these requests of one job, such as starting a server or pulling a model.

        Called after they passed preflight. Jobs are prepared side by side, in threads of their own, while images of
        other jobs are generated.

        Returns:
            The problems found; the job's images are generated only if there are none.
        """
        del requests, progress
        return []

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Generate the image.

        Raises:
            GenerationError: it cannot be generated.
            Cancelled: from `progress`, and let through.
        """
        raise NotImplementedError

    def close(self) -> None:
        """End the run: stop what `prepare` started. Called once, also if nothing was prepared."""

    def batch_key(self, request: Request) -> Hashable:
        """Return what the images have in common that are best generated one after another, such as the model.

        Called for requests that are prepared.
        """
        return request.model

    def pick_server(self, waiting: Mapping[Any, int]) -> tuple[Hashable, ServerSlot] | None:
        """Choose the next image by its batch key, and the server that generates it.

        Called whenever an image is done, and twice a second. For a backend with several servers.

        Args:
            waiting: the number of images that wait, by batch key; that of the last image comes first.

        Returns:
            One of the keys and room at a server; None if it is better to wait.
        """
        return next(iter(waiting)), ServerSlot(self.generate)

    def concurrency(self, request: Request) -> int:
        """Return how many images like this one are generated at a time (at least 1). Contacts nothing.

        Less than `in_flight` if images wait for each other at the generator: while one does, `generate` calls
        `Progress.restart_clock`.
        """
        del request
        return self.in_flight

    def price(self, request: Request) -> Decimal | None:
        """Return what generating the image costs, in US dollars: 0 for nothing, None if it costs what is not known.

        Called for the images that would be generated, also by `doit why`. Contacts nothing. A run reserves the price
        before it calls `generate`, so that it never passes the setting `budget`, and puts what `generate` returns into
        the store before anything else. An image of unknown price is refused while there is a budget.
        """
        from decimal import Decimal

        del request
        return Decimal(0)

    def explain(self, request: Request) -> Sequence[str]:
        """Return a line for each field that says what becomes of it, in a workflow for example. Contacts nothing."""
        del request
        return ()

    def diagnose(self, requests: Sequence[Request]) -> Sequence[Diagnosis]:
        """Return the rows for `doit doctor`, for these requests of all jobs (at least one).

        May contact the server; changes nothing.
        """
        rows = [Diagnosis(False, one.where, one.what, one.hint or "correct it") for one in self.preflight(requests)]
        return rows or [Diagnosis(True, "", "its preflight finds nothing wrong")]
