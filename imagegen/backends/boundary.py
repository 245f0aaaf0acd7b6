"""The boundary to a backend that another package brings: whatever it does, it fails only what it is asked for.

Each member is checked against `backends.base`, and each call too: what goes in is a copy, what comes out must be what
the protocol says, and whatever is raised becomes a `BackendFaultError`, with the backend's name and the rule it broke.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib
import inspect
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from imagegen.asking import asked
from imagegen.backends.base import (
    Backend,
    Cancelled,
    Context,
    Diagnosis,
    GeneratedImage,
    GenerationError,
    MayBeRunningError,
    ModelIdentity,
    OverdueError,
    Progress,
    Resolved,
    ServerSlot,
    TryAnotherServer,
)
from imagegen.backends.rules import (
    image_data,
    image_faults,
    is_text,
    is_whole,
    member_faults,
    plain,
    problem_faults,
    resolved_faults,
    shown,
    step_faults,
)
from imagegen.errors import LONGEST, ImagegenError, Problem
from imagegen.plan.request import Request

__all__ = ["BackendFaultError", "FaultyImageError", "guard", "load"]

FIX = "fix or uninstall the package that brings it"
_CLOSING_S = 60.0

_Answer = TypeVar("_Answer")


class BackendFaultError(GenerationError, ImagegenError):
    """The backend of this name broke these rules."""

    def __init__(self, name: str, *rules: str, hint: str = FIX) -> None:
        problems = [Problem("", f"the backend {name}: {rule}", hint) for rule in rules]
        ImagegenError.__init__(self, *problems)
        self.problem = problems[0]


class _MayBeRunningFaultError(BackendFaultError, MayBeRunningError):
    """The same, where its generator may have made the image."""


class FaultyImageError(BackendFaultError):
    """An image came, which is not to be lost, though a rule was broken along with it."""

    def __init__(self, name: str, made: GeneratedImage, *rules: str) -> None:
        super().__init__(name, *rules)
        self.made = made


def load(name: str, entry: EntryPoint) -> Callable[[], object]:
    """What a package's entry point names. Raises BackendFaultError where that cannot be imported or called."""
    found: Any = _safely(name, f"{entry.value} cannot be imported", entry.load, os.getcwd())  # noqa: PTH109
    if not callable(found):
        raise BackendFaultError(name, f"its entry point names {shown(found)}, and must name a class or a function")
    make: Callable[[], object] = found
    return make


def guard(name: str, make: Callable[[], object]) -> Guarded:
    """What `make` returns, as a backend of this name. Raises BackendFaultError where it cannot be one."""
    folder = os.getcwd()  # noqa: PTH109 - a text
    backend = _safely(name, "it cannot be made", make, folder)
    if not isinstance(backend, Backend):
        rule = f"its entry point gives {shown(backend)}, and must give an object of a class that inherits from Backend"
        raise BackendFaultError(name, rule, hint="write class X(Backend), with Backend from imagegen.backends.base")
    members = _safely(name, "its members cannot be read", lambda: member_faults(name, backend), folder)
    if members:
        raise BackendFaultError(name, *members)
    return Guarded(name, backend, folder)


def _safely(name: str, doing: str, ask: Callable[[], _Answer], folder: str) -> _Answer:
    """What `ask` returns. Raises BackendFaultError with what it raises."""
    try:
        with _undisturbed(folder):
            return ask()
    except BackendFaultError:
        raise
    except _CtrlC:
        raise KeyboardInterrupt from None
    except BaseException as error:
        raise BackendFaultError(name, f"{doing}: {_words(error)}") from None


@contextlib.contextmanager
def _undisturbed(folder: str) -> Iterator[None]:
    """What is printed goes to the standard error, as far as it can be told apart; the working directory stays.

    Raises _CtrlC where the user pressed it.
    """
    try:
        if threading.current_thread() is threading.main_thread():
            with contextlib.redirect_stdout(sys.stderr), _ctrl_c_apart():
                yield
        else:
            yield
    finally:
        with contextlib.suppress(OSError):
            if os.getcwd() != folder:  # noqa: PTH109 - a text
                os.chdir(folder)


class _CtrlC(BaseException):
    """The user pressed it. A KeyboardInterrupt may be the backend's own."""


@contextlib.contextmanager
def _ctrl_c_apart() -> Iterator[None]:
    """In the main thread: raises _CtrlC for the KeyboardInterrupt that a signal had raised."""
    before = signal.getsignal(signal.SIGINT)
    pressed = []

    def interrupted(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        if callable(before):
            before(number, frame)

    if callable(before):
        signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    except KeyboardInterrupt:
        if pressed:
            raise _CtrlC from None
        raise
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def _words(error: BaseException) -> str:
    kind = type(error).__name__
    try:
        said = str(error)[:LONGEST].encode("utf-8", "backslashreplace").decode()
    except BaseException:  # its own words are somebody else's code too
        said = ""
    return f"{kind}: {said}{_place(error)}" if said else f"{kind}{_place(error)}"


def _place(error: BaseException) -> str:
    """Where in the package's own file it came from; its libraries' files say less to its author."""
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    outside = [(file, line) for file, line in frames if not file.startswith(_NOT_ITS_OWN)]
    lines = [line for file, line in outside if file == outside[0][0]]
    return f" (at {os.path.basename(outside[0][0])}:{lines[-1]})" if outside else ""  # noqa: PTH119 - a name only


_NOT_ITS_OWN = (str(Path(__file__).parents[1]), str(Path(importlib.__file__).parent), "<frozen importlib")


def _request(request: Request) -> Request:
    """A copy, which the backend may do with as it likes."""
    return replace(request, extra=copy.deepcopy(dict(request.extra)))


class Guarded(Backend):
    """A backend of another package, guarded. Its plain members are read once."""

    in_flight: int = 1
    patience_s = 5.0
    """How long `generate` or `prepare` may go on, at least, after it was to end. Then it is left behind."""

    def __init__(self, name: str, backend: Any, folder: str) -> None:
        self.name = name
        self.version: str = plain(backend.version)
        self.parameters: frozenset[str] = frozenset(map(plain, backend.parameters))
        self.options: Mapping[str, Any] = plain(backend.options)
        self.model_option: str = plain(backend.model_option)
        self.default_model: str = plain(backend.default_model)
        self.in_flight = int(backend.in_flight)
        self.is_generator: bool = backend.is_generator
        self._backend = backend
        self._folder = folder
        self._left_behind: list[Future[Any]] = []

    @property
    def has_ended(self) -> bool:
        """Whether nothing that was left behind still goes on."""
        return all(one.done() for one in self._left_behind)

    def resolve(self, section: Mapping[str, Any], context: Context) -> Resolved:
        """As `Backend.resolve`."""
        section = copy.deepcopy(dict(section))
        found: Resolved = self._call("resolve", self._backend.resolve, section, context, plans=True)
        self._check(isinstance(found, Resolved), "resolve", found, "a Resolved")
        if faults := resolved_faults(found, self.parameters):
            raise BackendFaultError(self.name, *faults)
        return _safely(
            self.name,
            "Resolved.extra cannot be copied",
            lambda: replace(
                found, extra=copy.deepcopy(dict(found.extra)), only_if_given=frozenset(found.only_if_given)
            ),
            self._folder,
        )

    def recover_section(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """As `Backend.recover_section`."""
        found = self._call("recover_section", self._backend.recover_section, copy.deepcopy(dict(fields)), plans=True)
        self._check(isinstance(found, Mapping), "recover_section", found, "a mapping")
        section: Mapping[str, Any] = _safely(self.name, "recover_section", lambda: plain(found), self._folder)
        return section

    @property
    def context(self) -> Context:
        """As `Backend.context`."""
        return self._context

    @context.setter
    def context(self, context: Context) -> None:
        self._context = context
        self._call("context", lambda: setattr(self._backend, "context", context), plans=True)

    def strip_local(self, request: Request) -> Request:
        """As `Backend.strip_local`."""
        found: Request = self._call("strip_local", self._backend.strip_local, _request(request), plans=True)
        self._check(isinstance(found, Request), "strip_local", found, "a Request")
        return found

    def concurrency(self, request: Request) -> int:
        """As `Backend.concurrency`."""
        found: int = self._call("concurrency", self._backend.concurrency, _request(request), plans=True)
        self._check(is_whole(found) and found > 0, "concurrency", found, "a whole number, at least 1")
        return int(found)

    def explain(self, request: Request) -> Sequence[str]:
        """As `Backend.explain`."""
        found: Sequence[str] = self._call("explain", self._backend.explain, _request(request))
        is_sound = isinstance(found, (list, tuple)) and all(map(is_text, found))
        self._check(is_sound, "explain", found, "a list of texts")
        return found

    def diagnose(self, requests: Sequence[Request]) -> Sequence[Diagnosis]:
        """As `Backend.diagnose`."""
        found: Sequence[Diagnosis] = self._call("diagnose", self._backend.diagnose, [_request(one) for one in requests])
        self._check(isinstance(found, (list, tuple)), "diagnose", found, "a list of Diagnosis")
        for row in found:
            self._check(isinstance(row, Diagnosis), "diagnose", row, "a list of Diagnosis")
            self._check(all(map(is_text, (row.what, row.found, row.hint))), "diagnose", row, "rows of texts")
        return found

    def choose_model(self, request: Request) -> str:
        """As `Backend.choose_model`."""
        found: str = self._call("choose_model", self._backend.choose_model, _request(request))
        self._check(is_text(found) and bool(found), "choose_model", found, "a text")
        return found

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        """As `Backend.preflight`. What is wrong with `concurrency` would else only spoil an estimate."""
        for request in requests[:1]:
            self.concurrency(request)
        found = self._call("preflight", self._backend.preflight, [_request(one) for one in requests])
        return self._problems("preflight", found, requests)

    def prepare(self, requests: Sequence[Request], progress: Progress) -> Sequence[Problem]:
        """As `Backend.prepare`."""
        checked = _CheckedProgress(progress)
        ask = functools.partial(self._backend.prepare, [_request(one) for one in requests], checked)
        found = self._problems("prepare", self._to_its_end("prepare", ask, progress), requests)
        if checked.faults:
            raise BackendFaultError(self.name, *checked.faults)
        return found

    def close(self) -> None:
        """As `Backend.close`."""
        answer = asked(functools.partial(self._call, "close", self._backend.close))
        if not wait([answer], _CLOSING_S).done:
            raise BackendFaultError(self.name, f"close did not end within {_CLOSING_S:g} s")
        answer.result()

    def batch_key(self, request: Request) -> Hashable:
        """As `Backend.batch_key`."""
        found: Hashable = self._call("batch_key", self._backend.batch_key, _request(request))
        self._check(isinstance(found, Hashable), "batch_key", found, "what can be a key")
        _safely(self.name, "batch_key", lambda: hash(found), self._folder)
        return found

    def pick_server(self, waiting: Mapping[Any, int]) -> tuple[Hashable, ServerSlot] | None:
        """As `Backend.pick_server`."""
        found: Any = self._call("pick_server", self._backend.pick_server, dict(waiting))
        if found is None:
            return None
        is_sound = isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], ServerSlot)
        must = "None, or one of the batch keys and a ServerSlot"
        self._check(is_sound and found[0] in waiting, "pick_server", found, must)
        return found[0], _GuardedSlot(self, found[1])

    def model_identity(self, request: Request) -> ModelIdentity:
        """As `Backend.model_identity`."""
        found = self._call("model_identity", self._backend.model_identity, _request(request), plans=True)
        self._check(isinstance(found, ModelIdentity), "model_identity", found, "a ModelIdentity")
        self._check(is_text(found.id), "ModelIdentity.id", found.id, "a text")
        is_hex = found.digest is None or (
            is_text(found.digest) and set(found.digest.lower()) <= set("0123456789abcdef")
        )
        self._check(is_hex and found.digest != "", "ModelIdentity.digest", found.digest, "hexadecimal digits, or None")
        return ModelIdentity(plain(found.id), plain(found.digest))

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """As `Backend.generate`. Raises FaultyImageError too."""
        return self._image("generate", self._backend.generate, request, progress)

    def _image(
        self, doing: str, ask: Callable[..., Any], request: Request, progress: Progress, *, may_move: bool = False
    ) -> GeneratedImage:
        if not self.has_ended:
            raise BackendFaultError(
                self.name, f"{doing} is still busy with an earlier image, which it did not end in time"
            )
        checked = _CheckedProgress(progress)
        try:
            ask = functools.partial(ask, _request(request), checked)
            found = self._to_its_end(doing, ask, progress, may_move=may_move)
        except BackendFaultError:
            if checked.not_written is not None:
                raise checked.not_written from None
            raise
        if inspect.iscoroutine(found):
            found.close()
        data = _safely(self.name, f"what {doing} returned cannot be read", lambda: image_data(found), self._folder)
        faults, facts = image_faults(doing, found)
        if data is None:
            raise BackendFaultError(self.name, *faults)
        if faults := [*faults, *checked.faults]:
            raise FaultyImageError(self.name, GeneratedImage(data), *faults)
        once = [found.on_stored]

        def on_stored() -> None:
            if once:
                self._call("GeneratedImage.on_stored", once.pop())

        server: str = plain(found.server)
        return GeneratedImage(data, facts, found.may_be_flat, found.any_size, server, on_stored)

    def _to_its_end(self, doing: str, ask: Callable[[], Any], progress: Progress, *, may_move: bool = False) -> Any:
        """What it returns; left behind where it goes on though it was asked to end, or its time is over."""
        answer = asked(functools.partial(self._call, doing, ask, may_cancel=progress, may_move=may_move))
        while not answer.done():
            wait([answer], 0.2)
            try:
                progress.check()
            except (Cancelled, OverdueError) as over:
                late_s = max(self.patience_s, progress.timeout_s / 10 if isinstance(over, OverdueError) else 0)
                if wait([answer], late_s).done:
                    break
                self._left_behind.append(answer)
                if isinstance(over, Cancelled):
                    raise
                rule = (
                    f"{doing} did not end, though its {progress.timeout_s:g} s were over: it never asks progress.check"
                )
                raise BackendFaultError(self.name, rule) from None
        return answer.result()

    def _call(
        self,
        doing: str,
        ask: Callable[..., _Answer],
        *given: Any,
        plans: bool = False,
        may_cancel: Progress | None = None,
        may_move: bool = False,
    ) -> _Answer:
        """What it returns. plans: in planning, where what cannot be is an ImagegenError.

        Raises GenerationError and ImagegenError as the backend does where they are sound, Cancelled where the user did
        ask for it, Elsewhere where it may; for all else BackendFaultError.
        """
        try:
            with _undisturbed(self._folder):
                return ask(*given)
        except _CtrlC:
            raise KeyboardInterrupt from None
        except BaseException as error:
            if isinstance(error, TryAnotherServer) and may_move:
                raise
            if isinstance(error, Cancelled) and may_cancel is not None:
                may_cancel.check()
                raise BackendFaultError(
                    self.name, f"{doing} raised Cancelled, though nobody asked it to stop"
                ) from None
            problems = getattr(error, "problems", None) or [getattr(error, "problem", None)]
            is_known = isinstance(error, (GenerationError, ImagegenError))
            if is_known and not problem_faults(doing, list(problems)):
                if plans and not isinstance(error, ImagegenError):
                    raise ImagegenError(*problems) from None
                raise
            kind = (
                _MayBeRunningFaultError if isinstance(error, OSError) and may_cancel is not None else BackendFaultError
            )
            raise kind(self.name, f"{doing} raised {_words(error)}") from None

    def _check(self, holds: bool, of: str, found: object, must: str) -> None:
        if not holds:
            if inspect.iscoroutine(found):
                found.close()
            raise BackendFaultError(self.name, f"{of} returned {shown(found)}, and must return {must}")

    def _problems(self, doing: str, found: Any, requests: Sequence[Request]) -> list[Problem]:
        """The problems, each of one of these requests or of all of them."""
        self._check(isinstance(found, (list, tuple)), doing, found, "a list of Problem")
        if faults := problem_faults(doing, found):
            raise BackendFaultError(self.name, *faults)
        names = {"", *(request.name for request in requests)}
        return [one if one.where in names else Problem("", f"{one.where}: {one.what}", one.hint) for one in found]


class _CheckedProgress:
    """Progress whose events make sense; the others are not shown, and are `faults`."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.timeout_s = progress.timeout_s
        self.faults: list[str] = []
        self.not_written: OSError | None = None

    def begin_attempt(self, server: str = "") -> str:
        """That the disk is full is no fault of a backend that asks for an attempt."""
        try:
            return self._progress.begin_attempt(server)
        except OSError as error:
            self.not_written = error
            raise

    @property
    def last_server(self) -> str:
        return self._progress.last_server

    def file(self, sha256: str) -> Path:
        return self._progress.file(sha256)

    def event(self, name: str, **facts: Any) -> None:
        if fault := step_faults(name, facts):
            self.faults = self.faults or [fault]
            self._progress.check()
        else:
            self._progress.event(name, **facts)

    def restart_clock(self) -> None:
        self._progress.restart_clock()

    def check(self) -> None:
        self._progress.check()

    def wait(self, seconds: float) -> None:
        self._progress.wait(seconds)


class _GuardedSlot(ServerSlot):
    """Room at a server of a guarded backend."""

    def __init__(self, guarded: Guarded, slot: ServerSlot) -> None:
        self._guarded, self._slot = guarded, slot

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """As `ServerSlot.generate`."""
        return self._guarded._image("generate", self._slot.generate, request, progress, may_move=True)

    def release(self) -> None:
        """As `ServerSlot.release`."""
        self._guarded._call("ServerSlot.release", self._slot.release)
