"""Generates one image: from the backend → verified → store → encoded → line in the lock file → in place.

One that costs something is in the store before anything else happens to it, even before there is room to finish it:
whatever is wrong with it, it was paid for.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from imagegen.backends.base import (
    Backend,
    Cancelled,
    GeneratedImage,
    MayBePaidError,
    MayBeRunningError,
    ServerSlot,
    TryAnotherServer,
)
from imagegen.backends.guard import FaultyImageError
from imagegen.errors import ImagegenError
from imagegen.execute.budget import FREE, Payment
from imagegen.execute.build_image import NotStoredError, encode_output, failure_outcome, record_output
from imagegen.execute.decisions import record_decision
from imagegen.execute.events import Outcome, StaleOutput
from imagegen.execute.finishing_room import FinishingRoom
from imagegen.execute.paid_images import keep_paid_image, kept_problem, use_paid_image
from imagegen.execute.shared_store import SharedStoreClient, is_shared
from imagegen.execute.stored_images import StoredImage
from imagegen.execute.worker import ImageAttempt, ImageProgress
from imagegen.images.formats import BadImage
from imagegen.images.image_file import MAX_PIXELS, ImageFile, read_image, verify_file
from imagegen.plan.record import ACCEPT
from imagegen.project import Project
from imagegen.state.store import StoreEntry
from imagegen.state.timestamps import timestamp

__all__ = ["CHEAP_S", "Generation"]

CHEAP_S = 1.0
"""An image that took less is soon generated again. Until one that took longer is stored, nothing takes its place."""
_Result = TypeVar("_Result")


@dataclass
class Generation:
    """One image on its way from the backend to its file.

    room: to finish it in, beside others. shared: uploads it to the shared store, if there is one.
    payment: its price.
    """

    project: Project
    backend: Backend
    work: StaleOutput
    attempt: ImageAttempt
    progress: ImageProgress
    room: FinishingRoom
    shared: SharedStoreClient | None = None
    payment: Payment = FREE
    _made: GeneratedImage | None = None
    """What the backend returned."""
    _fault: Exception | None = None
    """A rule that the backend broke, which costs no image."""
    _seconds: float = 0.0
    _file: ImageFile | None = None
    """The image, unless something is wrong with its container."""
    _is_stored: bool = False

    def generate(self, slot: ServerSlot) -> GeneratedImage | Outcome:
        """Have the backend generate the image. slot: room at a server of the backend.

        Returns:
            The image, for `finish`; its outcome if it did not arrive.

        Raises:
            TryAnotherServer: as the slot does.
        """
        return self._guard(lambda: self._generate(slot))

    def finish(self, made: GeneratedImage, on_safe: Callable[[], None]) -> Outcome:
        """Put the image in place. Raises NotStoredError if the store could not take it.

        on_safe: called, perhaps twice, once the next image may be generated: this one is cheap and has room, or it is
        in the store, and nothing is wrong with it for which no more may be paid.
        """
        return self._guard(lambda: self._finish(made, on_safe))

    def _guard(self, step: Callable[[], _Result]) -> _Result | Outcome:
        """Return a step's result, or the outcome of an image that it could not build."""
        try:
            return step()
        except TryAnotherServer:
            raise
        except NotStoredError as error:
            if self._made and self.payment.is_due:
                error.paid = keep_paid_image(self.project, self.work.output, self._made.data)
                if error.paid:  # else the attempt stays open, as below
                    self.attempt.close(made=False)
            raise
        except (OSError, MayBeRunningError) as error:
            # nothing is wrong with the attempt: the next run can take its image
            return self._fail(error)
        except Exception as error:
            self.attempt.close(made=False)
            if self._made:
                with contextlib.suppress(Exception):  # the first error is the one to report
                    self._made.on_stored()
            return self._fail(error)

    def _generate(self, slot: ServerSlot) -> GeneratedImage:
        if self.payment.is_due:
            self.attempt.open()  # after a kill, the next run then knows that it may have been paid for
        try:
            with self.payment:
                made = slot.generate(self.work.output.request, self.progress)
        except FaultyImageError as error:
            made, self._fault = error.made, error
        self._made = made
        self._seconds = round(self.progress.seconds, 3)
        return made

    def _finish(self, made: GeneratedImage, on_safe: Callable[[], None]) -> Outcome:
        paid = self._store(made) if self.payment.is_due else None
        with contextlib.suppress(BadImage):  # `_verify` says what is wrong
            self._file = read_image(made.data, may_be_followed=False)
        with self.room.hold(self._memory_bytes(made)):
            if self._is_cheap:
                on_safe()
            return self._put_in_place(made, paid, on_safe)

    def _memory_bytes(self, made: GeneratedImage) -> int:
        """Return the bytes that the image takes until it is finished: the file, and decoded."""
        file = self._file
        return len(made.data) + (4 * min(file.width * file.height, MAX_PIXELS) if file else 0)

    @property
    def _is_cheap(self) -> bool:
        """Whether others may be generated before it is in the store: if it cannot be kept, they are lost too."""
        return not self.payment.is_due and self._seconds < CHEAP_S

    def _put_in_place(
        self, made: GeneratedImage, paid: tuple[StoreEntry, ImagegenError | None] | None, on_safe: Callable[[], None]
    ) -> Outcome:
        """Verify, store, encode and rename it. paid: what `_store` returned of an image that was paid for."""
        output, flaw = self.work.output, ""
        if paid:
            entry, without_digest = paid
            file, flaw = self._verify_paid(made, entry)
        else:
            file = self._verify(made)
            entry, without_digest = self._store(made, self.shared)
        on_safe()
        self.attempt.close(made=True)
        made.on_stored()
        if fault := self._fault or without_digest:  # the next run takes its image from the store
            return failure_outcome(self.work, fault)
        with self.room.core:
            data = encode_output(self.project, output, StoredImage(made.data, entry, file=file))
        record_output(self.project, output, entry, data)
        if self.project.accepted(output) is not None:  # it was forced: from now on this one is the image
            record_decision(self.project, output.job, ACCEPT, output.full_slug, None)
        seed = f"seed {output.request.seed}" if output.has_random_seed and output.uses_seed else ""
        return self.work.outcome("generated", "; ".join(filter(None, [seed, flaw])), seconds=self._seconds)

    def _store(
        self, made: GeneratedImage, shared: SharedStoreClient | None = None
    ) -> tuple[StoreEntry, ImagegenError | None]:
        """Put the image into the store. Raises NotStoredError.

        Returns:
            Its entry, and why the model's digest is not in it.
        """
        project, output, version = self.project, self.work.output, self.backend.version
        try:
            sha256 = project.store.put(made.data)
            digest, fault = None, None
            try:
                digest = project.model_digest(output)
            except ImagegenError as error:
                fault = error
            entry = StoreEntry(
                output.fingerprint,
                sha256,
                digest,
                f"{version} ({made.engine})" if made.engine else version,
                self._seconds,
                timestamp(),
                facts={**made.facts, **self.attempt.facts},
                name=output.store_name,
                request=output.fields,
            )
            (shared if shared and is_shared(output) else project.store).add(entry)
        except OSError as error:
            raise NotStoredError(error) from error
        self._is_stored = True
        return entry, fault

    def _verify(self, made: GeneratedImage) -> ImageFile:
        """Check what the backend returned. A size that the job does not ask for may be any. Raises BadImage."""
        request, fields = self.work.output.request, {} if made.any_size else self.work.output.fields
        try:
            with self.room.core:
                return verify_file(
                    self._file or read_image(made.data, may_be_followed=False),
                    request.width if "width" in fields else None,
                    request.height if "height" in fields else None,
                    may_be_flat=made.may_be_flat,
                )
        except BadImage as error:
            raise BadImage(f"{error} (made at {made.server})" if made.server else str(error)) from None

    def _verify_paid(self, made: GeneratedImage, entry: StoreEntry) -> tuple[ImageFile, str]:
        """Return the image, which is in the store, and what is wrong with it. Raises UnusableImageError."""
        output, flaw = self.work.output, ""
        try:
            file = self._verify(made)
        except BadImage as error:
            file, flaw = use_paid_image(self.project, output, made.data, entry, self.payment, error)
        if self.shared and is_shared(output):
            self.shared.add(entry, is_indexed=True)
        return file, flaw

    def _fail(self, error: Exception) -> Outcome:
        """Return the outcome of an image that an error kept from being generated, or put in place."""
        is_over = self.progress.is_cancelled and isinstance(error, (MayBeRunningError, MayBePaidError))
        if isinstance(error, Cancelled) or is_over:
            return dataclasses.replace(self.work.outcome("cancelled"), was_begun=True)
        outcome = failure_outcome(self.work, error)
        if self._made and self.payment.is_due and not self._is_stored:
            kept = kept_problem(self.work.output, keep_paid_image(self.project, self.work.output, self._made.data))
            return dataclasses.replace(outcome, also=(*outcome.also, kept))
        return outcome
