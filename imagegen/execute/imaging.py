"""One image's way: generated or restored → verified → store → encoded → line in the lock file → in place."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from imagegen.backends.base import Backend, Cancelled, GeneratedImage, GenerationError, UnsettledError
from imagegen.errors import ImagegenError, Problem
from imagegen.execute.outcome import Outcome
from imagegen.execute.progress import ImageProgress
from imagegen.execute.sources import Source, Sources
from imagegen.images.encoding import encode
from imagegen.images.provenance import Provenance
from imagegen.images.verification import BadImage, verify
from imagegen.plan.freshness import Verdict
from imagegen.plan.output import Output
from imagegen.plan.record import Decision, OutputLine
from imagegen.project import MODEL_DECISION, Project
from imagegen.state.atomic import replace_file
from imagegen.state.store import StoreEntry

__all__ = ["blocked", "decide_model", "draw_seed", "encoded", "failed", "generate", "keep", "restore"]


def draw_seed(project: Project, output: Output) -> Output:
    """The output with its random seed, 1 … 2^32−1: drawn, and recorded as a decision before it is used."""
    seed = secrets.randbelow(2**32 - 1) + 1
    project.lock(output.job).append(Decision("seed", output.slug, seed, _now()))
    return output.decided(seed=seed)


def decide_model(project: Project, job: str, model: str) -> None:
    """Record that the job, which names no model, is drawn with this one, the only one there is."""
    project.lock(job).append(Decision(*MODEL_DECISION, model, _now()))


def generate(
    project: Project,
    backend: Backend,
    output: Output,
    verdict: Verdict,
    cancel: threading.Event,
    tell: Callable[[str, dict[str, Any]], None],
    *,
    forced: bool,
) -> Outcome:
    """Have the backend make the image, and put it in place. forced: one that was made earlier does not do."""
    note = f"seed {output.request.seed}" if output.draws_seed else ""
    start = time.monotonic()
    attempt = _Attempt(project, output, forced)
    try:
        made = backend.generate(output.request, ImageProgress(output.timeout_s, cancel, attempt.open, tell))
        seconds = round(time.monotonic() - start, 3)
        _verify(output, made)
        sha256 = project.store.put(made.data)
        digest = project.model_digest(output)
        facts = {**made.facts, **attempt.fact}
        entry = StoreEntry(output.fingerprint, sha256, digest, backend.version, seconds, _now(), facts=facts)
        project.store.add(entry)
        attempt.close(made=True)
        source = Source(made.data, None, digest, backend.version, seconds, entry.time)
        _put_in_place(project, output, source)
    except Cancelled:
        attempt.close(made=False)
        return Outcome(output, "cancelled", verdict.reasons)
    except (OSError, UnsettledError) as error:  # nothing is wrong with the attempt: the next run can take its image
        return failed(output, verdict, error)
    except Exception as error:
        attempt.close(made=False)
        return failed(output, verdict, error)
    return Outcome(output, "generated", verdict.reasons, note, seconds=seconds)


class _Attempt:
    """The attempt at one image; on disk only for a backend that asks for it."""

    def __init__(self, project: Project, output: Output, forced: bool) -> None:
        self._project, self._output, self._forced = project, output, forced
        self._image = ""
        self.fact: dict[str, str] = {}

    def open(self) -> str:
        """Its UUID."""
        if not self._image:
            output, store = self._output, self._project.store
            digest = self._project.model_digest(output)
            self._image = " ".join(filter(None, (output.fingerprint, digest, output.path)))
            done = {str(entry.facts.get("attempt")) for entry in store.entries(output.fingerprint)}
            self.fact = {"attempt": self._project.attempts.open(self._image, anew=self._forced, done=done)}
        return self.fact["attempt"]

    def close(self, *, made: bool) -> None:
        """It is over. That it cannot be written down loses nothing: the store knows the image by the attempt."""
        if self._image:
            with contextlib.suppress(OSError):
                self._project.attempts.close(self._image, made=made)


def _verify(output: Output, made: GeneratedImage) -> None:
    """Raises BadImage. A size that the job does not ask for is whatever the backend makes."""
    request, fields = output.request, {} if made.any_size else output.fields
    verify(
        made.data,
        request.width if "width" in fields else None,
        request.height if "height" in fields else None,
        may_be_flat=made.may_be_flat,
    )


def restore(project: Project, sources: Sources, output: Output, verdict: Verdict) -> Outcome | None:
    """Put an image in place that was made earlier; None where there is none."""
    start = time.monotonic()
    try:
        source = sources.find(output, project.model_digest(output))
        if source is None:
            return None
        _put_in_place(project, output, source)
    except Exception as error:
        return failed(output, verdict, error)
    note = "encoded anew" if verdict.only_encoding else ""
    return Outcome(output, "restored", verdict.reasons, note, seconds=time.monotonic() - start)


def blocked(output: Output, verdict: Verdict) -> Problem:
    """Why the file in an output's place must not be replaced, and the ways out."""
    reasons = ", ".join(map(str, verdict.reasons))
    return Problem(
        output.task,
        f"{output.path} is not replaced: {verdict.note}"
        + (f" (and now: {reasons})" if verdict.line and reasons else ""),
        "move or delete the file to have it made anew; "
        "output.overwrite: always in the job replaces such files (they go into the store first), "
        "never keeps them without this error",
    )


def failed(output: Output, verdict: Verdict, error: Exception) -> Outcome:
    """The outcome of an image that an exception kept from being made: the one place that words them."""
    if isinstance(error, _Blocked):
        return Outcome(output, "failed", verdict.reasons, problem=blocked(output, error.verdict))
    if isinstance(error, GenerationError):
        what, mend = error.problem.what, error.problem.mend
    elif isinstance(error, ImagegenError):
        what, mend = error.problems[0].what, error.problems[0].mend
    elif isinstance(error, BadImage):
        what = f"verify: what {output.request.backend} returned cannot be used: {error}"
        mend = "try again; where it stays so, look at the generator's own log"
    elif isinstance(error, OSError):
        name = error.filename2 or error.filename
        what = f"cannot write: {error.strerror or error}" + (f": {name}" if name else "")
        mend = "mend the permissions or the path, or free disk space, then run doit again; the store has what was made"
    else:
        what = f"a fault in imagegen or the backend {output.request.backend}: {type(error).__name__}: {error}"
        mend = f"report it, with this place: {_place(error)}"
    return Outcome(output, "failed", verdict.reasons, problem=Problem(output.task, what, mend))


class _Blocked(Exception):  # noqa: N818 - internal
    """Somebody touched the file while its image was being made."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.note)
        self.verdict = verdict


def _put_in_place(project: Project, output: Output, source: Source) -> None:
    data = encoded(project, output, source)
    sha256 = hashlib.sha256(data).hexdigest()
    line = OutputLine(
        path=output.path,
        output=output.slug,
        fingerprint=output.fingerprint,
        encoding=output.encoding,
        request=output.fields,
        sha256=sha256,
        size=len(data),
        model_digest=source.model_digest,
        backend_version=source.backend_version,
        seconds=source.seconds,
        time=source.time,
    )
    lock = project.lock(output.job)
    if project.found(output).sha256 == sha256:
        lock.append(line)
        return
    verdict = project.verdict(output, forced=True)
    if verdict.state != "stale":
        raise _Blocked(verdict)
    keep(project, output)
    lock.append(line)
    written = replace_file(project.root / output.path, data, project.temporary)
    project.hashes.wrote(output.path, written, sha256)


def encoded(project: Project, output: Output, source: Source) -> bytes:
    """The output file that the image comes to. Raises BadImage."""
    if source.encoding == output.encoding:
        return source.data
    provenance = Provenance(
        fields=output.fields,
        model_digest=source.model_digest,
        backend_version=source.backend_version,
        generated=project.backend(output.request.backend).is_generator,
    )
    return encode(source.data, verify(source.data), output.encoding, provenance)


def keep(project: Project, output: Output) -> None:
    """What is about to be replaced or removed goes into the store first. Raises OSError."""
    state = project.hashes.state(output.path)
    if state is None or state.is_pointer or project.store.get(state.sha256) is not None:
        return
    sha256 = project.store.put((project.root / output.path).read_bytes())
    line = project.lock(output.job).line_of(output.path, sha256)
    if line is not None and line.sha256 == sha256:
        project.store.add(
            StoreEntry(
                line.fingerprint,
                sha256,
                line.model_digest,
                line.backend_version,
                line.seconds,
                line.time,
                encoding=line.encoding,
            )
        )


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _place(error: BaseException) -> str:
    trace: Any = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown"
    return f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"  # noqa: PTH119 - a name only
