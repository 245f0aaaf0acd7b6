"""The shared store in a run: images that the local store lacks come from there, and images generated here go there.

It never fails an image. Trouble is reported in one line, and from then on the run does without the shared store.
"""

from __future__ import annotations

import contextlib
import errno
import queue
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from imagegen.calls import StoppedWaiting, call_with_timeout
from imagegen.config.setting_types import redact_user
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, NotBegunError, Problem, not_written
from imagegen.execute.events import Event, ProgressEvent
from imagegen.execute.stored_images import StoredImage, store_file
from imagegen.execute.worker import InterruptibleWorker
from imagegen.images.formats import BadImage
from imagegen.images.image_file import ImageFile, verify
from imagegen.plan.freshness import PLACEHOLDER, Verdict
from imagegen.plan.output import ONE_OFF, PREVIEW, Output
from imagegen.project import JobPlan, Project
from imagegen.state.mutex import hold
from imagegen.state.shared_store import SharedEntry, SharedStore, missing_package, open_shared
from imagegen.state.store import StoreEntry

__all__ = [
    "ACCEPTED_NOT_AVAILABLE",
    "SharedStoreClient",
    "Timeouts",
    "check_packages",
    "describe_error",
    "fetch_accepted",
    "is_shared",
    "is_unreachable",
    "push",
]


_Answer = TypeVar("_Answer")
_SENDERS = 4
"""Images that are uploaded at a time: with more, each could take too long on a slow line."""
_SILENT_S = 3.0
"""Seconds of waiting at the end of a run that need no explanation."""


@dataclass(frozen=True)
class Timeouts:
    """How long the shared store is waited for.

    Args:
        answer_s: Seconds to connect, and for each question.
        image_s: Seconds for one image, up or down.
        last_s: Seconds at the end of a run, for images that still have to be uploaded.
    """

    answer_s: float = 10.0
    image_s: float = 60.0
    last_s: float = 60.0


_BRIEF = Timeouts(answer_s=_SILENT_S, image_s=_SILENT_S, last_s=_SILENT_S)
_PUSH = Timeouts(last_s=1e6)


def is_shared(output: Output) -> bool:
    """Whether the output's images go to the shared store: those that a backend generates for a job.

    Placeholders don't: generating one is faster than fetching it.
    """
    return not output.is_derived and output.has_job and output.request.backend != PLACEHOLDER


class SharedStoreClient:
    """One run's use of the shared store: opened when it is first needed, and left alone once it fails.

    Every call has a time limit, and at most as many run at a time as the store allows. The caller holds the mutex,
    but not while it closes the client.

    Args:
        on_event: Called with each event, from any thread.
        stop: Set once the user wants to stop. Nothing is waited for any more.
        is_brief: The run shares no image of its own; it only uploads what earlier runs could not. Where that fails
            it costs 3 s and one line at the end, and is not tried again for a while.
        timeouts: In place of those that follow from `is_brief`.
        open_store: Opens the store at an address.
    """

    def __init__(
        self,
        project: Project,
        on_event: Callable[[Event], None],
        stop: threading.Event,
        *,
        is_brief: bool = False,
        timeouts: Timeouts | None = None,
        open_store: Callable[[str], SharedStore] = open_shared,
    ) -> None:
        self._project, self._on_event, self._stop = project, on_event, stop
        self._is_brief = is_brief
        self._timeouts = timeouts or (_BRIEF if is_brief else Timeouts())
        self._url = project.settings.store
        self._open_store = open_store
        self._store: SharedStore | None = None
        self._opening = threading.Lock()
        self._turns = threading.Semaphore(1)
        self._is_left = False
        """Nothing more is asked or sent."""
        self._is_read_only = False
        self._trouble = ""
        """What went wrong first."""
        self._is_ending = is_brief
        """Trouble is reported at the end, together with what is left."""
        self._is_reported = self._is_unlisted = False
        self._to_send: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._unsent = self._sent_late = self._lost = 0
        self._senders: list[threading.Thread] = []
        self._changed = threading.Condition()
        is_due = project.has_uploads_due or (project.shares and not is_brief)
        self._earlier = frozenset(earlier := project.upload_queue.all() if is_due else [])
        for one in earlier:
            self._send_later(*one)

    @property
    def unsent(self) -> int:
        """How many images still have to be uploaded."""
        return self._unsent

    @property
    def is_out_of_reach(self) -> bool:
        """Whether the store could not be asked: what it didn't answer says nothing about what it has."""
        return self._is_left and bool(self._trouble)

    def find(self, output: Output, model_digest: str | None, last: str) -> StoredImage | None:
        """Fetch an image that somebody generated for this output into the local store.

        Args:
            model_digest: Images of a model with another, known digest are skipped.
            last: The time of the image that is preferred; otherwise the newest is.

        Returns:
            The image; None if there is none, or the store fails.

        Raises:
            OSError: The local store cannot be written.
        """
        if not output.fingerprint or not is_shared(output):
            return None
        entries = self._ask(self._timeouts.answer_s, lambda store: store.entries(output.fingerprint)) or []
        for entry in sorted(entries, key=lambda entry: entry.time != last):
            if model_digest and entry.model_digest and entry.model_digest != model_digest:
                continue
            file = self._ask(self._timeouts.image_s, partial(_fetch_sound, entry))
            if file is not None:
                made = (entry.model_digest, entry.backend_version, entry.seconds, entry.time)
                self._project.store.put(file.data)
                known = self._project.store.entries(entry.fingerprint)
                if all(one.sha256 != entry.sha256 or one.by_hand for one in known):
                    # under what is asked for here: nothing else is taken from there
                    name, request = output.store_name, output.fields
                    self._project.store.add(
                        StoreEntry(output.fingerprint, entry.sha256, *made, name=name, request=request)
                    )
                return StoredImage(file.data, entry, is_shared=True, file=file)
        return None

    def fetch(self, sha256: str) -> bytes | None:
        """Fetch the file of that sha256, which somebody accepted; None if it isn't available."""
        return self._ask(self._timeouts.image_s, lambda store: store.fetch(sha256))

    def add(self, entry: StoreEntry, *, is_indexed: bool = False) -> None:
        """Index an image in the local store that was generated here, unless it is, and upload it. Raises OSError."""
        image = (entry.fingerprint, entry.sha256)
        if self._project.shares:
            try:
                self._project.upload_queue.add([image])
            except OSError as error:  # the image itself is kept
                self._report_unlisted(error)
        if not is_indexed:
            self._project.store.add(entry)
        if self._project.shares:
            self._send_later(*image)

    def close(self) -> None:
        """Wait for the uploads, for a time. Then report what is left, and what was odd."""
        with self._changed:
            self._is_ending = True
        last_s = self._timeouts.last_s
        if not self._wait_until_sent(min(_SILENT_S, last_s)) and last_s > _SILENT_S:
            self._note(f"{self._describe_unsent()}; Ctrl-C stops waiting, and later runs continue")
            self._wait_until_sent(last_s - _SILENT_S)
        with self._changed:
            left, self._is_left = self._unsent, True
        if left and not self._is_reported:
            why = f", which {self._trouble}" if self._trouble else ""
            self._note(f"{self._describe_unsent()}{why}; later runs continue, or doit store:push does it now")
        elif self._trouble and not self._is_reported:
            self._note(f"{self._name} {self._trouble}")
        if self._sent_late and not left:
            self._note(f"uploaded {_images(self._sent_late)} of earlier runs to {self._name}")
        if self._lost:
            self._note(f".imagegen/store has lost {_images(self._lost)} that still had to be uploaded to {self._name}")
        if self._store is not None and self._store.odd:
            first, *others = self._store.odd
            more = f" (and {len(others)} more)" if others else ""
            self._note(f"{self._name} has files that cannot be used, and were skipped: {first}{more}")
        with contextlib.suppress(OSError, ImagegenError):  # uploading something twice does no harm
            if self._is_brief and left:
                self._project.upload_queue.pause()
            if self._senders:
                with hold(self._project.state, 0):
                    self._project.upload_queue.compact()

    def _wait_until_sent(self, seconds: float) -> bool:
        """Whether there is nothing left to wait for, after at most so many seconds."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._unsent or self._is_over() or self._stop.is_set(), max(0.0, seconds)
            )

    def _describe_unsent(self) -> str:
        has = "has" if self._unsent == 1 else "have"
        return f"{_images(self._unsent)} still {has} to be uploaded to {self._name}"

    @property
    def _name(self) -> str:
        return f"the shared store {self._url}"

    def _is_over(self) -> bool:
        return self._is_left or self._is_read_only

    def _ask(self, seconds: float, question: Callable[[SharedStore], _Answer]) -> _Answer | None:
        """Return the store's answer; None if there is none."""
        try:
            return self._call(seconds, question)
        except StoppedWaiting:
            return None
        except Exception as error:  # of whatever library: the image can be generated here
            self._give_up(error, is_away=True)
            return None

    def _call(self, seconds: float, question: Callable[[SharedStore], _Answer]) -> _Answer:
        """Return the store's answer. Raises StoppedWaiting once nothing more is asked, or what went wrong."""
        store = self._open()
        while not self._turns.acquire(timeout=0.2):
            self._check_usable()
        try:
            self._check_usable()
            return call_with_timeout(seconds, lambda: question(store), self._stop.is_set)
        finally:
            self._turns.release()

    def _check_usable(self) -> None:
        if self._is_left or self._stop.is_set():
            raise StoppedWaiting

    def _open(self) -> SharedStore:
        with self._opening:
            self._check_usable()
            if self._store is None:
                try:
                    store = call_with_timeout(
                        self._timeouts.answer_s, lambda: self._open_store(self._url), self._stop.is_set
                    )
                except StoppedWaiting:
                    raise
                except Exception as error:
                    self._give_up(error, is_away=True)  # before others try it too
                    raise StoppedWaiting from None
                self._turns = threading.Semaphore(store.at_once)
                self._store = store
            return self._store

    def _send_later(self, fingerprint: str, sha256: str) -> None:
        with self._changed:
            self._unsent += 1
            self._to_send.put((fingerprint, sha256))
            if len(self._senders) < _SENDERS:
                # not a pool: its threads would be waited for when the process ends
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
            except StoppedWaiting:
                break
            except Exception as error:
                self._give_up(error, is_away=is_unreachable(error))
                break
            self._project.upload_queue.remove(fingerprint, sha256)
            with self._changed:
                self._unsent -= 1
                self._changed.notify_all()
        with self._changed:  # whoever waits for uploads looks again
            self._changed.notify_all()

    def _send(self, fingerprint: str, sha256: str) -> None:
        data = self._project.store.peek(sha256)
        if data is None:
            with self._changed:
                self._lost += 1
            return
        is_earlier = (fingerprint, sha256) in self._earlier
        if not fingerprint:
            self._call(self._timeouts.image_s, lambda store: store.put_image(sha256, data))
        else:
            known = self._project.store.entries(fingerprint)
            entry = next((one for one in known if one.sha256 == sha256 and one.is_made), None)
            if entry is None:
                return  # killed before it was indexed: it will be generated again
            made = (entry.model_digest, entry.backend_version, entry.seconds, entry.time)
            shared = SharedEntry(fingerprint, sha256, *made)
            if is_earlier and self._call(self._timeouts.answer_s, lambda store: store.has(shared, len(data))):
                return
            self._call(self._timeouts.image_s, lambda store: store.put(shared, data))
        with self._changed:
            self._sent_late += is_earlier

    def _give_up(self, error: Exception, *, is_away: bool) -> None:
        """Use the store no more, and report that once: now, or at the end with what is left.

        Args:
            is_away: It cannot be reached. Otherwise it cannot be written, but may be read.
        """
        with self._changed:
            was_over = self._is_left or (self._is_read_only and not is_away)
            self._is_left, self._is_read_only = self._is_left or is_away, True
            self._changed.notify_all()
            if was_over:
                return
            trouble = f"{'cannot be reached' if is_away else 'cannot be written'}: {describe_error(error)}"
            self._trouble = self._trouble or trouble
            if self._is_ending:
                return
            self._is_reported = True
        kept = "new images are kept here, and a later run uploads them"
        if not is_away:
            then = f"{kept} (set store_writes = false if you only read from it)"
        else:
            then = f"this run continues without it{f'; {kept}' if self._project.shares else ''}"
        self._note(f"{self._name} {trouble}; {then}")

    def _report_unlisted(self, error: OSError) -> None:
        """Report once that what is not uploaded in this run will be forgotten."""
        with self._changed:
            was_reported, self._is_unlisted = self._is_unlisted, True
        if not was_reported:
            what = f"images that this run does not upload to {self._name} have to be uploaded by doit store:push"
            self._note(f"{not_written(error).what}: {what}")

    def _note(self, text: str) -> None:
        self._on_event(ProgressEvent(None, "note", {"text": text}))


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _fetch_sound(entry: SharedEntry, store: SharedStore) -> ImageFile | None:
    """Fetch the entry's image; None if it isn't there, or isn't whole and sound."""
    data = store.fetch(entry.sha256)
    try:
        return None if data is None else verify(data)
    except BadImage as error:
        store.odd.append(f"{entry.sha256[:12]}… is not a valid image: {error}")
        return None


_UNREACHABLE = {errno.ENOENT, errno.ENOTCONN, errno.ESTALE, errno.EIO}
"""Errors of a folder that was mounted, and no longer is."""


def check_packages(settings: Settings) -> None:
    """Check that the package that the store's address needs is installed.

    Raises:
        ImagegenError: It is not. Generating again what others already have would be expensive.
    """
    if missing := missing_package(settings.store):
        package, command = missing
        what = f"store: {settings.store} needs the package {package}, which is not installed"
        hint = f"{command}; or build without the shared store for now: doit store=none"
        raise NotBegunError(Problem(settings.set_by.get("store", ""), what, hint))


def is_unreachable(error: Exception) -> bool:
    """Whether the store cannot be reached; if not, it cannot be written (full, or no permission), but may be read."""
    if not isinstance(error, OSError) or isinstance(error, (TimeoutError, ConnectionError, FileNotFoundError)):
        return True
    return error.errno in _UNREACHABLE


def describe_error(error: Exception) -> str:
    """Say in one line what went wrong with a shared store, without user, password or query of its address."""
    if isinstance(error, OSError) and error.strerror and error.errno:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    first_line = next(iter(str(error).strip().splitlines()), "")
    said = re.sub(r"(://[^\s\"'?]*)\?[^\s\"']*", r"\1", redact_user(first_line))[:200]
    is_sentence = " " in said or (isinstance(error, OSError) and said)
    return said if is_sentence else ": ".join(filter(None, [type(error).__name__, said]))


ACCEPTED_NOT_AVAILABLE = "another file was accepted, which is not in the store"
"""Why an image is kept that is not the accepted one."""


def fetch_accepted(project: Project, shared: SharedStoreClient | None, output: Output, verdict: Verdict) -> Verdict:
    """Fetch an accepted file that is not here: a checkout has the decision, but not the file if git doesn't have it.

    Returns:
        The output's verdict afterwards. If the file was found, it is in the local store now and can be restored;
        otherwise the current file is kept.

    Raises:
        OSError: The local store cannot be written.
    """
    sha256 = project.accepted(output) or ""
    data = shared.fetch(sha256) if shared else None
    if data is not None:
        store_file(project, output, data, project.lock(output.job).line_of(output.path, sha256))
        return project.verdict(output)
    if verdict.state == "stale":
        note = f"{ACCEPTED_NOT_AVAILABLE}{f', {_shared_too(shared)}' if shared else ''}"
        hint = f"bring it here, from git or a copy; or generate another one: doit -a {output.task}"
        return replace(verdict, state="kept", note=note, hint=hint)
    if not shared:
        return verdict
    first = "doit again once it can be" if shared.is_out_of_reach else "doit store:push where it was accepted"
    return replace(verdict, note=f"{verdict.note}, {_shared_too(shared)}", hint=f"{first}; or {verdict.hint}")


def _shared_too(shared: SharedStoreClient) -> str:
    """Say why the shared store didn't have it either."""
    return "and the shared store cannot be reached" if shared.is_out_of_reach else "and not in the shared store either"


def push(project: Project, plans: list[JobPlan], worker: InterruptibleWorker) -> tuple[int, SharedStoreClient]:
    """Start uploading every image the shared store doesn't have yet.

    The images are listed in the upload queue first. The caller holds the mutex, but not while it closes the client.

    Returns:
        How many images may be uploaded, and the client to close to wait for them.

    Raises:
        OSError: The upload queue cannot be written.
    """
    waiting = set(project.upload_queue.all())
    found = {*_generated(project), *_accepted(project, plans)}
    if more := sorted(found - waiting):
        project.upload_queue.add(more)
    project.upload_queue.resume()
    client = SharedStoreClient(project, worker.emit, worker.stop, is_brief=True, timeouts=_PUSH)
    return len(found | waiting), client


def _generated(project: Project) -> Iterator[tuple[str, str]]:
    """Images that backends generated for jobs, but for placeholders, as far as the local store still has them."""
    for entry in project.store.all_entries():
        is_of_job = not entry.name.startswith((f"{ONE_OFF}:", f"{PREVIEW}/"))
        is_wanted = is_of_job and entry.request.get("backend") != PLACEHOLDER
        if is_wanted and entry.is_made and project.store.has(entry.sha256):
            yield entry.fingerprint, entry.sha256


def _accepted(project: Project, plans: list[JobPlan]) -> Iterator[tuple[str, str]]:
    """Return the files that were accepted for the outputs' present requests."""
    for plan in plans:
        for output in plan.outputs:
            sha256 = project.accepted(project.with_origins(output))
            if sha256 and project.store.has(sha256):
                yield "", sha256
