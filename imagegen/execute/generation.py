"""Generates one image: from the backend → verified → store → encoded → line in the lock file → in place.

One that costs something is in the store before it is verified: whatever is wrong with it, it was paid for.
"""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass

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
from imagegen.execute.build_image import NotStoredError, failure_outcome, write_output
from imagegen.execute.decisions import record_decision, timestamp
from imagegen.execute.events import Outcome, StaleOutput
from imagegen.execute.paid_images import keep_paid_image, kept_problem, use_paid_image
from imagegen.execute.shared_store import SharedStoreClient, is_shared
from imagegen.execute.stored_images import StoredImage
from imagegen.execute.worker import ImageAttempt, ImageProgress
from imagegen.images.formats import BadImage
from imagegen.images.image_file import ImageFile, verify
from imagegen.plan.output import Output
from imagegen.plan.record import ACCEPT
from imagegen.project import Project
from imagegen.state.store import StoreEntry

__all__ = ["Generation"]


@dataclass
class Generation:
    """One image on its way from the backend to its file.

    shared: uploads it to the shared store, if there is one. payment: its price.
    """

    project: Project
    backend: Backend
    work: StaleOutput
    attempt: ImageAttempt
    progress: ImageProgress
    shared: SharedStoreClient | None = None
    payment: Payment = FREE
    _made: GeneratedImage | None = None
    """What the backend returned."""
    _is_stored: bool = False

    def run(self, slot: ServerSlot) -> Outcome:
        """Have the backend generate the image, and put it in place. slot: room at a server of the backend.

        Raises:
            NotStoredError: the store could not take the image.
            TryAnotherServer: as the slot does.
        """
        try:
            return self._generate(slot)
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

    def _generate(self, slot: ServerSlot) -> Outcome:
        output = self.work.output
        fault: Exception | None = None
        flaw = ""
        if self.payment.is_due:
            self.attempt.open()  # after a kill, the next run then knows that it may have been paid for
        try:
            with self.payment:
                made = self._made = slot.generate(output.request, self.progress)
        except FaultyImageError as error:  # a broken rule that costs no image
            made, fault = error.made, error
            self._made = made
        seconds = round(self.progress.seconds, 3)
        if self.payment.is_due:
            entry, without_digest = self._store(made, seconds)
            file, flaw = self._verify_paid(made, entry)
        else:
            file = _verify(output, made)
            entry, without_digest = self._store(made, seconds, self.shared)
        self.attempt.close(made=True)
        made.on_stored()
        if fault := fault or without_digest:  # the next run takes its image from the store
            return failure_outcome(self.work, fault)
        write_output(self.project, output, StoredImage(made.data, entry, file=file))
        if self.project.accepted(output) is not None:  # it was forced: from now on this one is the image
            record_decision(self.project, output.job, ACCEPT, output.full_slug, None)
        seed = f"seed {output.request.seed}" if output.has_random_seed and output.uses_seed else ""
        return self.work.outcome("generated", "; ".join(filter(None, [seed, flaw])), seconds=seconds)

    def _store(
        self, made: GeneratedImage, seconds: float, shared: SharedStoreClient | None = None
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
                seconds,
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

    def _verify_paid(self, made: GeneratedImage, entry: StoreEntry) -> tuple[ImageFile, str]:
        """Return the image, which is in the store, and what is wrong with it. Raises UnusableImageError."""
        output, flaw = self.work.output, ""
        try:
            file = _verify(output, made)
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


def _verify(output: Output, made: GeneratedImage) -> ImageFile:
    """Check what the backend returned. A size that the job does not ask for may be any. Raises BadImage."""
    request, fields = output.request, {} if made.any_size else output.fields
    try:
        return verify(
            made.data,
            request.width if "width" in fields else None,
            request.height if "height" in fields else None,
            may_be_flat=made.may_be_flat,
        )
    except BadImage as error:
        raise BadImage(f"{error} (made at {made.server})" if made.server else str(error)) from None
