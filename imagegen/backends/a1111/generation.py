"""Have a server generate an image: submitted, followed, interrupted where it may be, and its errors explained."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import suppress
from threading import Event
from typing import Any

from imagegen.backends.a1111.client import Answer, Client
from imagegen.backends.address import is_local
from imagegen.backends.base import Cancelled, GenerationError, OverdueError, Progress
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.text import one_line
from imagegen.errors import Problem

__all__ = ["explain", "generate"]

_CHECK_S, _FIRST_POLL_S, _POLL_S = 0.2, 0.5, 1.0
_BUSY_S, _BUSY_POLL_S = 3600.0, 2.0
"""Seconds to wait while a server takes no more requests, and between two attempts."""
_MEMORY = r"out ?of ?memory|bad_alloc|not enough memory|failed to allocate"


def generate(
    client: Client, body: Mapping[str, Any], progress: Progress, *, task: str = "", may_interrupt: bool | None = None
) -> Answer:
    """Have the server generate an image; wait while it takes no more requests.

    Args:
        client: the server.
        body: of the request.
        progress: as for `Backend.generate`.
        task: the ID by which the server knows the request; empty if it takes none.
        may_interrupt: whether a cancelled image is stopped though it may be another person's; None: only if it is not.

    Raises:
        GenerationError: it cannot be generated.
        Cancelled: the user asked to stop.
    """
    until_s = time.monotonic() + _BUSY_S
    body = {**body, "force_task_id": task} if task else body
    while True:
        try:
            return _Run(client, body, progress, task, may_interrupt).wait()
        except Refused as refused:
            if refused.status != 429 or time.monotonic() > until_s:
                problem = explain(refused)
                raise GenerationError(problem.what, problem.hint) from None
        except Unreachable as error:
            what = f"the answer of {client.url} is lost, and the image with it, if it goes on: {error}"
            raise GenerationError(what, "see whether the server still runs, then run doit again") from None
        progress.restart_clock()
        progress.event("waiting", text="waiting for the server … it takes no more requests")
        progress.wait(_BUSY_POLL_S)


class _Run:
    """One request, in a thread of its own, while this one follows it. For the arguments, see `generate`."""

    def __init__(
        self, client: Client, body: Mapping[str, Any], progress: Progress, task: str, may_interrupt: bool | None
    ) -> None:
        self._client, self._body, self._progress = client, body, progress
        self._task, self._may_interrupt = task, may_interrupt
        self._before = client.stage(progress.check)
        self._is_waiting = False
        self._has_ended = Event()

    def wait(self) -> Answer:
        """Return the image, once it is whole. Raises GenerationError, Cancelled, Refused and Unreachable."""
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(self._client.generate, self._body, self._check, math.inf)
            poll_s = time.monotonic() + _FIRST_POLL_S
            try:
                while not wait_for([answer], _CHECK_S).done:
                    self._progress.check()
                    if time.monotonic() >= poll_s:
                        self._show()
                        poll_s = time.monotonic() + _POLL_S
            except (Cancelled, OverdueError):
                self._stop()
                raise
            finally:
                self._has_ended.set()
            found = answer.result()
        stage = self._client.stage(self._progress.check) if self._before else None
        if stage and stage.was_stopped:
            raise GenerationError("somebody stopped it at the server, so it is only half done", "run doit again")
        return found

    def _check(self) -> None:
        if self._has_ended.is_set():
            raise Cancelled

    def _show(self) -> None:
        """Show how far it is, or what it waits for at the server: that time is not its own."""
        task = self._client.task(self._task, self._progress.check) if self._task else None
        stage = self._client.stage(self._progress.check) if self._before and not task else None
        if (task and task.get("queued")) or (stage and self._before and stage.job and stage.job == self._before.job):
            self._is_waiting = True
            self._progress.restart_clock()
            self._progress.event("waiting", text="waiting for the server … it generates another image")
        elif (task and task["active"] is True) or (stage and stage.job):
            if self._is_waiting:
                self._is_waiting = False
                self._progress.restart_clock()
                self._progress.event("waiting", text="")
            done = (task or {}).get("progress") if task else stage.done if stage else 0
            steps = self._body["steps"]
            self._progress.event("steps", done=min(steps, round(float(done or 0) * steps)), total=steps)

    def _stop(self) -> None:
        """Interrupt the image if it is this one that the server generates; otherwise say that the server goes on."""
        with suppress(Refused, Unreachable):
            if self._may_interrupt is not False and self._is_surely_ours():
                self._client.interrupt()
                return
        self._progress.event("note", text=f"{self._client.url} goes on with the image that was cancelled")

    def _is_surely_ours(self) -> bool:
        """Whether what the server generates now is this image, or may be stopped whoever's it is."""
        if task := self._client.task(self._task) if self._task else None:
            return task["active"] is True
        was_idle = self._before is not None and not self._before.job
        return bool(self._may_interrupt) or (was_idle and is_local(self._client.url))


def explain(refused: Refused) -> Problem:
    """Return what the server says is wrong, and what to do."""
    said = one_line(_find_words(refused.answer))
    if re.search(_MEMORY, said, re.IGNORECASE):
        hint = "make the image smaller, take a smaller checkpoint, or start the server with --medvram or the like"
        return Problem("", f"the server ran out of memory: {said}", hint)
    return Problem("", f"the server says: {said}" if said else refused.what, refused.hint or "look at its own log")


def _find_words(answer: Mapping[str, Any]) -> str:
    """Return what an error says, in one of the forms of A1111, Forge, FastAPI, SD.Next, koboldcpp and sd-server."""
    detail = answer.get("detail")
    if isinstance(detail, dict):
        detail = detail.get("msg")
    elif isinstance(detail, list):
        places = [one for one in detail if isinstance(one, dict)]
        detail = "; ".join(f"{'.'.join(map(str, one.get('loc') or ()))}: {one.get('msg')}" for one in places)
    kind = answer.get("error") if answer.get("error") not in ("HTTPException", "server_error") else ""
    said = detail or answer.get("errors") or answer.get("message")
    return ": ".join(dict.fromkeys(str(one) for one in (kind, said) if one))
