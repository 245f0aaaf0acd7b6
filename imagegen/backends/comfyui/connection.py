"""One server during a run, and one prompt's way through it: queued, waited for, downloaded.

A prompt is known by its ID, which is on disk before the server hears of it. So it is looked up before it is queued,
nothing is ever queued twice, and a prompt that the server has forgotten is told from one that is done.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from imagegen.backends.base import GeneratedImage, GenerationError, Progress
from imagegen.backends.comfyui import errors
from imagegen.backends.comfyui.checks import find_spelling
from imagegen.backends.comfyui.client import Client, Events, Refused, Unreachable
from imagegen.backends.comfyui.graph import find_prefixes, get_choices, get_spec, parse_input, replace_inputs
from imagegen.backends.comfyui.prompt import collect_values, get_workflow
from imagegen.backends.comfyui.workflow import Workflow
from imagegen.backends.http import check_while_reading, deadline
from imagegen.backends.text import one_line
from imagegen.plan.request import Request

__all__ = [
    "PATIENCE_S",
    "Connection",
    "generate_image",
]


PATIENCE_S = 45.0
"""Seconds that a server may be away in the middle of a run: one that restarts takes 15 to 30 s."""
_POLLS_S = (0.05, 0.1, 0.1, 0.2, 0.25, 0.5)
"""Seconds between two looks at history, the last for all further ones. A look costs the server 1 to 2 ms."""
_QUEUE_S = 2.0
"""Seconds between two looks at the queue, which holds everybody's graphs."""

_CANCEL_S = 3.0
"""Seconds that a prompt's cancelling may take at the end of its run: somebody waits, or another server has it next."""
_NEVER = threading.Event()

T = TypeVar("T")


class Connection:
    """A server, for all threads of a run. auth: as for the client."""

    def __init__(self, client: Client, auth: str) -> None:
        self.client = client
        self.url = client.url
        self._auth = auth
        self._mutex = threading.Lock()
        self._posting = threading.Lock()
        self._info: dict[str, Mapping[str, Any] | None] = {}
        self._uploaded: dict[str, str] = {}
        self._ours: dict[str, None] = {}
        """Our prompts with the server, in the order in which it has them."""
        self._events: Events | None = None
        self._gone: GenerationError | None = None
        self.stats: Mapping[str, Any] = {}
        self.ended: Callable[[], str] = str
        """How the server ended, where this run started it and it did; else an empty text."""

    def info(self, class_type: str) -> Mapping[str, Any] | None:
        """The entry of /object_info for a node class; asked for once. Raises Unreachable, Refused."""
        if class_type not in self._info:
            self._info[class_type] = self.client.object_info(class_type)
        return self._info[class_type]

    def forget(self) -> None:
        """What was known of the server is known no more: it was started, or has other models."""
        self._info.clear()
        self.stats = {}

    def listen(self) -> None:
        """Open the websocket."""
        if self._events is None:
            self._events = Events(self.url, self._auth)

    def close(self) -> None:
        """The run is over."""
        if self._events is not None:
            self._events.close()
            self._events = None

    def uploaded(self, sha256: str, name: str, data: Callable[[], bytes], progress: Progress) -> str:
        """A reference image on the server, put there once; what a LoadImage node calls it."""
        with self._mutex:
            if sha256 not in self._uploaded:
                self._uploaded[sha256] = self._patiently(lambda: self.client.upload(name, data(), "imagegen"), progress)
            return self._uploaded[sha256]

    @property
    def is_gone(self) -> bool:
        """Whether it was away for too long: nothing more is tried there."""
        return self._gone is not None

    def knows(self, prompt_id: str, progress: Progress) -> bool:
        """Whether it has the prompt in its queue or history. Raises GenerationError, Refused."""
        return self._is_known(prompt_id, progress)

    def run(self, prompt_id: str, graph: Mapping[str, Any], progress: Progress) -> Mapping[str, Any]:
        """Have the prompt run to its end, unless it has already; its entry of history. Raises GenerationError."""
        if self._gone:
            raise self._gone
        client_id = self._events.client_id if self._events else prompt_id
        done = threading.Event()
        shown = _PromptProgress(graph, progress)
        if self._events:
            done = self._events.watch(prompt_id, shown.steps, shown.node)
        finished = False
        try:
            with errors.stage("queue"):
                self._queue(prompt_id, graph, client_id, progress)
            with errors.stage("wait"):
                entry = self._wait(prompt_id, done, progress, shown)
                if entry is None:
                    progress.event(
                        "note", text=f"{self.url} lost a prompt, as when it restarts; it is queued once more"
                    )
                    shown.anew()
                    with errors.stage("queue"):
                        self._queue(prompt_id, graph, client_id, progress)
                    entry = self._wait(prompt_id, done, progress, shown)
                if entry is None:
                    raise errors.UnfitServerError(
                        "the server lost the prompt twice: it is neither in its queue nor in its history",
                        "look at the server's own log",
                    )
            finished = True
        finally:
            with self._mutex:
                self._ours.pop(prompt_id, None)
            if self._events:
                self._events.forget(prompt_id)
            if not finished and not self._gone:
                with contextlib.suppress(Unreachable, Refused), check_while_reading(deadline(_CANCEL_S, Unreachable)):
                    self.client.cancel(prompt_id)
        return entry

    def view(self, image: Mapping[str, Any], progress: Progress) -> bytes:
        """Download an image. Raises GenerationError."""
        try:
            return self._patiently(lambda: self.client.view(image, progress.check), progress)
        except Refused as refused:
            raise errors.explain_download(refused, image) from None

    def _queue(self, prompt_id: str, graph: Mapping[str, Any], client_id: str, progress: Progress) -> None:
        """Queue the prompt unless the server knows it. A POST is not repeated while it may have arrived."""
        if self._is_known(prompt_id, progress):
            self._note(prompt_id)
            return
        for last in (False, True):
            try:
                with (
                    check_while_reading(progress.check),
                    self._posting,
                ):  # else the server could have two in another order than they are noted in
                    self._note(prompt_id)
                    self.client.submit(graph, prompt_id, client_id)
                return
            except Unreachable as error:
                if self._is_known(prompt_id, progress):
                    return
                if last:
                    raise self._is_gone(error) from None
            except Refused as refused:
                # it may have queued it: where number and ID are given twice, or something between broke the answer
                if refused.may_pass and self._is_known(prompt_id, progress):
                    return
                if refused.status == 200:
                    with contextlib.suppress(Unreachable, Refused):
                        self.client.cancel(prompt_id)
                raise errors.explain_refusal(refused, graph) from None

    def _note(self, prompt_id: str) -> None:
        with self._mutex:
            self._ours.setdefault(prompt_id)

    def _is_known(self, prompt_id: str, progress: Progress) -> bool:
        """Whether it is in the queue or in the history; asked in this order, in which it wanders."""
        return self._patiently(
            lambda: prompt_id in self.client.queue() or self.client.history(prompt_id) is not None, progress
        )

    def _wait(
        self, prompt_id: str, done: threading.Event, progress: Progress, shown: _PromptProgress
    ) -> Mapping[str, Any] | None:
        """The entry of history once there is one; None where the server has forgotten the prompt."""
        looked_s = time.monotonic()
        done.clear()
        heeded = False
        for pause_s in _poll_pauses():
            away_s = time.monotonic()
            entry = self._patiently(lambda: self.client.history(prompt_id), progress)
            if entry is not None:
                return entry
            now_s = time.monotonic()
            if now_s - looked_s > _QUEUE_S or now_s - away_s > 1.0:
                looked_s = now_s
                if not self._is_known(prompt_id, progress):
                    return None
            with self._mutex:
                is_next = next(iter(self._ours), "") == prompt_id
            shown.turn(is_next)
            if not is_next:
                progress.restart_clock()  # its own time begins when nothing of ours is before it
            # an event is heeded once: of one that comes again and again there would be no pause
            self._pause(pause_s, _NEVER if heeded else done, progress)
            heeded = heeded or done.is_set()
        raise AssertionError("pauses do not end")

    @staticmethod
    def _pause(seconds: float, done: threading.Event, progress: Progress) -> None:
        """Wait that long, or until the websocket says that the prompt is done."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not done.wait(min(left, 0.1)):
            progress.check()
        progress.check()

    def _patiently(self, ask: Callable[[], T], progress: Progress) -> T:
        """The answer, asked for again while the server is away, for up to PATIENCE_S. Raises GenerationError, Refused.

        So it is too while what it answers may pass: a server error, or a page that something in between put there.
        """
        began_s = time.monotonic()
        pause_s = 0.1
        times = 0
        while True:
            if self._gone:
                raise self._gone
            try:
                with check_while_reading(progress.check):
                    answer = ask()
                if times:
                    progress.event("waiting", text="")
                return answer
            except (Unreachable, Refused) as error:
                times += 1  # one time-out alone can be longer than the patience
                is_over = times > 1 and time.monotonic() - began_s > PATIENCE_S
                if isinstance(error, Unreachable) and (is_over or self.ended()):
                    raise self._is_gone(error) from None
                if isinstance(error, Refused) and (is_over or not error.may_pass):
                    raise
            progress.event("waiting", text="the server does not answer")
            progress.wait(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - only so that clients do not march in step
            pause_s = min(2 * pause_s, 2.0)

    def _is_gone(self, error: Unreachable) -> GenerationError:
        """No more of this run's images are tried on this server."""
        self._gone = errors.explain_absence(self.url, self.ended() or str(error))
        return self._gone


class _PromptProgress:
    """What a person sees of one prompt: that others are before it, that a model is loaded, its steps."""

    def __init__(self, graph: Mapping[str, Any], progress: Progress) -> None:
        self._graph = graph
        self._progress = progress
        self._begun = self._queued = False

    def turn(self, is_next: bool) -> None:
        """Whether none of ours is before it, as far as polling tells."""
        if not self._begun and self._queued == is_next:
            self._queued = not is_next
            self._tell("waiting", text="queued behind another image" if self._queued else "")

    def anew(self) -> None:
        """It is queued once more: none of its steps is done."""
        self._begun = self._queued = False
        self._tell("steps", done=0, total=0)

    def node(self, node: str) -> None:
        """A node of its graph begins."""
        self._begun = True
        loads = "Loader" in str(self._graph.get(node, {}).get("class_type"))
        self._tell("waiting", text="loading the model" if loads else "")

    def steps(self, done: int, total: int) -> None:
        """So many of its steps are done."""
        self._begun = True
        self._tell("steps", done=done, total=total)

    def _tell(self, name: str, **facts: Any) -> None:
        with contextlib.suppress(Exception):  # that it is time to stop is heard where it can be heeded
            self._progress.event(name, **facts)


def _poll_pauses() -> Iterator[float]:
    yield from _POLLS_S
    while True:
        yield _POLLS_S[-1]


def generate_image(connection: Connection, request: Request, prompt_id: str, progress: Progress) -> GeneratedImage:
    """Have the server draw the request, and download what it made. Raises GenerationError."""
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
        data = connection.view(image, progress)
    system = connection.stats.get("system", {})
    devices = [str(device.get("name", "")) for device in connection.stats.get("devices", ())]
    # kept with the image, so no longer than they are where they are right
    facts = {
        "comfyui": one_line(str(system.get("comfyui_version", "")), 40),
        "device": one_line(", ".join(devices)),
    }
    may_be_flat, has_own = bool(request.extra.get("allow_flat")), "graph" in request.extra
    server = connection.url if len(request.extra["urls"]) > 1 else ""
    # a workflow of one's own may scale what it drew
    return GeneratedImage(data, facts, may_be_flat=may_be_flat, any_size=has_own, server=server)


def _fill_graph(
    connection: Connection, request: Request, workflow: Workflow, prompt_id: str, progress: Progress
) -> dict[str, Any]:
    """The graph to be queued, names as the server spells them, files under a prefix that no other prompt has."""
    values = collect_values(request, workflow)
    for text, sha256 in request.extra.get("images", {}).items():
        file = Path(request.extra["files"][text])
        name = f"{sha256[:32]}{file.suffix.lower()}"
        values[parse_input(text)] = connection.uploaded(sha256, name, _reader(file, sha256), progress)
    values |= dict.fromkeys(find_prefixes(workflow.graph), f"imagegen/{prompt_id}")
    graph = replace_inputs(workflow.graph, values)
    for body in graph.values():
        for name, value in body["inputs"].items():
            if isinstance(value, str) and ("/" in value or "\\" in value):
                options = get_choices(*get_spec(connection.info, body["class_type"], name))
                body["inputs"][name] = (find_spelling(value, options) if options else None) or value
    return graph


def _reader(file: Path, sha256: str) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            data = file.read_bytes()
        except OSError as error:
            raise GenerationError(
                f"{file} cannot be read: {error.strerror}", "put it back, then run doit again"
            ) from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise GenerationError(f"{file} was changed in the middle of the run", "run doit again")
        return data

    return read
