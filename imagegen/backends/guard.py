"""The guard around a backend that another package brings: whatever it does, it fails only its own jobs.

Each member and each call is checked against `backends.base`: what goes in is a copy, what comes out must be what the
base class says, and whatever is raised becomes a `BackendFaultError` with the backend's name and the rule it broke.
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

from imagegen.backends.base import (
    Backend,
    Cancelled,
    Context,
    GeneratedImage,
    GenerationError,
    MayBeRunningError,
    OverdueError,
    Progress,
    ServerSlot,
    TryAnotherServer,
)
from imagegen.backends.rules import (
    BrokenRuleError,
    check,
    check_count,
    check_identity,
    check_key,
    check_price,
    check_problems,
    check_resolved,
    check_rows,
    check_texts,
    event_fault,
    find_data,
    image_faults,
    is_text,
    member_faults,
    plain,
    problem_fault,
    shown,
)
from imagegen.calls import run_in_daemon_thread
from imagegen.errors import LONGEST, ImagegenError, Problem
from imagegen.plan.request import Request

__all__ = ["BackendFaultError", "FaultyImageError", "Guarded", "guard", "load", "with_defaults"]


FIX = "fix or uninstall the package that brings it"
_EARLIER = "it was written for an earlier release of imagegen: see docs/backends.md"
_RENAMED = {
    "at_once": "concurrency",
    "group": "batch_key",
    "only_model": "choose_model",
    "place": "pick_server",
    "recall": "recover_section",
    "relocated": "strip_local",
}
"""The methods that a backend could have in earlier releases, and what replaces them."""
_OLD_ARGUMENTS = ("made_at", "mend", "settled", "where_given")
_OLD_PROGRESS = ("attempt", "attempt_at", "begun_at", "restart")
_CLOSING_S = 60.0

_Answer = TypeVar("_Answer")


class BackendFaultError(GenerationError, ImagegenError):
    """The backend of this name broke these rules."""

    def __init__(self, name: str, *rules: str, hint: str = FIX) -> None:
        problems = [Problem("", f"the backend {name}: {rule}", hint) for rule in rules]
        ImagegenError.__init__(self, *problems)
        self.problem = problems[0]


class _MayBeRunningFaultError(BackendFaultError, MayBeRunningError):
    """A rule was broken, but the generator may have generated the image."""


class FaultyImageError(BackendFaultError):
    """A rule was broken, but an image came along with it, which must not be lost."""

    def __init__(self, name: str, made: GeneratedImage, *rules: str) -> None:
        super().__init__(name, *rules)
        self.made = made


def load(name: str, entry: EntryPoint) -> Callable[[], object]:
    """Return what a package's entry point names. Raises BackendFaultError if it cannot be imported or called."""
    found: Any = _run(name, f"{entry.value} cannot be imported", entry.load, os.getcwd())  # noqa: PTH109
    if not callable(found):
        raise BackendFaultError(name, f"its entry point names {shown(found)}, and must name a class or a function")
    make: Callable[[], object] = found
    return make


def guard(name: str, make: Callable[[], object]) -> Guarded:
    """Return what `make` does, as a guarded backend of this name. Raises BackendFaultError if it cannot be one."""
    folder = os.getcwd()  # noqa: PTH109 - a text
    backend = with_defaults(_run(name, "it cannot be made", make, folder))
    if not isinstance(backend, Backend):
        rule = f"its entry point gives {shown(backend)}, and must give an object of a class that inherits from Backend"
        raise BackendFaultError(name, rule, hint="write class X(Backend), with Backend from imagegen.backends.base")
    old, new = _run(name, "its members cannot be read", lambda: _find_old_members(backend), folder)
    if old:
        rule = f"it was written for an earlier release of imagegen: {', '.join(old)}"
        raise BackendFaultError(name, rule, hint=f"{'; '.join(new)}: see docs/backends.md")
    members = _run(name, "its members cannot be read", lambda: member_faults(name, backend), folder)
    if members:
        raise BackendFaultError(name, *members)
    return Guarded(name, backend, folder)


def with_defaults(plug_in: Any) -> Any:
    """Return a backend. If its class does not inherit from Backend, as in earlier releases, it gets the defaults."""
    kind = type(plug_in)
    if not isinstance(plug_in, Backend) and not inspect.isclass(plug_in):
        with contextlib.suppress(TypeError):  # a text, for example, cannot get another class
            plug_in.__class__ = type(kind.__name__, (kind, Backend), {})
    return plug_in


def _find_old_members(backend: Backend) -> tuple[list[str], list[str]]:
    """Return what a backend has of an earlier release, which nothing would call, and what to do about each.

    A method whose successor is there too may stay: it is for both releases.
    """
    old, new = [], []
    for member, successor in _RENAMED.items():
        has_successor = getattr(type(backend), successor) is not getattr(Backend, successor)
        if callable(getattr(backend, member, None)) and not has_successor:
            old.append(f"it has the method {member}")
            new.append(f"rename {member} to {successor}")
    with contextlib.suppress(TypeError, ValueError):  # not a function, or written in C
        needed = [
            one
            for one in inspect.signature(backend.resolve).parameters.values()
            if one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
        ]
        if len(needed) == 2:
            old.append("its resolve takes (section, context)")
            new.append("write resolve(self, section), and use self.context in it")
    return old, new


def _run(name: str, doing: str, ask: Callable[[], _Answer], folder: str) -> _Answer:
    """Return what `ask` does. Raises BackendFaultError with what it raises."""
    try:
        with _undisturbed(folder):
            return ask()
    except BackendFaultError:
        raise
    except _CtrlC:
        raise KeyboardInterrupt from None
    except BaseException as error:
        raise BackendFaultError(name, f"{doing}: {_describe(error)}", hint=_find_hint(error)) from None


@contextlib.contextmanager
def _undisturbed(folder: str) -> Iterator[None]:
    """Send what is printed to the standard error, in the main thread, and keep the working directory.

    Raises _CtrlC if the user pressed it.
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
    """Raise _CtrlC for a KeyboardInterrupt that a signal raised. In the main thread alone."""
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


def _describe(error: BaseException) -> str:
    kind = type(error).__name__
    try:
        said = str(error)[:LONGEST].encode("utf-8", "backslashreplace").decode()
    except BaseException:  # its own words are somebody else's code too
        said = ""
    return f"{kind}: {said}{_locate(error)}" if said else f"{kind}{_locate(error)}"


def _find_hint(error: BaseException) -> str:
    """Return what to do: a backend for an earlier release uses names that are gone."""
    is_old = False
    if isinstance(error, AttributeError):
        is_old = error.name in _OLD_PROGRESS and hasattr(type(error.obj), "begin_attempt")
    elif isinstance(error, TypeError):
        said = _describe(error)
        is_old = any(f"unexpected keyword argument '{one}'" in said for one in _OLD_ARGUMENTS)
    return _EARLIER if is_old else FIX


def _locate(error: BaseException) -> str:
    """Say where in the package's own file it came from, which says more to its author than a library's file."""
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    outside = [(file, line) for file, line in frames if not file.startswith(_NOT_ITS_OWN)]
    lines = [line for file, line in outside if file == outside[0][0]]
    return f" (at {os.path.basename(outside[0][0])}:{lines[-1]})" if outside else ""  # noqa: PTH119 - a name only


_NOT_ITS_OWN = (str(Path(__file__).parents[1]), str(Path(importlib.__file__).parent), "<frozen importlib")


def _copy(given: Any) -> Any:
    """Return a copy of what a method is called with, which the backend may do with as it likes."""
    if isinstance(given, Request):
        return replace(given, extra=copy.deepcopy(dict(given.extra)))
    if isinstance(given, Mapping):
        return copy.deepcopy(dict(given))
    return [_copy(one) for one in given] if isinstance(given, Sequence) else given


def _checked(method: str, check_answer: Callable[..., Any], *, plans: bool = False) -> Any:
    """Return a method of `Guarded`: it calls the backend's own with copies, and checks what that returns.

    Args:
        check_answer: gets the answer, the guarded backend, and what the method was called with.
        plans: the method is called while planning: see `Guarded._call`.

    """

    def call(self: Guarded, *given: Any) -> Any:
        found = self._call(method, getattr(self._backend, method), *map(_copy, given), plans=plans)
        return self._take(method, found, lambda: check_answer(found, self, *given))

    return call


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

    @property
    def context(self) -> Context:
        """As `Backend.context`."""
        return self._context

    @context.setter
    def context(self, context: Context) -> None:
        self._context = context
        self._call("context", lambda: setattr(self._backend, "context", context), plans=True)

    resolve = _checked("resolve", lambda found, self, *_: check_resolved(found, self.parameters), plans=True)
    recover_section = _checked(
        "recover_section", lambda found, *_: plain(check(found, Mapping, "a mapping")), plans=True
    )
    strip_local = _checked("strip_local", lambda found, *_: check(found, Request, "a Request"), plans=True)
    model_identity = _checked("model_identity", lambda found, *_: check_identity(found), plans=True)
    concurrency = _checked("concurrency", lambda found, *_: check_count(found), plans=True)
    price = _checked("price", lambda found, *_: check_price(found), plans=True)
    choose_model = _checked("choose_model", lambda found, *_: check(found, str, "a text", is_text(found) and found))
    batch_key = _checked("batch_key", lambda found, *_: check_key(found))
    explain = _checked("explain", lambda found, *_: check_texts(found))
    diagnose = _checked("diagnose", lambda found, *_: check_rows(found))

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        """As `Backend.preflight`. What is wrong with `concurrency` would else only spoil an estimate."""
        for request in requests[:1]:
            self.concurrency(request)
        found = self._call("preflight", self._backend.preflight, _copy(requests))
        return self._take("preflight", found, lambda: check_problems("preflight", found, requests))

    def prepare(self, requests: Sequence[Request], progress: Progress) -> Sequence[Problem]:
        """As `Backend.prepare`."""
        checked = _CheckedProgress(progress)
        ask = functools.partial(self._backend.prepare, _copy(requests), checked)
        found = self._wait("prepare", ask, progress)
        if checked.faults:
            raise BackendFaultError(self.name, *checked.faults)
        return self._take("prepare", found, lambda: check_problems("prepare", found, requests))

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """As `Backend.generate`. Raises FaultyImageError too."""
        return self.generate_by("generate", self._backend.generate, request, progress)

    def pick_server(self, waiting: Mapping[Any, int]) -> tuple[Hashable, ServerSlot] | None:
        """As `Backend.pick_server`."""
        found: Any = self._call("pick_server", self._backend.pick_server, dict(waiting))
        if found is None:
            return None
        is_sound = isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], ServerSlot)
        must = "None, or one of the batch keys and a ServerSlot"
        self._take("pick_server", found, lambda: check(found, tuple, must, is_sound and found[0] in waiting))
        return found[0], _GuardedSlot(self, found[1])

    def close(self) -> None:
        """As `Backend.close`."""
        answer = run_in_daemon_thread(functools.partial(self._call, "close", self._backend.close))
        if not wait([answer], _CLOSING_S).done:
            raise BackendFaultError(self.name, f"close did not end within {_CLOSING_S:g} s")
        answer.result()

    def generate_by(
        self, doing: str, ask: Callable[..., Any], request: Request, progress: Progress, *, may_move: bool = False
    ) -> GeneratedImage:
        """Have `ask` generate the image: the backend, or room at one of its servers. Raises as `generate` does."""
        if not self.has_ended:
            rule = f"{doing} is still busy with an earlier image, which it did not end in time"
            raise BackendFaultError(self.name, rule)
        checked = _CheckedProgress(progress)
        try:
            found = self._wait(doing, functools.partial(ask, _copy(request), checked), progress, may_move=may_move)
        except BackendFaultError:
            if checked.not_written is not None:
                raise checked.not_written from None
            raise
        if inspect.iscoroutine(found):
            found.close()
        data = _run(self.name, f"what {doing} returned cannot be read", lambda: find_data(found), self._folder)
        faults, facts = image_faults(doing, found)
        if data is None:
            raise BackendFaultError(self.name, *faults)
        if faults := [*faults, *checked.faults]:
            raise FaultyImageError(self.name, GeneratedImage(data), *faults)
        once = [found.on_stored]

        def on_stored() -> None:
            if once:
                self._call("GeneratedImage.on_stored", once.pop())

        return GeneratedImage(
            data, facts, found.may_be_flat, found.any_size, plain(found.server), on_stored, plain(found.engine)
        )

    def _wait(self, doing: str, ask: Callable[[], Any], progress: Progress, *, may_move: bool = False) -> Any:
        """Return what `ask` does; leave it behind if it goes on though it was cancelled, or its time is over."""
        answer = run_in_daemon_thread(functools.partial(self._call, doing, ask, progress=progress, may_move=may_move))
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
                time = f"{progress.timeout_s:g} s"
                rule = f"{doing} did not end, though its {time} were over: it never asks progress.check"
                raise BackendFaultError(self.name, rule) from None
        return answer.result()

    def _take(self, doing: str, found: object, check: Callable[[], _Answer]) -> _Answer:
        """Return what `check` makes of an answer. Raises BackendFaultError with the rule that it names."""
        try:
            return check()
        except BrokenRuleError as broken:
            rules = broken.rules or (f"{doing} returned {broken}",)
        except Exception as error:  # a mapping of its own, for example, can raise anything
            rules = (f"{doing} returned {shown(found)}, which cannot be read: {_describe(error)}",)
        if inspect.iscoroutine(found):
            found.close()
        raise BackendFaultError(self.name, *rules)

    def _call(
        self,
        doing: str,
        ask: Callable[..., _Answer],
        *given: Any,
        plans: bool = False,
        progress: Progress | None = None,
        may_move: bool = False,
    ) -> _Answer:
        """Return what `ask` does.

        Args:
            plans: it is asked while planning, and raises ImagegenError if that is impossible.
            progress: of an image, if it may raise Cancelled.
            may_move: it may raise TryAnotherServer.

        Raises:
            GenerationError, ImagegenError: as the backend does, if they are sound.
            BackendFaultError: it raised anything else.
        """
        try:
            with _undisturbed(self._folder):
                return ask(*given)
        except _CtrlC:
            raise KeyboardInterrupt from None
        except BaseException as error:
            if isinstance(error, TryAnotherServer) and may_move:
                raise
            if isinstance(error, Cancelled) and progress is not None:
                try:
                    progress.check()
                except Cancelled:
                    raise error from None  # it may say that nothing was charged for
                rule = f"{doing} raised Cancelled, though nobody asked it to stop"
                raise BackendFaultError(self.name, rule) from None
            problems = getattr(error, "problems", None) or [getattr(error, "problem", None)]
            is_known = isinstance(error, (GenerationError, ImagegenError))
            if is_known and not problem_fault(doing, list(problems)):
                if plans and not isinstance(error, ImagegenError):
                    raise ImagegenError(*problems) from None
                raise
            is_open = isinstance(error, OSError) and progress is not None
            kind = _MayBeRunningFaultError if is_open else BackendFaultError
            raise kind(self.name, f"{doing} raised {_describe(error)}", hint=_find_hint(error)) from None


class _GuardedSlot(ServerSlot):
    """Room at a server of a guarded backend."""

    def __init__(self, guarded: Guarded, slot: ServerSlot) -> None:
        self._guarded, self._slot = guarded, slot

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """As `ServerSlot.generate`."""
        return self._guarded.generate_by("generate", self._slot.generate, request, progress, may_move=True)

    def release(self) -> None:
        """As `ServerSlot.release`."""
        self._guarded._call("ServerSlot.release", self._slot.release)


class _CheckedProgress:
    """Progress whose events make sense; the others are not shown, and are `faults`."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.faults: list[str] = []
        self.not_written: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._progress, name)

    def begin_attempt(self, server: str = "") -> str:
        """Begin an attempt. If the disk is full, note that: it is not the backend's fault."""
        try:
            return self._progress.begin_attempt(server)
        except OSError as error:
            self.not_written = error
            raise

    def event(self, name: str, **facts: Any) -> None:
        if fault := event_fault(name, facts):
            self.faults = self.faults or [fault]
            self._progress.check()
        else:
            self._progress.event(name, **facts)
