"""Have a server generate an image: followed while it does, and interrupted only if it is surely this image."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from imagegen.backends.a1111.programs import DRAW_THINGS
from imagegen.backends.a1111.server import Server, Stage
from imagegen.backends.address import is_local
from imagegen.backends.base import Cancelled, GenerationError, OverdueError, Progress
from imagegen.backends.http import check_while_reading
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.refusals import explained
from imagegen.backends.retry import call_with_retries

__all__ = ["Generation"]

_NOT_LISTED = "in the job, these are a1111.checkpoint, a1111.loras and sampler"
"""What Draw Things has no lists of, so that only its answer says what it does not have."""
_FIRST_POLL_S, _POLL_S = 0.5, 1.0


class Generation:
    """One image at a server, followed by its task's ID, if the program takes one.

    may_interrupt: whether it is stopped though the server may generate another person's; None: only if it does not.
    """

    def __init__(
        self, server: Server, body: Mapping[str, Any], progress: Progress, task: str, may_interrupt: bool | None
    ) -> None:
        self._server, self._progress, self._task, self._may_interrupt = server, progress, task, may_interrupt
        self._body = {**body, "force_task_id": task} if task else body
        self._before: Stage | None = None
        """What the server generated before; None if it does not say."""
        self._current, self._may_wait = "", False
        self._seen: list[Stage] = []
        """What it generated since, as far as that is this image."""
        self._poll_s = 0.0

    def run(self) -> tuple[bytes, Mapping[str, Any]]:
        """Return the whole image, and what the server says of it. Raises GenerationError, and Cancelled."""
        with explained(self._server.url, _NOT_LISTED if self._server.program.name == DRAW_THINGS.name else ""):
            image, info = call_with_retries(self._send, self._progress)
        if self._before and self._was_stopped():
            raise GenerationError("somebody stopped it at the server, so it is only half done", "run doit again")
        return image, info

    def _send(self) -> tuple[bytes, Mapping[str, Any]]:
        with check_while_reading(self._progress.check):
            self._before = self._server.stage()
            self._current, self._may_wait, self._seen = "", bool(self._before and self._before.job), []
            if "lora" in self._body:
                self._server.find("/sdapi/v1/loras")  # sd-server takes only those that it listed since its start
        self._poll_s = time.monotonic() + _FIRST_POLL_S
        try:
            return self._server.generate(self._body, self._follow)
        except (Cancelled, OverdueError):
            if self._may_interrupt is not False and self._is_ours():
                with suppress(Refused, Unreachable):
                    self._server.interrupt()
                    raise
            text = f"{self._server.url} goes on with the image, but its result is not used"
            self._progress.event("note", text=text)
            raise

    def _follow(self) -> None:
        """Once a second, show how far it is. Called every moment while its answer is awaited."""
        self._progress.check()
        if time.monotonic() > self._poll_s:
            self._poll_s = math.inf  # what is asked here comes back here
            self._show()
            self._poll_s = time.monotonic() + _POLL_S

    def _show(self) -> None:
        """Show how far it is, or that it waits for another image: that time is not its own.

        Without an ID, whose image it is that began after another one is not known: the last of them is this one.
        """
        task, now = self._look()
        stage = task or now
        if stage and self._is_anothers(stage):
            self._may_wait = True
            self._progress.restart_clock()
            self._progress.event("waiting", text="waiting for the server … it generates another image")
        elif stage and stage.job:
            if stage.job != self._current and self._may_wait:
                self._seen.clear()
                self._progress.restart_clock()
                self._progress.event("waiting", text="")
            self._current = stage.job
            if now:
                self._seen.append(now)
            steps = self._body["steps"]
            self._progress.event("steps", done=round(stage.done * steps), total=steps)

    def _look(self) -> tuple[Stage | None, Stage | None]:
        """Return how far this image is, by its ID, and what the server generates; None for what it does not say."""
        task = self._server.task_stage(self._task) if self._task else None
        return task, self._server.stage() if self._before else None

    def _is_anothers(self, stage: Stage) -> bool:
        return stage.is_queued or bool(stage.job and self._before and stage.job == self._before.job)

    def _is_ours(self) -> bool:
        """Whether what the server generates is this image, or may be stopped even if it is another person's.

        While another one is known to be generated, stopping that would not stop this one.
        """
        task, now = self._look()
        if task:
            return bool(task.job)
        if now and self._is_anothers(now):
            return False
        was_idle = self._before is not None and not self._before.job
        return bool(self._may_interrupt) or (was_idle and is_local(self._server.url))

    def _was_stopped(self) -> bool:
        """Whether somebody interrupted it. The server says so until another image begins: what was seen counts too."""
        return any(stage.was_stopped for stage in (self._server.stage(), *self._seen) if stage)
