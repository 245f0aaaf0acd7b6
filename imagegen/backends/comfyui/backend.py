"""The backend `comfyui`: requests become workflows, which a ComfyUI server runs.

What needs no server stands here and beside it; what does is imported where it is used, so that a run with nothing to
do loads none of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagegen.backends.address import is_local
from imagegen.backends.base import (
    Context,
    Diagnosis,
    GeneratedImage,
    GenerationError,
    ModelIdentity,
    Progress,
    Resolved,
)
from imagegen.backends.comfyui.graph import place_of, prefixes, replaced
from imagegen.backends.comfyui.launch import Launch, can_start
from imagegen.backends.comfyui.models import Folders, digest_of, file_of, names_in
from imagegen.backends.comfyui.options import OPTIONS
from imagegen.backends.comfyui.prompt import values_of, workflow_of
from imagegen.backends.comfyui.section import OF_SECTION, OWN, here, recall, resolve
from imagegen.backends.comfyui.workflow import Workflow
from imagegen.backends.text import one_line
from imagegen.config.settings import Settings
from imagegen.errors import Problem
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from imagegen.backends.comfyui.connection import Connection

__all__ = ["ComfyUIBackend"]


class ComfyUIBackend:
    """One object serves a whole run; it holds a connection for each server."""

    name = "comfyui"
    version = "1"
    parameters = OWN | OF_SECTION
    options: Mapping[str, Any] = OPTIONS
    model_option = "checkpoint"
    default_model = ""
    in_flight = 2
    """So that the server is never idle, and little is lost with it: measured in docs/comfyui.md."""
    at_once = 1
    """A server draws one at a time; the other one waits for it."""
    is_generator = True

    def __init__(self) -> None:
        self._connections: dict[str, Connection] = {}
        self._preparing = threading.Lock()
        self._started: list[Path] = []
        self._away: set[str] = set()
        """Servers that did not answer in preflight, so that each job is still to be checked by their word."""
        self._settings = Settings()

    def resolve(self, section: Mapping[str, Any], context: Context) -> Resolved:
        """Read the workflow and the reference images, find the model's name, and say which server it is for."""
        self._settings = context.settings
        return resolve(section, context)

    def relocated(self, request: Request, context: Context) -> Request:
        """With this machine's server, folders and start-up; a server that the job itself names does not count."""
        self._settings = context.settings
        return replace(request, extra={**request.extra, **here({}, context)})

    def recall(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """LoRAs and VAE; of a workflow of one's own a request records no more than its digest."""
        return recall(fields)

    def only_model(self, request: Request) -> str:
        """The only checkpoint that the server lists, or, while none runs, that its folders hold."""
        from imagegen.backends.comfyui.client import Refused, Unreachable

        connection = self.connection(request)
        try:
            connection.client.system_stats()  # whoever answers may be no ComfyUI
            found = connection.client.models("checkpoints")
            where = f"at the server {connection.url}"
        except Unreachable as error:
            if problem := self._absence(request, error):
                raise GenerationError(problem.what, problem.mend) from None
            found, where = names_in(self.folders(request)["checkpoints"]), "in the folders where ComfyUI looks"
        except Refused as refused:
            raise GenerationError(refused.what, refused.mend) from None
        if len(found) == 1:
            return found[0]
        if not found:
            mend = "doit models:pull, or name the folder where you have one: comfyui.checkpoint_dirs"
            raise GenerationError(f"there is no checkpoint {where}", mend)
        from imagegen.backends.comfyui.checks import choices_text

        what = f"the job names no checkpoint, and there are {len(found)} {where}"
        raise GenerationError(what, f"name it (comfyui.checkpoint, or COMFYUI_CKPT): {choices_text('', found)}")

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        """What the requests ask for against what the server has, or its folders while none runs."""
        from imagegen.backends.comfyui.client import Refused, Unreachable
        from imagegen.backends.comfyui.preflight import in_folders, in_themselves

        problems = in_themselves(requests)
        for server in _by_server(requests):
            connection = self.connection(server[0])
            try:
                problems += self._on_server(connection, server)
            except Unreachable as error:
                self._away.add(connection.url)
                problem = self._absence(server[0], error)
                problems += [problem] if problem else in_folders(server)
            except Refused as refused:
                problems.append(Problem("", refused.what, refused.mend))
        told: dict[tuple[str, str], Problem] = {}
        for problem in problems:  # of a size, the server says the same again
            told.setdefault((problem.where, problem.what), problem)
        return list(told.values())

    def prepare(self, requests: Sequence[Request], progress: Progress) -> Sequence[Problem]:
        """Start the server where none answers; have it forget a model whose file was replaced."""
        with self._preparing:  # one job after another, since they may share a server that is yet to be started
            return self._prepare(requests, progress)

    def _prepare(self, requests: Sequence[Request], progress: Progress) -> Sequence[Problem]:
        from imagegen.backends.comfyui.client import Refused, Unreachable
        from imagegen.backends.comfyui.server import LOG, own_server

        problems: list[Problem] = []
        for server in _by_server(requests):
            connection = self.connection(server[0])
            try:
                connection.stats = connection.client.system_stats()
                if is_local(connection.url) and own_server(Path(server[0].extra["root"])).record():
                    self._start(server[0], progress)  # it may be what a killed run left behind: this one stops it then
            except Unreachable:
                launch = _launch(server[0])
                progress.event("note", text=f"starting ComfyUI, to serve at {launch.url}; its log is {LOG.as_posix()}")
                self._start(server[0], progress)
                connection.forget()
            try:
                if connection.url in self._away:
                    problems += self._on_server(connection, server)
                self._replace_models(connection, server)
            except Unreachable as error:
                problems.append(Problem("", f"ComfyUI at {connection.url} does not answer: {error}", _CHECK))
            except Refused as refused:
                problems.append(Problem("", refused.what, refused.mend))
            connection.listen()
        return problems

    def _start(self, request: Request, progress: Progress) -> None:
        from imagegen.backends.comfyui.model_paths import write_model_paths
        from imagegen.backends.comfyui.server import own_server, start

        launch = _launch(request)
        write_model_paths(launch.root, self._settings)
        started = start(launch, lambda text: progress.event("waiting", text=text), progress.check, "run")
        progress.event("waiting", text="")
        if started.ours:
            self._started.append(launch.root)
            self.connection(request).ended = own_server(launch.root).how_it_ended
        if started.here:
            version = started.status.answer.stats.get("system", {}).get("comfyui_version", "")
            progress.event("note", text=f"ComfyUI {version} serves; it is stopped at the end of the run")

    def close(self) -> None:
        """Close the connections; stop the server that this run started."""
        for connection in self._connections.values():
            connection.close()
        if self._started:
            from imagegen.backends.comfyui.server import release

            for root in dict.fromkeys(self._started):
                release(root)
            self._started.clear()

    def model_identity(self, request: Request) -> ModelIdentity:
        """The checkpoint, and its file's sha256 where the server is on this machine and the file is found."""
        if not is_local(request.extra.get("url", "")):
            return ModelIdentity(request.model)
        path = self._file(request.model, request.extra["folders"])
        memory = Path(request.extra["root"]) / ".imagegen" / "cache" / "models.json"
        return ModelIdentity(request.model, digest_of(path, memory) if path else None)

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Have the server draw the request, and download what it made."""
        from imagegen.backends.comfyui import failures
        from imagegen.backends.comfyui.client import Refused, Unreachable

        connection = self.connection(request)
        workflow = workflow_of(request)
        prompt_id = progress.attempt
        with failures.stage("queue"):
            graph = self._filled(connection, request, workflow, prompt_id, progress)
        entry = connection.run(prompt_id, graph, progress)
        with failures.stage("wait"):
            if failures.is_out_of_memory(entry):
                with contextlib.suppress(Unreachable, Refused):
                    connection.client.free()  # its queue can hang for want of memory until it lets go of its models
            image = failures.image_of(entry, workflow.output)
        with failures.stage("download"):
            data = connection.view(image, progress)
        system = connection.stats.get("system", {})
        devices = [str(device.get("name", "")) for device in connection.stats.get("devices", ())]
        # kept with the image, so no longer than they are where they are right
        facts = {
            "comfyui": one_line(str(system.get("comfyui_version", "")), 40),
            "device": one_line(", ".join(devices)),
        }
        may_be_flat, has_own = bool(request.extra.get("allow_flat")), "graph" in request.extra
        return GeneratedImage(data, facts, may_be_flat=may_be_flat, any_size=has_own)  # it may scale what it drew

    def diagnose(self, requests: Sequence[Request]) -> Sequence[Diagnosis]:
        """Rows for ComfyUI's set-up, the servers, and the checkpoint of each job."""
        from imagegen.backends.comfyui.diagnosis import diagnose

        return list(diagnose(requests, self, self._settings))

    def _filled(
        self, connection: Connection, request: Request, workflow: Workflow, prompt_id: str, progress: Progress
    ) -> dict[str, Any]:
        """The graph to be queued, names as the server spells them, files under a prefix that no other prompt has."""
        from imagegen.backends.comfyui.checks import options_of, spec_of, spelling

        values = values_of(request, workflow)
        for text, sha256 in request.extra.get("images", {}).items():
            file = Path(request.extra["files"][text])
            name = f"{sha256[:32]}{file.suffix.lower()}"
            values[place_of(text)] = connection.uploaded(sha256, name, _reader(file, sha256), progress)
        values |= dict.fromkeys(prefixes(workflow.graph), f"imagegen/{prompt_id}")
        graph = replaced(workflow.graph, values)
        for body in graph.values():
            for name, value in body["inputs"].items():
                if isinstance(value, str) and ("/" in value or "\\" in value):
                    options = options_of(*spec_of(connection.info, body["class_type"], name))
                    body["inputs"][name] = (spelling(value, options) if options else None) or value
        return graph

    def _on_server(self, connection: Connection, requests: Sequence[Request]) -> list[Problem]:
        """What the server itself says of the requests' graphs. Raises Unreachable, Refused."""
        from imagegen.backends.comfyui.preflight import on_server

        connection.stats = connection.client.system_stats()
        return on_server(requests, connection.info, connection.client.class_names)

    def _replace_models(self, connection: Connection, requests: Sequence[Request]) -> None:
        """A server does not notice that a file was replaced under its name: have it forget what it loaded."""
        for request in {request.model: request for request in requests}.values():
            found = self.model_identity(request).digest
            memory = Path(request.extra["root"]) / ".imagegen" / "cache" / "loaded.json"
            if found and _note_model(memory, f"{connection.url} {request.model}", found):
                connection.client.free()

    def connection(self, request: Request) -> Connection:
        """The one of this run to the request's server."""
        from imagegen.backends.comfyui.client import Client
        from imagegen.backends.comfyui.connection import Connection

        url = request.extra["url"]
        if url not in self._connections:
            auth = os.environ.get("COMFYUI_AUTH", "") if request.extra["has_auth"] else ""
            self._connections[url] = Connection(Client(url, auth), auth)
        return self._connections[url]

    @staticmethod
    def folders(request: Request) -> Folders:
        """Where models are looked for while no server runs."""
        found: Folders = json.loads(request.extra["folders"])
        return found

    def serves(self, request: Request) -> bool:
        """Whether the request's server answers."""
        from imagegen.backends.comfyui.client import Refused, Unreachable

        try:
            return bool(self.connection(request).client.system_stats())
        except (Unreachable, Refused):
            return False

    @staticmethod
    def cannot_start(request: Request) -> Problem | None:
        """Why a run cannot start the server where none answers; None where it can."""
        if request.extra["start"] == "never":
            return Problem("", "it is not started by a run", "start it: doit server:start")
        return can_start(_launch(request))

    @classmethod
    def _absence(cls, request: Request, error: Exception) -> Problem | None:
        """That no server answers, where a run cannot start it; its models are not to be found out then."""
        problem, url = cls.cannot_start(request), request.extra["url"]
        mend = problem.mend if problem and is_local(url) else _CHECK
        return problem and Problem("", f"no ComfyUI answers at {url} ({error})", mend)

    @lru_cache(maxsize=256)  # noqa: B019 - the object lives as long as the run
    def _file(self, model: str, folders: str) -> str:
        kinds = json.loads(folders)
        return file_of(model, [*kinds["checkpoints"], *kinds["diffusion_models"], *kinds["unet"]])


_CHECK = "start it where it is, or correct its address: COMFYUI_URL, or comfyui.server.url"


def _launch(request: Request) -> Launch:
    extra = request.extra
    return Launch(
        Path(extra["root"]), extra["url"], tuple(extra["arguments"]), extra["ready_timeout_s"], extra["has_auth"]
    )


def _by_server(requests: Sequence[Request]) -> list[list[Request]]:
    same: dict[str, list[Request]] = defaultdict(list)
    for request in requests:
        same[request.extra["url"]].append(request)
    return list(same.values())


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


def _note_model(memory: Path, name: str, digest: str) -> bool:
    """Remember which file a server loads under a name; whether it was another one before."""
    known: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        known = dict(json.loads(memory.read_bytes()))
    before = known.get(name)
    if before != digest:
        with contextlib.suppress(OSError):
            memory.parent.mkdir(parents=True, exist_ok=True)
            memory.write_text(json.dumps(known | {name: digest}), encoding="utf-8")
    return before not in (None, digest)
