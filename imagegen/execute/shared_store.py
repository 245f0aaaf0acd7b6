"""One run and the shared store: what the local store lacks is looked for there, and what was made here goes up to it.

It never fails an image. What is wrong is told in one line, and from then on the shared store is left alone.
"""

from __future__ import annotations

import contextlib
import errno
import queue
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from imagegen.asking import GivenUp, within
from imagegen.config.settings import Settings, redact_user
from imagegen.errors import ImagegenError, Problem, not_written
from imagegen.execute.events import Event, ProgressEvent
from imagegen.execute.stored_images import StoredImage, store_file
from imagegen.execute.worker import InterruptibleWorker
from imagegen.images.image_file import BadImage, verify
from imagegen.plan.freshness import PLACEHOLDER, Verdict
from imagegen.plan.output import ONE_OFF, Output
from imagegen.project import JobPlan, Project
from imagegen.state.mutex import hold
from imagegen.state.shared_store import SharedEntry, SharedStore, missing_package, open_shared
from imagegen.state.store import StoreEntry

__all__ = [
    "ACCEPTED_NOT_AVAILABLE",
    "SharedStoreClient",
    "SharedStoreConnection",
    "Timeouts",
    "check_packages",
    "describe_error",
    "fetch_accepted",
    "is_shared",
    "is_unreachable",
    "push",
]


_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Timeouts:
    """Seconds. answer_s: to connect, and for each question. image_s: for one image, up or down.

    last_s: at the end of a run, for what has yet to go up.
    """

    answer_s: float = 10.0
    image_s: float = 60.0
    last_s: float = 60.0


class SharedStoreConnection:
    """Safe to share among threads. opened: opens the store. stop: the user wants it to end.

    leave: called with what went wrong in opening it.
    """

    def __init__(
        self,
        opened: Callable[[], SharedStore],
        answer_s: float,
        stop: threading.Event,
        leave: Callable[[Exception], None],
    ) -> None:
        self._opened, self._answer_s, self._stop, self._leave = opened, answer_s, stop, leave
        self.store: SharedStore | None = None
        self.is_left = False
        """Nothing more is asked or sent."""
        self._opening = threading.Lock()
        self._turns = threading.Semaphore(1)

    def ask(self, seconds: float, question: Callable[[SharedStore], _Answer]) -> _Answer:
        """Its answer. Raises GivenUp where it is not asked any more, or what went wrong."""
        store = self._open()
        while not self._turns.acquire(timeout=0.2):
            self._go_on()
        try:
            self._go_on()
            return within(seconds, lambda: question(store), self._stop.is_set)
        finally:
            self._turns.release()

    def _go_on(self) -> None:
        if self.is_left or self._stop.is_set():
            raise GivenUp

    def _open(self) -> SharedStore:
        with self._opening:
            self._go_on()
            if self.store is None:
                try:
                    store = within(self._answer_s, self._opened, self._stop.is_set)
                except GivenUp:
                    raise
                except Exception as error:
                    self._leave(error)  # before others try it too
                    raise GivenUp from None
                self._turns = threading.Semaphore(store.at_once)
                self.store = store
            return self.store


_SENDERS = 4
"""Images that go up at a time: with more, each could take too long on a thin line."""
_SILENT_S = 3.0
"""Seconds at the end of a run that need no explanation."""
_BRIEF = Timeouts(answer_s=_SILENT_S, image_s=_SILENT_S, last_s=_SILENT_S)


def is_shared(output: Output) -> bool:
    """Whether its images are: those of a job that a backend makes, but for stand-ins, which are drawn faster."""
    return not output.is_derived and output.job != ONE_OFF and output.request.backend != PLACEHOLDER


class SharedStoreClient:
    """Asks and sends, each only once there is something to ask or send. tell: called with events, from any thread.

    stop: the user wants it to end: nothing is waited for any more. is_brief: none of the run's images is shared, so
    that what waits is all there is: where that fails it costs 3 s and one line at the end, and not again for a while.
    patience: another than follows from that. opened: opens the store at an address.
    The caller holds the mutex, but not when it closes.
    """

    def __init__(
        self,
        project: Project,
        tell: Callable[[Event], None],
        stop: threading.Event,
        *,
        is_brief: bool = False,
        patience: Timeouts | None = None,
        opened: Callable[[str], SharedStore] = open_shared,
    ) -> None:
        self._project, self._tell, self._stop = project, tell, stop
        self._is_brief = is_brief
        self._patience = patience or (_BRIEF if is_brief else Timeouts())
        self._url = project.settings.store
        self._reach = SharedStoreConnection(lambda: opened(self._url), self._patience.answer_s, stop, self._leave)
        self._takes_nothing = False
        self._trouble = ""
        """What was wrong first."""
        self._is_ending = is_brief
        """What is wrong is told at the end, with what is left."""
        self._is_told = self._is_unlisted = False
        self._to_send: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._unsent = self._came_late = self._lost = 0
        self._senders: list[threading.Thread] = []
        self._changed = threading.Condition()
        is_due = project.has_pending or (project.shares and not is_brief)
        self._earlier = frozenset(earlier := project.pending.all() if is_due else [])
        for one in earlier:
            self._send_later(*one)

    def find(self, output: Output, model_digest: str | None, last: str) -> StoredImage | None:
        """An image that somebody made for this output, now in the local store too; None where there is none to be had.

        last: of several, the one of this time comes first, then the newest. One made by a model of another, known
        digest does not count. Raises OSError where the local store takes nothing.
        """
        if not output.fingerprint or not is_shared(output):
            return None
        entries = self._ask(self._patience.answer_s, lambda store: store.entries(output.fingerprint)) or []
        for entry in sorted(entries, key=lambda entry: entry.time != last):
            if model_digest and entry.model_digest and entry.model_digest != model_digest:
                continue
            data = self._fetch(entry)
            if data is not None:
                self._keep(output, entry, data)
                made = (entry.model_digest, entry.backend_version, entry.seconds, entry.time)
                return StoredImage(data, None, *made, is_shared=True)
        return None

    def fetch(self, sha256: str) -> bytes | None:
        """The file of that sha256, which somebody accepted; None where it is not to be had."""
        return self._ask(self._patience.image_s, lambda store: store.fetch(sha256))

    def add(self, entry: StoreEntry) -> None:
        """Index an image in the local store that was made here, and have it go up. Raises OSError."""
        image = (entry.fingerprint, entry.sha256)
        if self._project.shares:
            try:
                self._project.pending.add([image])
            except OSError as error:  # the image itself is kept
                self._unlisted(error)
        self._project.store.add(entry)
        if self._project.shares:
            self._send_later(*image)

    def close(self) -> None:
        """The images are made: what has yet to go up is waited for, for a time. Says what is left, and what was odd."""
        with self._changed:
            self._is_ending = True
        later = "later runs go on with that"
        last_s = self._patience.last_s
        if not self._all_sent(min(_SILENT_S, last_s)) and last_s > _SILENT_S:
            self._note(f"{self._waiting}; Ctrl-C ends the wait, and {later}")
            self._all_sent(last_s - _SILENT_S)
        with self._changed:
            left, self._reach.is_left = self._unsent, True
        if left and not self._is_told:
            why = f", which {self._trouble}" if self._trouble else ""
            self._note(f"{self._waiting}{why}; {later}, and doit store:push does at once")
        elif self._trouble and not self._is_told:
            self._note(f"{self._name} {self._trouble}")
        if self._came_late and not left:
            self._note(f"{_images(self._came_late)} that waited here went up to {self._name}")
        if self._lost:
            self._note(f".imagegen/store has lost {_images(self._lost)} that had yet to go up to {self._name}")
        if self._reach.store is not None and self._reach.store.odd:
            first, *others = self._reach.store.odd
            also = f" (and {len(others)} more)" if others else ""
            self._note(f"{self._name} has what cannot be used, and was passed over: {first}{also}")
        self._remember(is_put_off=self._is_brief and left > 0)

    def _remember(self, *, is_put_off: bool) -> None:
        """What went up; another build that is at work will know that too. What is sent twice does no harm."""
        with contextlib.suppress(OSError, ImagegenError):
            if is_put_off:
                self._project.pending.put_off()
            if self._senders:
                with hold(self._project.state, 0):
                    self._project.pending.fold()

    @property
    def unsent(self) -> int:
        """How many images have yet to go up."""
        return self._unsent

    def _all_sent(self, seconds: float) -> bool:
        """Whether there is nothing to wait for any more; waits so long for that."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._unsent or self._is_over() or self._stop.is_set(), max(0.0, seconds)
            )

    @property
    def _waiting(self) -> str:
        has = "has" if self._unsent == 1 else "have"
        return f"{_images(self._unsent)} {has} yet to go up to {self._name}"

    @property
    def _name(self) -> str:
        return f"the shared store {self._url}"

    def _is_over(self) -> bool:
        return self._reach.is_left or self._takes_nothing

    def _ask(self, seconds: float, question: Callable[[SharedStore], _Answer]) -> _Answer | None:
        """Its answer; None where there is none to be had."""
        try:
            return self._reach.ask(seconds, question)
        except GivenUp:
            return None
        except Exception as error:  # of whatever library: the image can be made here
            self._leave(error)
            return None

    def _fetch(self, entry: SharedEntry) -> bytes | None:
        """Its image, whole and sound."""

        def sound(store: SharedStore) -> bytes | None:
            data = store.fetch(entry.sha256)
            try:
                if data is not None:
                    verify(data)
            except BadImage as error:
                store.odd.append(f"{entry.sha256[:12]}… is no image: {error}")
                return None
            return data

        return self._ask(self._patience.image_s, sound)

    def _keep(self, output: Output, entry: SharedEntry, data: bytes) -> None:
        """In the local store, under what is asked for here: nothing else is taken from there."""
        store = self._project.store
        store.put(data)
        if all(known.sha256 != entry.sha256 or known.by_hand for known in store.entries(entry.fingerprint)):
            made = (entry.model_digest, entry.backend_version, entry.seconds, entry.time)
            store.add(
                StoreEntry(output.fingerprint, entry.sha256, *made, name=output.store_name, request=output.fields)
            )

    def _send_later(self, fingerprint: str, sha256: str) -> None:
        with self._changed:
            self._unsent += 1
            self._to_send.put((fingerprint, sha256))
            if len(self._senders) < _SENDERS:
                # no executor: its threads would be waited for when the process ends
                sender = threading.Thread(target=self._send_all, name="imagegen-sends", daemon=True)
                self._senders.append(sender)
                sender.start()

    def _send_all(self) -> None:
        while not self._is_over() and not self._stop.is_set():
            try:
                fingerprint, sha256 = self._to_send.get(timeout=0.2)
                self._send(fingerprint, sha256)
            except queue.Empty:
                continue
            except GivenUp:
                break
            except Exception as error:
                self._give_up(error, is_unreachable=is_unreachable(error))
                break
            self._project.pending.remove(fingerprint, sha256)
            with self._changed:
                self._unsent -= 1
                self._changed.notify_all()
        with self._changed:  # who waits for them is to look again
            self._changed.notify_all()

    def _send(self, fingerprint: str, sha256: str) -> None:
        data = self._project.store.look(sha256)
        if data is None:
            with self._changed:
                self._lost += 1
            return
        is_earlier = (fingerprint, sha256) in self._earlier
        if not fingerprint:
            self._reach.ask(self._patience.image_s, lambda store: store.put_image(sha256, data))
        else:
            known = self._project.store.entries(fingerprint)
            entry = next((one for one in known if one.sha256 == sha256 and one.is_made), None)
            if entry is None:
                return  # killed before it was indexed: it is made again
            made = (entry.model_digest, entry.backend_version, entry.seconds, entry.time)
            shared = SharedEntry(fingerprint, sha256, *made)
            if is_earlier and self._reach.ask(self._patience.answer_s, lambda store: store.has(shared, len(data))):
                return
            self._reach.ask(self._patience.image_s, lambda store: store.put(shared, data))
        with self._changed:
            self._came_late += is_earlier

    def _leave(self, error: Exception) -> None:
        """It cannot be reached: not tried again in this run."""
        self._give_up(error, is_unreachable=True)

    def _give_up(self, error: Exception, *, is_unreachable: bool) -> None:
        """Told once: now, or at the end with what is left. is_away: else it takes nothing, but may be read."""
        with self._changed:
            was_over = self._reach.is_left or (self._takes_nothing and not is_unreachable)
            self._reach.is_left, self._takes_nothing = self._reach.is_left or is_unreachable, True
            self._changed.notify_all()
            if was_over:
                return
            trouble = f"{'cannot be reached' if is_unreachable else 'takes nothing'}: {describe_error(error)}"
            self._trouble = self._trouble or trouble
            if self._is_ending:
                return
            self._is_told = True
        if is_unreachable:
            then = "this run goes on without it"
            then += ", and what it makes is kept here and goes up with a later one" if self._project.shares else ""
        else:
            then = "what is made is kept here, and goes up with a later run"
            then += " (store_writes = false where it is only to be read)"
        self._note(f"{self._name} {trouble}; {then}")

    def _unlisted(self, error: OSError) -> None:
        """Told once."""
        with self._changed:
            was_told, self._is_unlisted = self._is_unlisted, True
        if not was_told:
            what = f"what does not go up to {self._name} in this run waits for doit store:push"
            self._note(f"{not_written(error).what}: {what}")

    def _note(self, text: str) -> None:
        self._tell(ProgressEvent(None, "note", {"text": text}))


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


_AWAY = {errno.ENOENT, errno.ENOTCONN, errno.ESTALE, errno.EIO}
"""Of a folder that was mounted, and is no more."""


def check_packages(settings: Settings) -> None:
    """That what the address needs is installed. Raises ImagegenError: to generate what others have would be dear."""
    if missing := missing_package(settings.store):
        package, command = missing
        what = f"store: {settings.store} needs the package {package}, which is not installed"
        hint = f"{command}; or for now without the shared store: doit store=none"
        raise ImagegenError(Problem(settings.set_by.get("store", ""), what, hint))


def is_unreachable(error: Exception) -> bool:
    """Whether it cannot be reached; if not, it takes nothing (it is full, or closed to us), and can still be read."""
    if not isinstance(error, OSError) or isinstance(error, (TimeoutError, ConnectionError, FileNotFoundError)):
        return True
    return error.errno in _AWAY


def describe_error(error: Exception) -> str:
    """What went wrong with a shared store, in one line, without a user, a password or what was asked of a server."""
    if isinstance(error, OSError) and error.strerror and error.errno:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    first_line = next(iter(str(error).strip().splitlines()), "")
    said = re.sub(r"(://[^\s\"'?]*)\?[^\s\"']*", r"\1", redact_user(first_line))[:200]
    is_sentence = " " in said or (isinstance(error, OSError) and said)
    return said if is_sentence else ": ".join(filter(None, [type(error).__name__, said]))


ACCEPTED_NOT_AVAILABLE = "another one was accepted, which is not in the store"
"""Why an image is kept that is not the accepted one."""


def fetch_accepted(project: Project, sharing: SharedStoreClient | None, output: Output, verdict: Verdict) -> Verdict:
    """The verdict on an output whose accepted file is not here, once it was looked for there. Raises OSError.

    Where it was found it is in the local store now, from which it is restored. Else what is there is kept.
    """
    sha256 = project.accepted(output) or ""
    data = sharing.fetch(sha256) if sharing else None
    if data is None and verdict.state == "stale":
        note = f"{ACCEPTED_NOT_AVAILABLE}{', nor in the shared one' if sharing else ''}"
        hint = f"bring it, from git or a copy; or doit -a {output.task} has another one made"
        return replace(verdict, state="kept", note=note, hint=hint)
    if data is None and not sharing:
        return verdict
    if data is None:
        hint = f"doit store:push where it was accepted; or {verdict.hint}"
        return replace(verdict, note=f"{verdict.note}, nor to be had from the shared store", hint=hint)
    store_file(project, output, data, project.lock(output.job).line_of(output.path, sha256))
    return project.verdict(output)


_PUSH_PATIENCE = Timeouts(last_s=1e6)
"""As long as each image arrives, nobody is in a hurry."""


def push(project: Project, plans: list[JobPlan], attended: InterruptibleWorker) -> tuple[int, SharedStoreClient]:
    """Begin to send all that may go up; how many images that is, and what to close to wait for them.

    It is noted down first as what has yet to go up. The caller holds the mutex, but not when it closes. Raises OSError.
    """
    waiting = set(project.pending.all())
    found = {*_made(project), *_accepted(project, plans)}
    if more := sorted(found - waiting):
        project.pending.add(more)
    project.pending.resume()
    sharing = SharedStoreClient(project, attended.put, attended.stop, is_brief=True, patience=_PUSH_PATIENCE)
    return len(found | waiting), sharing


def _made(project: Project) -> Iterator[tuple[str, str]]:
    """What backends returned for jobs, but for stand-ins, as far as the local store has it still."""
    for entry in project.store.all_entries():
        is_of_job = not entry.name.startswith(f"{ONE_OFF}:") and entry.request.get("backend") != PLACEHOLDER
        if is_of_job and entry.is_made and project.store.has(entry.sha256):
            yield entry.fingerprint, entry.sha256


def _accepted(project: Project, plans: list[JobPlan]) -> Iterator[tuple[str, str]]:
    """The files that were accepted for what the images are asked for now."""
    for plan in plans:
        for output in plan.outputs:
            sha256 = project.accepted(project.with_origins(output))
            if sha256 and project.store.has(sha256):
                yield "", sha256
