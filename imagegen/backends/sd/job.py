"""One image's job at a server: queued, waited for, and found again by the run after one that was killed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from imagegen.backends.base import GenerationError, MayBeRunningError, OverdueError, Progress
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.managed_server import ProcessIdentity
from imagegen.backends.sd.client import Client, JobState
from imagegen.backends.sd.field_checks import explain_size
from imagegen.backends.sd.server_log import ServerLog, Stage
from imagegen.backends.text import one_line
from imagegen.errors import Problem

__all__ = ["ImageJob", "JobNotes"]

_NOTES = Path(".imagegen/sd/job.json")
_POLL_S = 0.2
_PATIENCE_S = 30.0
"""Seconds that a server may be silent before its image is given up."""
_FULL_S, _FULL_POLL_S = 3600.0, 0.5
"""Seconds to wait while a server's queue is full, and between two attempts to get into it."""
_SILENT = "see whether it still runs, and start it again if not; then run doit again"
"""It keeps its images in memory: what it has is taken then, and nothing is left of those of one that ended."""
_DECODING_S = 2.0
"""Decoding that takes longer is shown: after the last step it would look as if nothing went on."""
_KEPT_S = 24 * 3600.0
"""Seconds until a job is forgotten that no run has asked for; a server keeps an image for 600."""

_writing = threading.Lock()
"""An image may be begun while another one is finished."""


class JobNotes:
    """The jobs of images in progress, by attempt, in a file of the project at `root`."""

    def __init__(self, root: Path) -> None:
        self._path = root / _NOTES

    def find(self, attempt: str, url: str) -> str:
        """Return the ID of the job that an earlier run queued at this server; empty if none is known."""
        note = self._read().get(attempt, {})
        return str(note["job"]) if note.get("url") == url else ""

    def is_unclear(self, url: str) -> bool:
        """Return whether a run was killed while it queued an image there, and did not hear of its job."""
        return any(note.get("url") == url and not note["job"] for note in self._read().values())

    def write(self, attempt: str, url: str, job: str) -> None:
        """Note an attempt's job; empty until the server has given it an ID."""
        with _writing:
            notes = {one: note for one, note in self._read().items() if time.time() - note["time"] < _KEPT_S}
            self._write({**notes, attempt: {"url": url, "job": job, "time": time.time()}})

    def forget(self, attempt: str = "", url: str = "") -> None:
        """Forget the job of an attempt, or all jobs of a server that has ended."""
        with _writing:
            notes = self._read()
            kept = {one: note for one, note in notes.items() if one != attempt and note.get("url") != url}
            if kept != notes:
                self._write(kept)

    def _read(self) -> dict[str, dict[str, Any]]:
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            found = json.loads(self._path.read_bytes())
            return {
                one: {"url": note["url"], "job": str(note["job"]), "time": float(note["time"])}
                for one, note in found.items()
            }
        return {}

    def _write(self, notes: Mapping[str, Any]) -> None:
        with suppress(OSError):  # then an image is generated again after a kill
            if not notes:
                self._path.unlink(missing_ok=True)
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            written = self._path.with_suffix(".tmp")
            written.write_text(json.dumps(notes, indent=1) + "\n", encoding="utf-8")
            written.replace(self._path)


class ImageJob:
    """One image at one server.

    Args:
        client: the server.
        notes: of the project.
        progress: as for `Backend.generate`.
        log: of a server that this project started, which says how far the image is; None for another one.
        process: that server; None for another one, of which it cannot be known whether it ended.
    """

    def __init__(
        self,
        client: Client,
        notes: JobNotes,
        progress: Progress,
        log: ServerLog | None = None,
        process: ProcessIdentity | None = None,
    ) -> None:
        self._client, self._notes, self._progress = client, notes, progress
        self._log, self._process = log, process
        self._attempt, self._job = "", ""
        self._waited_s = 0.0
        self._shown: Stage | None = None
        self._decoding_s = 0.0

    def run(self, body: Mapping[str, Any]) -> bytes:
        """Have the image generated, or take what the server has generated since a run was killed.

        Raises:
            GenerationError: it cannot be generated.
            Cancelled, OverdueError: the server may go on with it: see `cancel`.
            MayBeRunningError: the server is silent, and may have it, or have had it.
        """
        self._attempt = self._progress.begin_attempt(self._client.url)
        try:
            if self._find() is None:
                self._submit(body)
            state = self._wait()
        except GenerationError as error:
            if not isinstance(error, (MayBeRunningError, OverdueError)):
                self.forget()
            raise
        problem = explain_size(body, state.image) if state.status == "completed" else _explain_end(state)
        if problem is None:
            return state.image
        self.forget()
        raise GenerationError(problem.what, problem.hint)

    def cancel(self) -> bool:
        """Take the image out of the server's queue, and forget it; return whether that was possible.

        One in progress goes on, and is remembered for the next run.
        """
        with suppress(Refused, Unreachable):
            if not self._job or self._client.cancel(self._job):
                self.forget()
                return True
        return False

    def forget(self) -> None:
        """Forget it: it is in the store, or will not be."""
        self._notes.forget(self._attempt)

    def _find(self) -> JobState | None:
        """Return the state of what an earlier run queued for this attempt; None if the server does not have it."""
        self._job = self._notes.find(self._attempt, self._client.url)
        state = self._ask() if self._job else JobState("gone")
        if state.status in ("gone", "cancelled", "failed"):
            return None
        if self._log:
            self._log.mark_last_image()
        what = "is taken from sd-server, which generated it" if state.status == "completed" else "is being generated"
        self._progress.event("note", text=f"{what} for an earlier run")
        return state

    def _submit(self, body: Mapping[str, Any]) -> None:
        """Queue the image; wait while the queue is full."""
        until_s = time.monotonic() + _FULL_S
        self._note("")
        if self._log:
            self._log.mark()
        while True:
            try:
                self._job = self._client.submit(body)
            except Unreachable as error:
                raise MayBeRunningError(f"sd-server does not answer: {error}", _SILENT) from None
            except Refused as refused:
                if refused.status != 429 or time.monotonic() > until_s:
                    raise _explain(refused) from None
            else:
                self._note(self._job)
                return
            self._show_wait("its queue is full")
            self._progress.wait(_FULL_POLL_S)

    def _note(self, job: str) -> None:
        if self._attempt:
            self._notes.write(self._attempt, self._client.url, job)

    def _wait(self) -> JobState:
        """Wait until the job has ended, and show its position in the queue or how far it is."""
        was_queued = False
        while True:
            state = self._ask()
            if state.status == "queued":
                was_queued = True
                self._show_wait(f"{state.position}. in its queue")
            elif state.status == "generating":
                if was_queued:
                    was_queued = False
                    self._progress.event("waiting", text="")
                    if self._log:
                        self._log.mark()  # what it wrote until now is about another image
                self._show_stage()
            else:
                return state
            self._progress.wait(_POLL_S)

    def _show_wait(self, text: str) -> None:
        """Show what it waits for at the server, about once a second; that time is not its own."""
        self._progress.restart_clock()
        if time.monotonic() - self._waited_s >= 1.0:
            self._waited_s = time.monotonic()
            self._progress.event("waiting", text=f"waiting for sd-server … {text}")

    def _show_stage(self) -> None:
        stage = self._log.read_stage() if self._log else None
        if stage is None:
            return
        if stage.is_decoding:
            self._decoding_s = self._decoding_s or time.monotonic()
            if time.monotonic() - self._decoding_s < _DECODING_S:
                return
        if stage != self._shown:
            self._shown = stage
            if stage.is_decoding:
                self._progress.event("waiting", text="decoding the picture")
            else:
                self._progress.event("steps", done=stage.done, total=stage.total)

    def _ask(self) -> JobState:
        """Return the job's state, patiently: the server may be too busy to answer at once."""
        until_s = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return self._client.job(self._job)
            except (Refused, Unreachable) as error:
                if isinstance(error, Refused) and not error.may_pass:
                    raise _explain(error) from None
                if self._process and not self._process.is_alive:
                    return JobState("failed", said="it ended")
                if time.monotonic() > until_s:
                    what = f"sd-server has not answered for {_PATIENCE_S:g} s: {error}"
                    raise MayBeRunningError(what, _SILENT) from None
            self._progress.wait(_POLL_S)


def _explain_end(state: JobState) -> Problem:
    """Return why a job that has ended gave no image."""
    what = {
        "failed": f"sd-server says: {state.said or 'it failed'}",
        "cancelled": "it was cancelled at the server",
    }.get(state.status, "sd-server knows nothing of the image any more")
    return Problem("", what, "run doit again")


def _explain(refused: Refused) -> GenerationError:
    said = refused.answer.get("message") or refused.answer.get("error") or refused.what
    return GenerationError(f"sd-server says: {one_line(str(said))}", refused.hint or "correct what it names")
