"""Builds one image without its backend: derived or restored → encoded → line in the lock file → in place."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from imagegen.backends.base import Cancelled, GenerationError
from imagegen.config.job import Encoding
from imagegen.errors import FailureKind, ImagegenError, Problem, failure_kind, not_written
from imagegen.execute.budget import NotPaidForError
from imagegen.execute.cutouts import Cutouts
from imagegen.execute.decisions import record_accepted
from imagegen.execute.derivation import derive
from imagegen.execute.events import Outcome, StaleOutput
from imagegen.execute.paid_images import UnusableImageError, kept_problem
from imagegen.execute.stored_images import ImageCopy, StoredImage, StoredImages, store_current_file
from imagegen.images.encode import encode
from imagegen.images.formats import BadImage, format_of
from imagegen.images.image_file import verify
from imagegen.images.provenance import Provenance
from imagegen.installation import explain_import_error
from imagegen.plan.freshness import Verdict
from imagegen.plan.output import ONE_OFF, Output
from imagegen.plan.record import OutputLine, recorded_fields
from imagegen.plan.request import CanonicalFields
from imagegen.project import Project
from imagegen.state.atomic import replace_file
from imagegen.state.shared_store import SharedEntry
from imagegen.state.store import StoreEntry
from imagegen.state.timestamps import timestamp
from imagegen.state.written_files import BY_HAND, WrittenFile

__all__ = [
    "RECORDED_NOT_AVAILABLE",
    "NotStoredError",
    "blocked_problem",
    "convert",
    "derive_image",
    "encode_output",
    "failure_outcome",
    "make_line",
    "record_output",
    "replace_output",
    "restore_image",
    "write_file",
    "write_output",
]


class NotStoredError(Exception):
    """An image was generated, and the store could not take it: those after it would be lost too."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.paid: str | None = None
        """If the image was paid for: the file that has it; empty if it could not be kept anywhere."""


RECORDED_NOT_AVAILABLE = "the lock file records a different image for this request, and it isn't available here"
"""Why an image is kept that is not the one that others have."""


def restore_image(project: Project, images: StoredImages, work: StaleOutput) -> Outcome | None:
    """Put an image in place that was generated earlier; None if there is none.

    If the lock file records a different image for the same request, only that one will do: otherwise the file is kept.
    """
    output, verdict = work.output, work.verdict
    start = time.monotonic()
    try:
        if _restore_accepted(project, images, output):
            return work.outcome("restored", "as accepted", seconds=time.monotonic() - start)
        digest = project.model_digest(output)
        source = images.find(output, digest, only_recorded=True) if verdict.is_recorded_elsewhere else None
        if source is None and verdict.is_recorded_elsewhere and project.is_as_requested(output):
            return work.outcome("kept", RECORDED_NOT_AVAILABLE)
        source = source or images.find(output, digest)
        if source is None:
            return None
        write_output(project, output, source)
    except Exception as error:
        return failure_outcome(work, error)
    note = "from the shared store" if source.is_shared else "encoded again" if verdict.only_encoding else ""
    line = verdict.line
    if source.is_shared and line and line.fingerprint == output.fingerprint and line.time != source.record.time:
        note += ", a different one than the lock file records"
    return work.outcome("restored", note, seconds=time.monotonic() - start)


def blocked_problem(output: Output, verdict: Verdict) -> Problem:
    """Say why an output's current file must not be replaced, and what to do."""
    reasons = ", ".join(map(str, verdict.reasons))
    what = f"{output.path} is not replaced: {verdict.note}"
    what += f"; the job asks for another image now: {reasons}" if verdict.line and reasons else ""
    hint = (
        f"to keep your file: doit accept {output.task}; for a new image all the same: then doit -a {output.task}, and "
        "your file stays in the store; to replace such files always: output: {overwrite: always} in the job"
    )
    if output.job == ONE_OFF:
        hint = "to generate it again: move or delete the file, or choose another --name or --out"
    return Problem(output.task, what, verdict.hint or hint)


def failure_outcome(work: StaleOutput, error: BaseException) -> Outcome:
    """Return the outcome of an output that an exception kept from being built: the one place that words them."""
    backend = work.output.request.backend
    if isinstance(error, _Blocked):
        return work.failed("not_replaced", blocked_problem(work.output, error.verdict))
    also: tuple[Problem, ...] = ()
    failure: FailureKind = "failed"
    if isinstance(error, (GenerationError, UnusableImageError)):
        problem = error.problem
        failure = error.failure if isinstance(error, NotPaidForError) else failure
    elif isinstance(error, ImagegenError):
        problem, failure = error.problems[0], failure_kind(error)
    elif isinstance(error, NotStoredError):
        failure = "storage"
        problem = not_written(error.cause)
        what = f"images cannot be stored, so no more are generated: {problem.what}"
        problem = Problem("", what, problem.hint)
        if error.paid is not None:
            also = (kept_problem(work.output, error.paid),)
    elif isinstance(error, OSError):
        problem, failure = not_written(error), "storage"
    elif isinstance(error, BadImage):
        what = f"verify: what {backend} returned cannot be used: {error}"
        problem = Problem("", what, "try again; if it keeps happening, look at the generator's own log")
    elif missing := explain_import_error(error):
        problem, failure = missing, "not_begun"
    else:
        what = f"a fault in imagegen or the backend {backend}: {type(error).__name__}: {error}"
        problem = Problem("", what, f"report it, with its location: {_location(error)}")
    return work.failed(failure, Problem(work.output.task, problem.what, problem.hint), *also)


class _Blocked(Exception):  # noqa: N818 - internal
    """Somebody changed the file while its image was being built."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.note)
        self.verdict = verdict


def write_output(project: Project, output: Output, image: StoredImage) -> None:
    """Append the output's line, and rename its file into place. Raises OSError, and what `failure_outcome` words."""
    record_output(project, output, image.record, encode_output(project, output, image))


def record_output(project: Project, output: Output, record: ImageCopy | SharedEntry, data: bytes) -> None:
    """Append the line of an output that is encoded, and rename its file into place. Raises as `write_output` does."""
    line = make_line(output, record, data)
    known = project.lock(output.job).line_of(output.path, line.sha256)
    if known and (known.sha256, known.fingerprint) == (line.sha256, line.fingerprint):
        # an older release recorded all digits of its origins: nothing is rewritten for that
        line = dataclasses.replace(line, request=known.request)
    write_file(project, output, data, line.sha256, lambda: project.lock(output.job).append(line))


def make_line(output: Output, record: ImageCopy | SharedEntry, data: bytes) -> OutputLine:
    """Make the lock file's line that says what made this file of the output."""
    return OutputLine(
        path=output.path,
        output=output.slug,
        fingerprint=output.fingerprint,
        encoding=output.encoding,
        request=recorded_fields(output.fields)
        if output.is_derived
        else CanonicalFields(output.request, output.parameters),
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        model_digest=record.model_digest,
        backend_version=record.backend_version,
        seconds=record.seconds,
        time=record.time,
    )


def _restore_accepted(project: Project, sources: StoredImages, output: Output) -> bool:
    """Put the file in place that was accepted for the output's request, if there is one and it is available."""
    sha256 = project.accepted(output)
    if sha256 is None:
        return False
    data = project.store.get(sha256) or project.committed(output.path, sha256)
    if data is None:
        return False
    if output.encoding.is_image and format_of(data) != output.encoding.format:
        data = convert(data, output.encoding)
        converted = project.store.put(data)
        write_file(project, output, data, converted, lambda: record_accepted(project, output, converted))
    else:
        write_file(project, output, data, sha256, lambda: _move_line(project, sources, output, sha256))
    return True


def _move_line(project: Project, sources: StoredImages, output: Output, sha256: str) -> None:
    """If the output's path changed since the file was made, move its line along."""
    lock = project.lock(output.job)
    line = sources.line_of_file(output.job, sha256)
    if line and not lock.owns(output.path, sha256):
        lock.append(dataclasses.replace(line, path=output.path, output=output.slug))


def convert(data: bytes, encoding: Encoding) -> bytes:
    """Convert a file that somebody made or changed into the format asked for. It has no provenance."""
    return encode(verify(data, may_be_followed=True), dataclasses.replace(encoding, metadata="none"), None)


def write_file(project: Project, output: Output, data: bytes, sha256: str, record: Callable[[], None]) -> None:
    """Put a file in place: the current one goes into the store, then `record` writes the lines, then it is replaced.

    sha256: of the data. Raises OSError, and what `failure_outcome` words if the current file must not be replaced.
    """
    if project.found(output).sha256 == sha256:
        record()
        return
    verdict = project.verdict(output, forced=True)
    if verdict.state != "stale":
        raise _Blocked(verdict)
    store_current_file(project, output)
    record()
    line = project.lock(output.job).line_of(output.path, sha256)
    replace_output(project, output.path, data, sha256, line if line and line.sha256 == sha256 else None)


def replace_output(project: Project, path: str, data: bytes, sha256: str, line: OutputLine | None) -> None:
    """Rename a file into place, and note that this checkout wrote it. Raises OSError.

    line: the one of the lock file that says what made it; None for an accepted file.
    """
    written = replace_file(project.root / path, data, project.temporary)
    project.hashes.record_written(path, written, sha256)
    made = (line.fingerprint, line.time, line.backend) if line else ("", "-", BY_HAND)
    with contextlib.suppress(OSError):  # a run that finds all fresh does it then
        project.written_files.record({path: WrittenFile(sha256, written.st_mtime_ns, *made)})


def encode_output(
    project: Project, output: Output, image: StoredImage, fields: Mapping[str, Any] | None = None
) -> bytes:
    """Return the output's file. fields: of the request that made the image, if that is not the output's own."""
    if image.encoding == output.encoding:
        return image.data
    fields = output.fields if fields is None else fields
    provenance = Provenance(
        fields=fields,
        model_digest=image.record.model_digest,
        backend_version=image.record.backend_version,
        generated=project.backends[fields["backend"]].is_generator,
    )
    return encode(image.file or verify(image.data), output.encoding, provenance)


def _location(error: BaseException) -> str:
    trace: Any = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown"
    return f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"  # noqa: PTH119 - a name only


def derive_image(project: Project, work: StaleOutput, cutouts: Cutouts) -> Outcome:
    """Derive the output from its origins, which are finished, and put it in place."""
    import PIL

    output = work.output
    start = time.monotonic()
    try:
        data = derive(project, output, cutouts)
        seconds = round(time.monotonic() - start, 3)
        sha256 = project.store.put(data)
        version, took, made = f"Pillow {PIL.__version__}", seconds, timestamp()
        line = project.lock(output.job).line_of(output.path, sha256)
        if line and (line.sha256, line.fingerprint, line.encoding) == (sha256, output.fingerprint, output.encoding):
            # it was derived before, in another checkout: a line of its own here would say no more, and need a merge
            version, took, made = line.backend_version, line.seconds, line.time
        making = (None, version, took, made, output.encoding)
        entry = StoreEntry(output.fingerprint, sha256, *making, name=output.store_name, request=output.fields)
        project.store.add(entry)
        write_output(project, output, StoredImage(data, entry, output.encoding))
    except Cancelled:
        return work.outcome("cancelled")
    except Exception as error:
        return failure_outcome(work, error)
    return work.outcome("derived", seconds=seconds)
