"""One run and the shared store: what the local store lacks is looked for there, and what was made here goes up to it.

It never fails an image. What is wrong is told in one line, and from then on the shared store is left alone.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from imagegen.config.settings import Settings
from imagegen.config.store_url import without_user
from imagegen.errors import ImagegenError, Problem
from imagegen.execute.outcome import Event, Happened
from imagegen.execute.sources import Source
from imagegen.images.verification import BadImage, verify
from imagegen.plan.freshness import PLACEHOLDER
from imagegen.plan.output import ONE_OFF, Output
from imagegen.project import Project
from imagegen.state.shared import SharedEntry, SharedStore
from imagegen.state.shared_places import missing_package, open_shared
from imagegen.state.store import StoreEntry
from imagegen.state.within import GivenUp, within

__all__ = ["Patience", "Sharing", "check_packages", "is_shared", "words_of"]

_Answer = TypeVar("_Answer")
_SENDERS = 4
"""Images that go up at a time: with more, each could take too long on a thin line."""
_SILENT_S = 2.0
"""Seconds at the end of a run that need no explanation."""


@dataclass(frozen=True)
class Patience:
    """Seconds. answer_s: to connect, and for each question. image_s: for one image, up or down.

    last_s: at the end of a run, for what has yet to go up.
    """

    answer_s: float = 10.0
    image_s: float = 60.0
    last_s: float = 60.0


_PATIENCE = Patience()


def is_shared(output: Output) -> bool:
    """Whether its images are: those of a job that a backend makes, but for stand-ins, which are drawn faster."""
    return not output.is_derived and output.job != ONE_OFF and output.request.backend != PLACEHOLDER


def check_packages(settings: Settings) -> None:
    """That what the address needs is installed. Raises ImagegenError: to generate what others have would be dear."""
    if missing := missing_package(settings.store):
        package, command = missing
        what = f"store: {settings.store} needs the package {package}, which is not installed"
        mend = f"{command}; or for now without the shared store: doit store=none"
        raise ImagegenError(Problem(settings.sources.get("store", ""), what, mend))


class Sharing:
    """Asks and sends, each only once there is something to ask or send. tell: called with events, from any thread.

    stop: the user wants it to end: nothing is waited for any more. opened: opens the store at an address.
    """

    def __init__(
        self,
        project: Project,
        tell: Callable[[Event], None],
        stop: threading.Event,
        *,
        opened: Callable[[str], SharedStore] = open_shared,
        patience: Patience = _PATIENCE,
    ) -> None:
        self._project, self._tell, self._stop = project, tell, stop
        self._opened, self._patience = opened, patience
        self._url, self._writes = project.settings.store, project.settings.store_writes
        self._store: SharedStore | None = None
        self._opening = threading.Lock()
        self._is_left = False
        """Nothing more is asked or sent."""
        self._takes_nothing = False
        self._turns = threading.Semaphore(1)
        self._to_send: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._unsent = 0
        self._senders: list[threading.Thread] = []
        self._changed = threading.Condition()
        earlier = project.pending.all() if self._writes else []
        self._earlier = len(earlier)
        for one in earlier:
            self._send_later(*one)

    def find(self, output: Output, model_digest: str | None, last: str) -> Source | None:
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
                return Source(data, None, *made, is_shared=True)
        return None

    def add(self, entry: StoreEntry) -> None:
        """Index an image in the local store that was made here, and have it go up. Raises OSError."""
        if not self._writes:
            self._project.store.add(entry)
            return
        self._project.pending.add(entry.fingerprint, entry.sha256)
        self._project.store.add(entry)
        self._send_later(entry.fingerprint, entry.sha256)

    def close(self) -> None:
        """The images are made: what has yet to go up is waited for, for a time. Says what is left, and what was odd."""
        if not self._all_sent(_SILENT_S):
            self._note(f"{_images(self._unsent)} on the way to {self._name}; Ctrl-C leaves that to the next run")
            self._all_sent(self._patience.last_s - _SILENT_S)
        if self._unsent and not self._is_over():
            self._note(f"{_images(self._unsent)} not in {self._name} yet; the next run goes on with that")
        elif self._earlier and not self._unsent:
            self._note(f"{_images(self._earlier)} in {self._name} now, kept here by earlier runs until now")
        self._is_left = True
        if self._store is not None and self._store.odd:
            first, *others = self._store.odd
            also = f" (and {len(others)} more)" if others else ""
            self._note(f"{self._name} has what cannot be used, and was passed over: {first}{also}")
        with contextlib.suppress(OSError):  # what is sent twice does no harm
            self._project.pending.fold()

    def _all_sent(self, seconds: float) -> bool:
        """Whether there is nothing to wait for any more; waits so long for that."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._unsent or self._is_over() or self._stop.is_set(), max(0.0, seconds)
            )

    @property
    def _name(self) -> str:
        return f"the shared store {self._url}"

    def _is_over(self) -> bool:
        return self._is_left or self._takes_nothing

    def _ask(self, seconds: float, question: Callable[[SharedStore], _Answer]) -> _Answer | None:
        """Its answer; None where there is none to be had."""
        try:
            return self._in_turn(seconds, question)
        except GivenUp:
            return None
        except Exception as error:  # of whatever library: the image can be made here
            self._leave(error)
            return None

    def _in_turn(self, seconds: float, question: Callable[[SharedStore], _Answer]) -> _Answer:
        """Raises GivenUp where it is not asked any more, or what went wrong."""
        store = self._open()
        while not self._turns.acquire(timeout=0.2):
            self._go_on()
        try:
            self._go_on()
            return within(seconds, lambda: question(store), self._stop.is_set)
        finally:
            self._turns.release()

    def _go_on(self) -> None:
        if self._is_left or self._stop.is_set():
            raise GivenUp

    def _open(self) -> SharedStore:
        with self._opening:
            self._go_on()
            if self._store is None:
                try:
                    store = within(self._patience.answer_s, lambda: self._opened(self._url), self._stop.is_set)
                except GivenUp:
                    raise
                except Exception as error:
                    self._leave(error)  # before others try it too
                    raise GivenUp from None
                self._turns = threading.Semaphore(store.at_once)
                self._store = store
            return self._store

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
                # a disk that is full, or closed to us, can still be read
                is_away = not isinstance(error, OSError) or isinstance(error, (TimeoutError, ConnectionError))
                (self._leave if is_away else self._refused)(error)
                break
            self._project.pending.remove(fingerprint, sha256)
            with self._changed:
                self._unsent -= 1
                self._changed.notify_all()
        with self._changed:  # who waits for them is to look again
            self._changed.notify_all()

    def _send(self, fingerprint: str, sha256: str) -> None:
        known = self._project.store.entries(fingerprint)
        entry = next((one for one in known if one.sha256 == sha256 and one.encoding is None and not one.by_hand), None)
        data = self._project.store.look(sha256)
        if entry is None or data is None:
            return  # killed before it was indexed, or pruned since
        made = (entry.model_digest, entry.backend_version, entry.seconds, entry.time)
        shared = SharedEntry(fingerprint, sha256, *made)
        self._in_turn(self._patience.image_s, lambda store: store.put(shared, data))

    def _leave(self, error: Exception) -> None:
        """It cannot be reached: told once, and not tried again in this run."""
        with self._changed:
            was_left, self._is_left = self._is_left, True
            self._changed.notify_all()
        if not was_left:
            then = "this run goes on without it"
            then += ", and what it makes is kept here and goes up with the next one" if self._writes else ""
            self._note(f"{self._name} cannot be reached: {words_of(error)}; {then}")

    def _refused(self, error: Exception) -> None:
        """It takes nothing, though it may have something to give."""
        with self._changed:
            was_over, self._takes_nothing = self._is_over(), True
            self._changed.notify_all()
        if not was_over:
            then = "what is made is kept here, and goes up with the next run"
            mend = "store_writes = false where it is only to be read"
            self._note(f"{self._name} takes nothing: {words_of(error)}; {then} ({mend})")

    def _note(self, text: str) -> None:
        self._tell(Happened(None, "note", {"text": text}))


def words_of(error: Exception) -> str:
    """What went wrong with a shared store, in one line, without a user or password."""
    if isinstance(error, OSError) and error.strerror and error.errno:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    said = without_user(next(iter(str(error).strip().splitlines()), ""))[:200]
    kind = "" if isinstance(error, OSError) and said else type(error).__name__
    return ": ".join(filter(None, [kind, said]))


def _images(count: int) -> str:
    return "1 image is" if count == 1 else f"{count} images are"
