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

from imagegen.backends.address import is_local, is_startable
from imagegen.backends.base import (
    Backend,
    Diagnosis,
    GeneratedImage,
    GenerationError,
    ModelIdentity,
    Progress,
    Resolved,
    ServerSlot,
)
from imagegen.backends.comfyui.section import (
    FIELD_PARAMETERS,
    LOCAL_OPTIONS,
    OPTIONS,
    SECTION_PARAMETERS,
    recover_section,
    resolve,
    resolve_machine,
)
from imagegen.backends.models import (
    EXTRA_PATHS,
    Folders,
    digest_cache,
    find_file,
    hash_model,
    list_candidates,
    list_names,
)
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
        self._machines: dict[str, dict[str, Any]] = {}

    @cached_property
    def fleet(self) -> Fleet:
        """The servers of this run."""
        from imagegen.backends.comfyui.servers import Fleet

        return Fleet()

    @property
    def in_flight(self) -> int:
        """A few for each server that preflight was asked about."""
        from imagegen.backends.comfyui.servers import AT_A_TIME

        return AT_A_TIME * max(1, len(self.fleet.connections))

    def concurrency(self, request: Request) -> int:
        """One for each server: what else it was given waits for that."""
        return len(self.localize(request).extra["urls"])

    def resolve(self, section: Mapping[str, Any]) -> Resolved:
        """Read the workflow and the reference images, and name the model and the servers."""
        return resolve(section, self.context)

    def strip_local(self, request: Request) -> Request:
        """Remove servers and folders that the job names: they do not count on another machine."""
        extra = {key: value for key, value in request.extra.items() if key not in LOCAL_OPTIONS}
        return replace(request, extra=extra)

    def localize(self, request: Request) -> Request:
        """Return the request with this machine's servers, folders and settings beside what it holds."""
        extra = request.extra
        if "urls" in extra:
            return request
        key = json.dumps([extra.get(option) for option in LOCAL_OPTIONS])
        if key not in self._machines:
            self._machines[key] = resolve_machine(extra, self.context)
        return replace(request, extra={**extra, **self._machines[key]})

    def recover_section(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the LoRAs and the VAE. Of a job's own workflow, only the digest is recorded."""
        return recover_section(fields)

    def choose_model(self, request: Request) -> str:
        """Return the only checkpoint that the servers list, or, while none runs, that the folders hold."""
        from imagegen.backends.choices import describe_choices

        found, where = self._list_checkpoints(self.localize(request))
        if len(found) == 1:
            return found[0]
        if not found:
            hint = "doit models:pull, or name the folder where you have one: comfyui.checkpoint_dirs"
            raise GenerationError(f"there is no checkpoint {where}", hint)
        what = f"the job names no checkpoint, and there are {len(found)} {where}"
        raise GenerationError(what, f"name it (comfyui.checkpoint, or COMFYUI_CKPT): {describe_choices('', found)}")

    def _list_checkpoints(self, request: Request) -> tuple[list[str], str]:
        """Return the checkpoints that there are, and where that is, in words. Raises GenerationError."""
        from imagegen.backends.comfyui.servers import find_absence
        from imagegen.backends.json_api import Refused, Unreachable

        listed: dict[str, list[str]] = {}
        absent: list[Problem] = []
        for url in request.extra["urls"]:
            client = self.fleet.connection(request, url).client
            try:
                client.system_stats()  # what answers may not be ComfyUI
                listed[url] = client.models("checkpoints")
            except Unreachable as error:
                absent += filter(None, [find_absence(request, url, error)])
            except Refused as refused:
                absent.append(refused.problem)
        if listed:
            where = f"at the server{'s' if len(listed) > 1 else ''} {', '.join(listed)}"
            return sorted({name for names in listed.values() for name in names}), where
        if len(absent) == len(request.extra["urls"]):
            raise GenerationError(absent[0].what, absent[0].hint)
        return list_names(self.folders(request)["checkpoints"]), "in the folders where ComfyUI looks"

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        """Check the requests by themselves, and against the servers, or the folders while none runs."""
        from imagegen.backends.comfyui.checks import check_requests

        requests = [self.localize(one) for one in requests]
        self.fleet.ask_servers(requests)
        found: dict[tuple[str, str], Problem] = {}  # a server says the same about a size, with another hint
        for problem in (*check_requests(requests), *self.fleet.find_problems(requests)):
            found.setdefault((problem.where, problem.what), problem)
        return list(found.values())

    def prepare(self, requests: Sequence[Request], progress: Progress) -> Sequence[Problem]:
        """Start the server if none answers, and have it forget a model whose file was replaced."""
        from imagegen.backends.comfyui.servers import list_servers

        requests = [self.localize(one) for one in requests]
        with self._preparing:  # one job after another, since they may share a server that is yet to be started
            urls = list_servers(requests)
            for url, request in urls.items():
                if not self.fleet.server_problems(url):
                    self.fleet.set_prepared(url, self._bring_up(request, url, requests, progress))
            problems = self.fleet.find_problems(requests)
            if not problems:
                self.fleet.report_absent(urls, progress)
            return problems

    def _bring_up(self, request: Request, url: str, requests: Sequence[Request], progress: Progress) -> list[Problem]:
        """Have a server serve, and return what keeps it from that."""
        from imagegen.backends.comfyui.server import LOG, managed_server
        from imagegen.backends.comfyui.servers import find_absence
        from imagegen.backends.json_api import Refused, Unreachable

        connection = self.fleet.connection(request, url)
        try:
            try:
                connection.stats = connection.client.system_stats()
                if is_startable(url) and managed_server(Path(request.extra["root"])).read_record():
                    self._start(request, url, progress)  # this run stops it at its end if a killed run left it behind
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
            return [refused.problem]
        except ImagegenError as error:
            return [Problem("", problem.what, problem.hint) for problem in error.problems]
        connection.open_events()
        return []

    def _start(self, request: Request, url: str, progress: Progress) -> None:
        from imagegen.backends.comfyui.install import write_model_paths
        from imagegen.backends.comfyui.server import launch_for, managed_server, start

        launch = launch_for(request, url)
        write_model_paths(launch.root, self.context.settings)
        started = start(launch, lambda text: progress.event("waiting", text=text), progress.check, "run")
        progress.event("waiting", text="")
        if started.is_of_this_run:
            self._started.append(launch.root)
            self.fleet.connection(request, url).describe_end = managed_server(launch.root).describe_end
        if started.is_new:
            version = started.status.answer.stats.get("system", {}).get("comfyui_version", "")
            progress.event("note", text=f"ComfyUI {version} serves; it is stopped at the end of the run")

    def close(self) -> None:
        """Close the connections, and stop the server that this run started."""
        self.fleet.close()
        if self._started:
            from imagegen.backends.comfyui.server import managed_server

            for root in dict.fromkeys(self._started):
                managed_server(root).release()
            self._started.clear()

    def model_identity(self, request: Request) -> ModelIdentity:
        """Return the checkpoint, and its file's sha256 if all the servers are on this machine and the file is found."""
        request = self.localize(request)
        if not all(map(is_local, request.extra["urls"])):
            return ModelIdentity(request.model)
        root = Path(request.extra["root"])
        path = self._file(request.model, request.extra["folders"])
        digest = hash_model(path, digest_cache(root)) if path else None
        files = list_candidates(request.model, _main_folders(request.extra["folders"]))
        return ModelIdentity(request.model, digest, (*files, str(root / EXTRA_PATHS)))

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Generate the image at the first of its servers; a run asks `pick_server` for a server instead."""
        from imagegen.backends.comfyui.connection import generate_image

        request = self.localize(request)
        connection = self.fleet.connection(request, request.extra["urls"][0])
        return generate_image(connection, request, progress.begin_attempt(), progress)

    def batch_key(self, request: Request) -> Hashable:
        """Return the model and the servers that can generate it."""
        return self.fleet.batch_key(self.localize(request))

    def pick_server(self, waiting: Mapping[Any, int]) -> tuple[Hashable, ServerSlot] | None:
        """Choose the server that generates it soonest, with as few models loaded as possible."""
        from imagegen.backends.comfyui.servers import ServerPlace

        found = self.fleet.pool.pick(waiting)
        return found and (found[0], ServerPlace(self.fleet, found[1], self.localize))

    def explain(self, request: Request) -> Sequence[str]:
        """Return where each field goes in a job's own workflow."""
        from imagegen.backends.comfyui.prompt import explain

        return explain(request)

    def diagnose(self, requests: Sequence[Request]) -> Sequence[Diagnosis]:
        """Return rows for ComfyUI's installation, the servers, and the checkpoint of each job."""
        from imagegen.backends.comfyui.doctor import diagnose

        return list(diagnose([self.localize(one) for one in requests], self, self.context.settings))

    def _replace_models(self, connection: Connection, requests: Sequence[Request]) -> None:
        """Have the server forget what it loaded from a file that was replaced, which it does not notice by itself."""
        for request in {request.model: request for request in requests}.values():
            digest = self.model_identity(request).digest
            if digest and _is_replaced(Path(request.extra["root"]), f"{connection.url} {request.model}", digest):
                connection.client.free()

    @staticmethod
    def folders(request: Request) -> Folders:
        """Return the folders where models are looked for while no server runs."""
        found: Folders = json.loads(request.extra["folders"])
        return found

    @lru_cache(maxsize=256)  # noqa: B019 - the object lives as long as the run
    def _file(self, model: str, folders: str) -> str:
        return find_file(model, _main_folders(folders))


def _main_folders(folders: str) -> list[str]:
    """Return the folders that have a workflow's main model, of those that are given as JSON."""
    kinds = json.loads(folders)
    return [*kinds["checkpoints"], *kinds["diffusion_models"], *kinds["unet"]]


def _is_replaced(root: Path, name: str, digest: str) -> bool:
    """Remember the file that a server loads under a name, and return whether it was another one before."""
    memory = root / ".imagegen" / "cache" / "loaded.json"
    known: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        known = dict(json.loads(memory.read_bytes()))
    before = known.get(name)
    if before != digest:
        with contextlib.suppress(OSError):
            memory.parent.mkdir(parents=True, exist_ok=True)
            memory.write_text(json.dumps(known | {name: digest}), encoding="utf-8")
    return before not in (None, digest)
