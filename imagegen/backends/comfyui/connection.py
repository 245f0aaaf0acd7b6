"""One server during a run, and one prompt's way through it: queued, waited for, downloaded.

A prompt's ID is on disk before the server hears of it. So a prompt is looked up before it is queued, none is ever
queued twice, and one that the server has forgotten is not taken for one that is done.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from imagegen.backends.base import GeneratedImage, GenerationError, Progress
from imagegen.backends.comfyui import errors
from imagegen.backends.comfyui.checks import find_spelling
from imagegen.backends.comfyui.client import Client, Events
from imagegen.backends.comfyui.graph import find_prefixes, get_choices, get_spec, parse_input, replace_inputs
from imagegen.backends.comfyui.prompt import collect_values, get_workflow
from imagegen.backends.comfyui.swarmui import is_swarmui
from imagegen.backends.comfyui.workflow import Workflow
from imagegen.backends.http import check_while_reading, deadline
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.text import one_line
from imagegen.plan.request import Request

__all__ = ["PATIENCE_S", "Connection", "generate_image"]

PATIENCE_S = 45.0
"""Seconds that a server may be away in the middle of a run: one that restarts takes 15 to 30 s."""
_POLLS_S = (0.05, 0.1, 0.1, 0.2, 0.25, 0.5)
"""Seconds between two looks at the history, the last for all further ones. A look costs the server 1 to 2 ms."""
_QUEUE_S = 2.0
"""Seconds between two looks at the queue, which holds everybody's graphs."""
_CANCEL_S = 3.0
"""Seconds that cancelling a prompt may take: somebody waits for it, or another server has the image next."""
_NEVER = threading.Event()

T = TypeVar("T")


class Connection:
    """One server, for all threads of a run.

    Args:
        auth: the value of the Authorization header, as for the client.
    """

    def __init__(self, client: Client, auth: str) -> None:
        self.client = client
        self.url = client.url
        self.stats: Mapping[str, Any] = {}
        self.describe_end: Callable[[], str] = str
        """How the server ended, if this run started it and it did; else an empty text."""
        self._auth = auth
        self._mutex = threading.Lock()
        self._posting = threading.Lock()
        self._info: dict[str, Mapping[str, Any] | None] = {}
        self._uploaded: dict[str, str] = {}
        self._queued: dict[str, None] = {}
        """Our prompts that are with the server, in the order in which it has them."""
        self._events: Events | None = None
        self._gone: GenerationError | None = None

    def info(self, class_type: str) -> Mapping[str, Any] | None:
        """Return the entry of /object_info for a node class; it is asked for once. Raises Unreachable, Refused."""
        if class_type not in self._info:
            self._info[class_type] = self.client.object_info(class_type)
        return self._info[class_type]

    def reset(self) -> None:
        """Forget what is known of the server: it was started just now."""
        self._info.clear()
        self.stats = {}

    def open_events(self) -> None:
        """Open the websocket."""
        if self._events is None:
            self._events = Events(self.url, self._auth)

    def close(self) -> None:
        """End the run."""
        if self._events is not None:
            self._events.close()
            self._events = None

    @property
    def is_gone(self) -> bool:
        """Whether it was away for too long: nothing more is tried there."""
        return self._gone is not None

    def upload(self, sha256: str, name: str, read: Callable[[], bytes], progress: Progress) -> str:
        """Put a reference image on the server, once, and return what a LoadImage node calls it."""
        with self._mutex:
            if sha256 not in self._uploaded:
                self._uploaded[sha256] = self._retry(lambda: self.client.upload(name, read(), "imagegen"), progress)
            return self._uploaded[sha256]

    def has_prompt(self, prompt_id: str, progress: Progress) -> bool:
        """Whether the prompt is in the server's queue or history. Raises GenerationError, Refused."""
        # asked in the order in which a prompt moves on
        return self._retry(
            lambda: prompt_id in self.client.queue() or self.client.history(prompt_id) is not None, progress
        )

    def run(self, prompt_id: str, graph: Mapping[str, Any], progress: Progress) -> Mapping[str, Any]:
        """Run the prompt to its end, unless it has run already.

        Returns:
            The prompt's entry of the server's history.

        Raises:
            GenerationError: the server refused or lost it, or has been away for too long.
        """
        if self._gone:
            raise self._gone
        display = _PromptDisplay(graph, progress)
        done = self._events.watch(prompt_id, display.steps, display.node) if self._events else threading.Event()
        is_finished = False
        try:
            entry = self._queue_and_wait(prompt_id, graph, done, progress, display)
            is_finished = True
        finally:
            with self._mutex:
                self._queued.pop(prompt_id, None)
            if self._events:
                self._events.forget(prompt_id)
            if not is_finished and not self._gone:
                with contextlib.suppress(Unreachable, Refused), check_while_reading(deadline(_CANCEL_S, Unreachable)):
                    self.client.cancel(prompt_id)
        return entry

    def download(self, image: Mapping[str, Any], progress: Progress) -> bytes:
        """Download an image. Raises GenerationError."""
        try:
            return self._retry(lambda: self.client.view(image, progress.check), progress)
        except Refused as refused:
            raise errors.explain_download(refused, image) from None

    def _queue_and_wait(
        self,
        prompt_id: str,
        graph: Mapping[str, Any],
        done: threading.Event,
        progress: Progress,
        display: _PromptDisplay,
    ) -> Mapping[str, Any]:
        """Queue the prompt, once more if the server loses it, and return its entry of the history."""
        for is_last in (False, True):
            with errors.stage("queue"):
                self._queue(prompt_id, graph, progress)
            with errors.stage("wait"):
                if entry := self._wait(prompt_id, done, progress, display):
                    return entry
                if not is_last:
                    text = f"{self.url} lost a prompt, as when it restarts; it is queued once more"
                    progress.event("note", text=text)
                    display.reset()
                    if self._events and is_swarmui(self.url):
                        # prompts go where its websocket leads; all else goes to its first backend, which may change
                        self._events.reconnect()
        raise errors.UnfitServerError(
            "wait: the server lost the prompt twice: it is neither in its queue nor in its history",
            "look at the server's own log",
        )

    def _queue(self, prompt_id: str, graph: Mapping[str, Any], progress: Progress) -> None:
        """Queue the prompt unless the server has it. A POST is not repeated while it may have arrived."""
        if self.has_prompt(prompt_id, progress):
            self._note(prompt_id)
            return
        client_id = self._events.client_id if self._events else prompt_id
        for is_last in (False, True):
            try:
                # one at a time, so that they are noted in the order in which the server has them
                with check_while_reading(progress.check), self._posting:
                    self._note(prompt_id)
                    self.client.submit(graph, prompt_id, client_id)
                return
            except Unreachable as error:
                if self.has_prompt(prompt_id, progress):
                    return
                if is_last:
                    raise self._give_up(error) from None
            except Refused as refused:
                # it may have queued it, if it had number and ID twice, or something in between broke the answer
                if refused.may_pass and self.has_prompt(prompt_id, progress):
                    return
                if refused.status == 200:
                    with contextlib.suppress(Unreachable, Refused):
                        self.client.cancel(prompt_id)
                raise errors.explain_refusal(refused, graph) from None

    def _note(self, prompt_id: str) -> None:
        with self._mutex:
            self._queued.setdefault(prompt_id)

    def _wait(
        self, prompt_id: str, done: threading.Event, progress: Progress, display: _PromptDisplay
    ) -> Mapping[str, Any] | None:
        """Return the entry of the history once there is one; None if the server has forgotten the prompt."""
        looked_s = time.monotonic()
        done.clear()
        for pause_s in itertools.chain(_POLLS_S, itertools.repeat(_POLLS_S[-1])):
            asked_s = time.monotonic()
            entry = self._retry(lambda: self.client.history(prompt_id), progress)
            if entry is not None:
                return entry
            now_s = time.monotonic()
            if now_s - looked_s > _QUEUE_S or now_s - asked_s > 1.0:
                looked_s = now_s
                if not self.has_prompt(prompt_id, progress):
                    return None
            with self._mutex:
                is_next = next(iter(self._queued), "") == prompt_id
            display.queued(not is_next)
            if not is_next:
                progress.restart_clock()  # its own time begins when nothing of ours is before it
            self._pause(pause_s, done, progress)
            if done.is_set():
                done = _NEVER  # an event that comes again and again would leave no pause
        raise AssertionError("pauses do not end")

    @staticmethod
    def _pause(seconds: float, done: threading.Event, progress: Progress) -> None:
        """Wait that long, or until the websocket says that the prompt is done."""
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0 and not done.wait(min(left_s, 0.1)):
            progress.check()
        progress.check()

    def _retry(self, ask: Callable[[], T], progress: Progress) -> T:
        """Return the answer; ask again while the server is away or its answer may pass, for up to PATIENCE_S.

        Raises:
            GenerationError: the server has been away for too long.
            Refused: the answer does not pass, or has not passed for too long.
        """
        began_s = time.monotonic()
        pause_s = 0.1
        failures = 0
        while True:
            if self._gone:
                raise self._gone
            try:
                with check_while_reading(progress.check):
                    answer = ask()
                if failures:
                    progress.event("waiting", text="")
                return answer
            except (Unreachable, Refused) as error:
                failures += 1  # one time-out alone can be longer than the patience
                is_over = failures > 1 and time.monotonic() - began_s > PATIENCE_S
                if isinstance(error, Unreachable) and (is_over or self.describe_end()):
                    raise self._give_up(error) from None
                if isinstance(error, Refused) and (is_over or not error.may_pass):
                    raise
            progress.event("waiting", text="the server does not answer")
            progress.wait(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - only so that clients do not march in step
            pause_s = min(2 * pause_s, 2.0)

    def _give_up(self, error: Unreachable) -> GenerationError:
        """Try no more of this run's images on this server; return the error that says so."""
        self._gone = errors.explain_absence(self.url, self.describe_end() or str(error))
        return self._gone


class _PromptDisplay:
    """Shows a person how one prompt gets on: queued behind others, loading a model, its steps."""

    def __init__(self, graph: Mapping[str, Any], progress: Progress) -> None:
        self._graph = graph
        self._progress = progress
        self._has_begun = self._is_queued = False

    def queued(self, is_queued: bool) -> None:
        """Whether others of ours are before it, as far as polling knows."""
        if not self._has_begun and self._is_queued != is_queued:
            self._is_queued = is_queued
            self._emit("waiting", text="queued behind another image" if is_queued else "")

    def reset(self) -> None:
        """Start over: it is queued once more, and none of its steps is done."""
        self._has_begun = self._is_queued = False
        self._emit("steps", done=0, total=0)

    def node(self, node: str) -> None:
        """Report that a node of its graph begins."""
        self._has_begun = True
        loads = "Loader" in str(self._graph.get(node, {}).get("class_type"))
        self._emit("waiting", text="loading the model" if loads else "")

    def steps(self, done: int, total: int) -> None:
        """Report how many of its steps are done."""
        self._has_begun = True
        self._emit("steps", done=done, total=total)

    def _emit(self, name: str, **facts: Any) -> None:
        with contextlib.suppress(
            Exception
        ):  # it raises if it is time to stop, which the waiting thread checks by itself
            self._progress.event(name, **facts)


def generate_image(connection: Connection, request: Request, prompt_id: str, progress: Progress) -> GeneratedImage:
    """Have the server generate the request's image, and download it. Raises GenerationError."""
    workflow = get_workflow(request)
    with errors.stage("queue"):
        graph = _fill_graph(connection, request, workflow, prompt_id, progress)
    entry = connection.run(prompt_id, graph, progress)
    with errors.stage("wait"):
        if errors.is_out_of_memory(entry):
            with contextlib.suppress(Unreachable, Refused):
                connection.client.free()  # its queue can hang for want of memory until it lets go of its models
        image = errors.get_image(entry, workflow.output)
    with errors.stage("download"):
        data = connection.download(image, progress)
    system = connection.stats.get("system", {})
    devices = [str(device.get("name", "")) for device in connection.stats.get("devices", ())]
    # the facts are kept with the image, so they are cut to the length that true ones have
    facts = {
        "comfyui": one_line(str(system.get("comfyui_version", "")), 40),
        "device": one_line(", ".join(devices)),
    }
    return GeneratedImage(
        data,
        facts,
        may_be_flat=bool(request.extra.get("allow_flat")),
        any_size="graph" in request.extra,  # a job's own workflow may scale the image
        server=connection.url if len(request.extra["urls"]) > 1 else "",
    )


def _fill_graph(
    connection: Connection, request: Request, workflow: Workflow, prompt_id: str, progress: Progress
) -> dict[str, Any]:
    """Return the graph to queue: names as the server spells them, files under a prefix that no other prompt has."""
    values = collect_values(request, workflow)
    for text, sha256 in request.extra.get("images", {}).items():
        file = progress.file(sha256)
        name = f"{sha256[:32]}{file.suffix.lower()}"
        values[parse_input(text)] = connection.upload(sha256, name, partial(_read, file, sha256), progress)
    values |= dict.fromkeys(find_prefixes(workflow.graph), f"imagegen/{prompt_id}")
    graph = replace_inputs(workflow.graph, values)
    for body in graph.values():
        for name, value in body["inputs"].items():
            if isinstance(value, str) and ("/" in value or "\\" in value):
                choices = get_choices(*get_spec(connection.info, body["class_type"], name))
                body["inputs"][name] = (find_spelling(value, choices) if choices else None) or value
    return graph


def _read(file: Path, sha256: str) -> bytes:
    """Return a reference image's bytes. Raises GenerationError if they are not those that were planned with."""
    try:
        data = file.read_bytes()
    except OSError as error:
        what = f"{file} cannot be read: {error.strerror}"
        raise GenerationError(what, "put it back, then run doit again") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise GenerationError(f"{file} was changed in the middle of the run", "run doit again")
    return data
