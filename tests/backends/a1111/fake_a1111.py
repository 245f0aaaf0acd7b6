"""A fake server with A1111's API on a real port, which can be each of the programs that have it, with their traps.

It generates one image at a time, in the order in which they were asked for. An image takes no time, unless `hold` stops
it in its middle. See fake_programs for what a program makes of a request.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from tests.backends.a1111.fake_programs import PROGRAMS, Picture, RejectedError

__all__ = ["PATIENCE_S", "Asked", "FakeA1111", "Gate"]

PATIENCE_S = 60.0
"""Seconds that a test waits at most for what must come: long enough for a busy machine."""

Fault = Literal["out of memory", "no image", "cut", "busy", "not json", "broken image", "error", "vanish"]


@dataclass(frozen=True)
class Asked:
    """One request that came."""

    method: str
    path: str
    body: Any
    authorization: str


@dataclass(eq=False)
class Gate:
    """Where an image waits in its middle. reached: it is there. opened: it goes on."""

    prompt: str
    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def wait_reached(self) -> None:
        """Wait until an image is there."""
        assert self.reached.wait(PATIENCE_S), f"no image of '{self.prompt}' was begun"

    def open(self) -> None:
        """Let it go on."""
        self.opened.set()


@dataclass(eq=False)
class _Job:
    """An image that waits for its turn, or has it."""

    picture: Picture
    id: str
    name: str
    gate: Gate | None = None
    at: int = -1
    """Where its picture is among those that were begun; −1 while it waits."""

    @property
    def sampled(self) -> int:
        """The steps that are done: an image is only ever seen in its middle."""
        return self.picture.steps // 2


class FakeA1111:
    """One server, which serves until it is closed.

    Attributes:
        program: what it is; its lists and its format may be changed.
        auth: user:password that it asks for; empty for none.
        info: in which form it says what it did: as the program has it, or in another one.
        prefix: whether images come as data: URIs.
        has_api: whether A1111 was started with --api.
        has_task_ids: whether /internal/progress answers, as it does without --nowebui.
        takes: fields of a picture that it takes in place of what was asked, and reports as far as the program does.
        done: how much of an image is done in its middle, as its progress says.
        stops_at_once: whether an image that is interrupted in its middle ends at once, or only if its gate is opened.
        says: answers in place of its own, by the end of the path: JSON, or bytes as they are.
        asked: all requests that came, in order. pictures: each that was begun. interrupts: how often it was asked to.
    """

    def __init__(self, program: str = "a1111", auth: str = "") -> None:
        self.program, self.auth = PROGRAMS[program](), auth
        self.info: Literal["", "object", "empty", "absent"] = ""
        self.prefix, self.has_api, self.has_task_ids = False, True, True
        self.takes: Mapping[str, Any] = {}
        self.done, self.stops_at_once = 0.5, True
        self.says: Mapping[str, Any] = {}
        self.asked: list[Asked] = []
        self.pictures: list[Picture] = []
        self.interrupts = 0
        self._faults: Counter[Fault] = Counter()
        self._gates: list[Gate] = []
        self._changed = threading.Condition()
        self._queue: list[_Job] = []
        self._finished: list[str] = []
        self._interrupted = False
        self._begun = 0
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> FakeA1111:
        return self

    def __exit__(self, *_: object) -> None:
        self.open_gates()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # what it is to do

    def hold(self, prompt: str = "") -> Gate:
        """Stop the next image that has this in its prompt, in its middle."""
        self._gates.append(Gate(prompt))
        return self._gates[-1]

    def open_gates(self) -> None:
        """Let all images go on that were stopped."""
        for gate in self._gates:
            gate.open()

    def fault(self, kind: Fault, times: int = 1) -> None:
        """Let the next images, so many, go wrong.

        busy: it takes no more requests. cut: the connection breaks once the image is begun. vanish: the same, and
        nothing answers any more. no image: a success without one. error: a fault inside the program.
        """
        self._faults[kind] += times

    @contextmanager
    def other_client(self, prompt: str = "somebody else's") -> Iterator[Gate]:
        """Have another client's image generated meanwhile, or until the gate is opened."""
        gate = self.hold(prompt)
        thread = self.ask(prompt)
        gate.wait_reached()
        try:
            yield gate
        finally:
            gate.open()
            thread.join(PATIENCE_S)

    def ask(self, prompt: str) -> threading.Thread:
        """Ask for an image, as another client does. Returns what waits for it."""
        body = {"prompt": prompt, "width": 64, "height": 64, "steps": 20, "seed": 1, "cfg_scale": 7}
        body |= {"sampler_name": self.program.samplers[0], "negative_prompt": ""}
        thread = threading.Thread(target=self._post, args=("/sdapi/v1/txt2img", body), daemon=True)
        thread.start()
        return thread

    def interrupt(self) -> None:
        """Stop what is generated, as a person does who clicks on Interrupt."""
        self._post("/sdapi/v1/interrupt", {})

    def _post(self, path: str, body: Mapping[str, Any]) -> None:
        connection = HTTPConnection("127.0.0.1", self._server.server_port, timeout=PATIENCE_S)
        credentials = base64.b64encode(self.auth.encode()).decode()
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {credentials}", "X-Other": "yes"}
        with suppress(OSError):
            connection.request("POST", path, json.dumps(body), headers)
            connection.getresponse().read()
        connection.close()

    # what it did

    def count(self, path: str) -> int:
        """Return how often a path was asked for that ends so."""
        return sum(asked.path.partition("?")[0].endswith(path) for asked in self.asked)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The body of each request for an image."""
        return [one.body for one in self.asked if one.path.endswith(("/txt2img", "/img2img"))]

    @property
    def queue(self) -> list[str]:
        """The prompts of the image that is generated and of those that wait."""
        with self._changed:
            return [job.picture.prompt for job in self._queue]

    # what the handler asks it

    def get(self, path: str) -> tuple[int, Any]:
        """Answer a GET. path: without its query."""
        is_api = path.startswith("/sdapi/")
        if self.program.has_progress and path == "/sdapi/v1/progress" and self.has_api:
            return 200, self._progress()
        found = self.program.get(path) if self.has_api or not is_api else None
        if found is None or (path.startswith("/internal/") and not self.has_task_ids):
            return self.program.answer_unknown()
        return found

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Answer a POST."""
        if path in ("/sdapi/v1/txt2img", "/sdapi/v1/img2img") and self.has_api:
            try:
                return self._generate(path.rpartition("/")[2], body)
            except RejectedError as error:
                return error.status, error.body
        if path == "/sdapi/v1/interrupt" and self.program.has_progress and self.has_api:
            self._interrupt()
            return (204, "") if self.program.name == "sdnext" else (200, {})
        if path == "/internal/progress" and self.has_task_ids and self.program.has_progress:
            return 200, self._progress_of(body.get("id_task", ""))
        return self.program.answer_unknown()

    def _take(self, kind: Fault) -> bool:
        with self._changed:
            self._faults[kind] -= 1 if (strikes := self._faults[kind] > 0) else 0
            return strikes

    def _generate(self, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        if self._take("busy"):
            return self._refuse_busy()
        whole = replace(self.program.read(path, body), **self.takes)
        job = _Job(whole, body.get("force_task_id", "") if self.program.has_progress else "", f"scripts_{path}")
        try:
            picture = self._sample(job)
        finally:
            with self._changed:
                self._queue.remove(job)
                self._finished.append(job.id)
                self._changed.notify_all()
        return self._answer(picture, body)

    def _refuse_busy(self) -> tuple[int, Any]:
        if self.program.name == "koboldcpp":
            said = {"msg": "Server is busy; please try again later.", "type": "service_unavailable"}
            return 503, {"detail": said}
        return 429, {"error": "RateLimitExceeded", "detail": "Rate limit exceeded"}

    def _sample(self, job: _Job) -> Picture:
        """Wait for the turn; then do the steps. Returns the picture, half-done if somebody interrupts it."""
        with self._changed:
            self._queue.append(job)
            self._changed.wait_for(lambda: self._queue[0] is job)
            self._interrupted = False
            self._begun += 1
            self.pictures.append(job.picture)
            job.at = len(self.pictures) - 1
            job.gate = next((one for one in self._gates if self._stops(one, job)), None)
        if job.gate:
            job.gate.reached.set()
            job.gate.opened.wait()
        with self._changed:
            return self.pictures[job.at]

    def _stops(self, gate: Gate, job: _Job) -> bool:
        return gate.prompt in job.picture.prompt and not gate.reached.is_set()

    def _answer(self, picture: Picture, body: Mapping[str, Any]) -> tuple[int, Any]:
        if self._take("cut"):
            raise ConnectionAbortedError
        if self._take("vanish"):
            threading.Thread(target=self._server.shutdown).start()
            self._server.server_close()
            raise ConnectionAbortedError
        if self._take("out of memory"):
            return self.program.run_out_of_memory()
        if self._take("error"):
            raise self.program.refuse(500, "A tensor with all NaNs was produced in Unet.", "NansException")
        if self._take("not json"):
            return 200, "<html>a proxy's page"
        data = picture.encode(self.program.format)
        data = data[: len(data) // 2] if self._take("broken image") else data
        image = base64.b64encode(data).decode()
        prefixed = f"data:image/{self.program.format};base64,{image}" if self.prefix else image
        info = self.program.describe(picture)
        answer = self.program.answer(prefixed, info, body)
        if self._take("no image"):
            answer["images"] = []
        if self.info == "absent":
            answer.pop("info", None)
        elif self.info:
            answer["info"] = "" if self.info == "empty" else info
        return 200, answer

    # progress and interrupts

    def _interrupt(self) -> None:
        """Stop what is generated now, even for another client; nothing is remembered for what waits."""
        with self._changed:
            self.interrupts += 1
            self._interrupted = True
            job = self._queue[0] if self._queue else None
            if job and job.gate:
                self.pictures[job.at] = replace(job.picture, is_whole=False)
                if self.stops_at_once:
                    job.gate.open()

    def _progress(self) -> dict[str, Any]:
        with self._changed:
            job = self._queue[0] if self._queue else None
            state = {
                "skipped": False,
                "interrupted": self._interrupted,
                "stopping_generation": False,
                "job": job.name if job else "",
                "job_count": 1 if job else 0,
                "job_timestamp": f"20261129{self._begun:06}",
                "job_no": 0,
                "sampling_step": job.sampled if job else 0,
                "sampling_steps": job.picture.steps if job else 0,
            }
            progress = self.done if job else 0.0
        found = {"progress": progress, "eta_relative": 1.0, "state": state, "current_image": None, "textinfo": None}
        return {**found, "id": "x"} if self.program.name == "sdnext" else found

    def _progress_of(self, task: str) -> dict[str, Any]:
        with self._changed:
            ids = [job.id for job in self._queue]
            is_active = bool(task) and ids[:1] == [task]
            is_queued = bool(task) and task in ids[1:]
            text = f"In queue: {ids.index(task)}/{len(ids) - 1}" if is_queued else None if is_active else "Waiting..."
            progress = {"progress": self.done, "eta": 1.0} if is_active else {"progress": None, "eta": None}
            seen = {"active": is_active, "queued": is_queued, "completed": task in self._finished}
            return {**seen, **progress, "live_preview": None, "id_live_preview": -1, "textinfo": text}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: the client has gone."""


def _handler(fake: FakeA1111) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            self._note(None)
            self._send(*(self._refuse_auth(path) or fake.get(path)))

        def _replace(self, answer: Any) -> Any:
            path = self.path.partition("?")[0]
            return next((said for end, said in fake.says.items() if path.endswith(end)), answer)

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.loads(data) if data else None
            self._note(body)
            try:
                answer = self._refuse_auth(self.path) or fake.post(self.path, body)
            except ConnectionAbortedError:
                self.close_connection = True
                return
            self._send(*answer)

        def _note(self, body: Any) -> None:
            if "X-Other" not in self.headers:
                fake.asked.append(Asked(self.command, self.path, body, self.headers.get("Authorization", "")))

        def _refuse_auth(self, path: str) -> tuple[int, Any] | None:
            """As A1111, which does not say in which way to authenticate; /internal is open."""
            expected = f"Basic {base64.b64encode(fake.auth.encode()).decode()}"
            given = self.headers.get("Authorization", "")
            if not fake.auth or path.startswith("/internal/") or given == expected:
                return None
            said = "Incorrect username or password" if given else "Not authenticated"
            error = fake.program.refuse(401, said)
            return error.status, error.body

        def _send(self, status: int, answer: Any) -> None:
            answer = self._replace(answer.encode() if isinstance(answer, str) else answer)
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            kind = "text/html" if isinstance(answer, bytes) else "application/json"
            with suppress(OSError):  # the client has gone
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
