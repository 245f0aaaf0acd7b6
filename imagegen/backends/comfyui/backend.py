"""The backend `comfyui`: requests become prompts for one ComfyUI server, or for several.

Modules that talk to a server are imported where they are used, so that a run with nothing to do loads none of them.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagegen.backends.address import is_local
from imagegen.backends.base import (
    Backend,
    Context,
    Diagnosis,
    GeneratedImage,
    GenerationError,
    ModelIdentity,
    Progress,
    Resolved,
    ServerSlot,
)
from imagegen.backends.comfyui.models import Folders, find_file, hash_model, list_names
from imagegen.backends.comfyui.section import (
    FIELD_PARAMETERS,
    OPTIONS,
    SECTION_PARAMETERS,
    recover_section,
    resolve,
    resolve_machine,
)
from imagegen.backends.comfyui.server import launch_for
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, Problem
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from imagegen.backends.comfyui.connection import Connection
    from imagegen.backends.comfyui.servers import Fleet

__all__ = ["ComfyUIBackend"]


class ComfyUIBackend(Backend):
    """One object serves a whole run, with all the servers that its requests name."""

    name = "comfyui"
    version = "1"
    parameters = FIELD_PARAMETERS | SECTION_PARAMETERS
    options: Mapping[str, Any] = OPTIONS
    model_option = "checkpoint"
    default_model = ""
    is_generator = True

    def __init__(self) -> None:
        self._preparing = threading.Lock()
        self._started: list[Path] = []
        self._settings = Settings()

    @cached_property
    def fleet(self) -> Fleet:
        """The servers of this run."""
        from imagegen.backends.comfyui.servers import Fleet

        return Fleet()

    @property
    def in_flight(self) -> int:
        """Some for each server that preflight was asked about."""
        from imagegen.backends.comfyui.servers import AT_A_TIME

        return AT_A_TIME * max(1, len(self.fleet.connections))

    def concurrency(self, request: Request) -> int:
        """A server draws one at a time; what else it was given waits for that."""
        return len(request.extra["urls"])

    def resolve(self, section: Mapping[str, Any], context: Context) -> Resolved:
        """Read the workflow and the reference images, find the model's name, and say which servers it is for."""
        self._settings = context.settings
        return resolve(section, context)

    def relocated(self, request: Request, context: Context) -> Request:
        """With this machine's server, folders and start-up; a server that the job itself names does not count."""
        self._settings = context.settings
        return replace(request, extra={**request.extra, **resolve_machine({}, context)})

    def recover_section(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """LoRAs and VAE; of a workflow of one's own a request records no more than its digest."""
        return recover_section(fields)

    def choose_model(self, request: Request) -> str:
        """The only checkpoint that the servers list, or, while none runs, that its folders hold."""
        from imagegen.backends.comfyui.checks import describe_choices

        found, where = self._checkpoints(request)
        if len(found) == 1:
            return found[0]
        if not found:
            hint = "doit models:pull, or name the folder where you have one: comfyui.checkpoint_dirs"
            raise GenerationError(f"there is no checkpoint {where}", hint)
        what = f"the job names no checkpoint, and there are {len(found)} {where}"
        raise GenerationError(what, f"name it (comfyui.checkpoint, or COMFYUI_CKPT): {describe_choices('', found)}")

    def _checkpoints(self, request: Request) -> tuple[list[str], str]:
        """All that the servers list which answer, and where that is, in words. Raises GenerationError."""
        from imagegen.backends.comfyui.client import Refused, Unreachable
        from imagegen.backends.comfyui.servers import find_absence, refusal_problem

        listed: dict[str, list[str]] = {}
        absent: list[Problem] = []
        for url in request.extra["urls"]:
            client = self.fleet.connection(request, url).client
            try:
                client.system_stats()  # whoever answers may be no ComfyUI
                listed[url] = client.models("checkpoints")
            except Unreachable as error:
                absent += filter(None, [find_absence(request, url, error)])
            except Refused as refused:
                absent.append(refusal_problem(refused))
        if listed:
            where = f"at the server{'s' if len(listed) > 1 else ''} {', '.join(listed)}"
            return sorted({name for names in listed.values() for name in names}), where
        if len(absent) == len(request.extra["urls"]):
            raise GenerationError(absent[0].what, absent[0].hint)
        return list_names(self.folders(request)["checkpoints"]), "in the folders where ComfyUI looks"

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        """What the requests ask for against what the servers have, or its folders while none runs."""
        from imagegen.backends.comfyui.checks import check_requests

        self.fleet.look(requests)
        told: dict[tuple[str, str], Problem] = {}
        for problem in (*check_requests(requests), *self.fleet.problems(requests)):  # of a size, a server says the same
            told.setdefault((problem.where, problem.what), problem)
        return list(told.values())

    def prepare(self, requests: Sequence[Request], progress: Progress) -> Sequence[Problem]:
        """Start the server where none answers; have it forget a model whose file was replaced."""
        from imagegen.backends.comfyui.servers import list_servers

        with self._preparing:  # one job after another, since they may share a server that is yet to be started
            urls = list_servers(requests)
            for url, request in urls.items():
                if not self.fleet.standing(url):
                    self.fleet.stands(url, self._brought(request, url, requests, progress))
            problems = self.fleet.problems(requests)
            if not problems:
                self.fleet.tell_absent(urls, progress)
            return problems

    def _brought(self, request: Request, url: str, requests: Sequence[Request], progress: Progress) -> list[Problem]:
        """Have a server serve; what is wrong with it."""
        from imagegen.backends.comfyui.client import Refused, Unreachable
        from imagegen.backends.comfyui.server import LOG, managed_server
        from imagegen.backends.comfyui.servers import find_absence, refusal_problem

        connection = self.fleet.connection(request, url)
        try:
            try:
                connection.stats = connection.client.system_stats()
                if is_local(url) and managed_server(Path(request.extra["root"])).record():
                    self._start(request, url, progress)  # a killed run may have left it behind: this one stops it then
            except Unreachable as error:
                if problem := find_absence(request, url, error):
                    return [problem]
                progress.event("note", text=f"starting ComfyUI, to serve at {url}; its log is {LOG.as_posix()}")
                self._start(request, url, progress)
                connection.reset()
                connection.stats = connection.client.system_stats()
            self._replace_models(connection, [one for one in requests if url in one.extra["urls"]])
        except Unreachable as error:
            return [Problem("", f"ComfyUI at {url} does not answer: {error}", "see its log, then run doit again")]
        except Refused as refused:
            return [refusal_problem(refused)]
        except ImagegenError as error:
            return [Problem("", problem.what, problem.hint) for problem in error.problems]
        connection.open_events()
        return []

    def _start(self, request: Request, url: str, progress: Progress) -> None:
        from imagegen.backends.comfyui.install import write_model_paths
        from imagegen.backends.comfyui.server import managed_server, start

        launch = launch_for(request, url)
        write_model_paths(launch.root, self._settings)
        started = start(launch, lambda text: progress.event("waiting", text=text), progress.check, "run")
        progress.event("waiting", text="")
        if started.ours:
            self._started.append(launch.root)
            self.fleet.connection(request, url).describe_end = managed_server(launch.root).describe_end
        if started.here:
            version = started.status.answer.stats.get("system", {}).get("comfyui_version", "")
            progress.event("note", text=f"ComfyUI {version} serves; it is stopped at the end of the run")

    def close(self) -> None:
        """Close the connections; stop the server that this run started."""
        self.fleet.close()
        if self._started:
            from imagegen.backends.comfyui.server import release

            for root in dict.fromkeys(self._started):
                release(root)
            self._started.clear()

    def model_identity(self, request: Request) -> ModelIdentity:
        """The checkpoint, and its file's sha256 where all the servers are on this machine and the file is found."""
        if not all(map(is_local, request.extra.get("urls", ("",)))):
            return ModelIdentity(request.model)
        path = self._file(request.model, request.extra["folders"])
        memory = Path(request.extra["root"]) / ".imagegen" / "cache" / "models.json"
        return ModelIdentity(request.model, hash_model(path, memory) if path else None)

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Have the first of its servers draw the request; a run asks for its `place` instead."""
        from imagegen.backends.comfyui.connection import generate_image

        connection = self.fleet.connection(request, request.extra["urls"][0])
        return generate_image(connection, request, progress.begin_attempt(), progress)

    def batch_key(self, request: Request) -> Hashable:
        """The model, and the servers that can draw it."""
        return self.fleet.group(request)

    def pick_server(self, waiting: Mapping[Any, int]) -> tuple[Hashable, ServerSlot] | None:
        """At the server that draws it soonest, with as few models loaded as can be."""
        from imagegen.backends.comfyui.servers import ServerPlace

        found = self.fleet.pool.place(waiting)
        return found and (found[0], ServerPlace(self.fleet, found[1]))

    def explain(self, request: Request) -> Sequence[str]:
        """Where each field goes in a workflow of one's own."""
        from imagegen.backends.comfyui.prompt import explain

        return explain(request)

    def diagnose(self, requests: Sequence[Request]) -> Sequence[Diagnosis]:
        """Rows for ComfyUI's set-up, the servers, and the checkpoint of each job."""
        from imagegen.backends.comfyui.doctor import diagnose

        return list(diagnose(requests, self, self._settings))

    def _replace_models(self, connection: Connection, requests: Sequence[Request]) -> None:
        """A server does not notice that a file was replaced under its name: have it forget what it loaded."""
        for request in {request.model: request for request in requests}.values():
            found = self.model_identity(request).digest
            memory = Path(request.extra["root"]) / ".imagegen" / "cache" / "loaded.json"
            if found and _note_model(memory, f"{connection.url} {request.model}", found):
                connection.client.free()

    @staticmethod
    def folders(request: Request) -> Folders:
        """Where models are looked for while no server runs."""
        found: Folders = json.loads(request.extra["folders"])
        return found

    @lru_cache(maxsize=256)  # noqa: B019 - the object lives as long as the run
    def _file(self, model: str, folders: str) -> str:
        kinds = json.loads(folders)
        return find_file(model, [*kinds["checkpoints"], *kinds["diffusion_models"], *kinds["unet"]])


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
