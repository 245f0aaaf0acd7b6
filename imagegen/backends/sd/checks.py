"""Preflight: everything that would keep a job's images from being generated, before any is. Starts no server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from imagegen.backends.address import is_local
from imagegen.backends.choices import check_each, sort_by_likeness
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.sd.client import Capabilities
from imagegen.backends.sd.field_checks import check_choices, check_fields, describe_fields
from imagegen.backends.sd.files import MAIN, get_files
from imagegen.backends.sd.image import effective_fields
from imagegen.backends.sd.memory import PLACEMENT, check_memory, describe_tight_memory, estimate_work, this_machine
from imagegen.backends.sd.model_checks import ModelCheck, check_loras, check_model, inspect_main_file
from imagegen.backends.sd.model_kind import Contents
from imagegen.backends.sd.program import Program
from imagegen.backends.sd.section import PARTS
from imagegen.backends.sd.server import lora_arguments
from imagegen.backends.text import file_name, list_first
from imagegen.errors import ImagegenError, Problem
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from imagegen.backends.sd.engine import Engine

__all__ = ["check_requests", "list_notes"]


def check_requests(requests: Sequence[Request], engine: Engine) -> list[Problem]:
    """Return the problems of these requests: one that all have counts for their whole job."""
    return check_each(requests, _Checker(engine).check)


def list_notes(requests: Sequence[Request], engine: Engine) -> list[str]:
    """Return what to say of these requests, which have no problems.

    A CFG or a size that does not suit, tight memory, and what a server of the user's own does not say of itself.
    """
    checker = _Checker(engine)
    return list(dict.fromkeys(note for request in requests for note in checker.describe(request)))


@dataclass
class _Checker:
    """Checks requests one after another: what several have in common is looked at once."""

    engine: Engine
    _models: dict[tuple[tuple[str, str], ...], ModelCheck] = field(default_factory=dict)
    _loras: dict[tuple[str, ...], list[Problem]] = field(default_factory=dict)
    _servers: dict[str, Contents | None] = field(default_factory=dict)

    def check(self, request: Request) -> Iterator[Problem]:
        """Yield the problems of a request; `where` is empty."""
        if url := self.engine.server_url(request):
            yield from self._check_server(url, request)
            return
        program = self._find_program()
        if isinstance(program, Program):
            yield from check_choices(request, program.samplers, program.schedulers)
        else:
            yield from program
        model = self._check_model(request)
        yield from model.problems
        yield from self._check_loras(request)
        yield from check_fields(request, model.contents)
        if model.contents and isinstance(program, Program) and not self._is_placed:
            offload = self._has_offload(request)
            problem = check_memory(model.contents.bytes, program.device, offload=offload, machine=this_machine())
            yield from [problem] if problem else []

    def describe(self, request: Request) -> Iterator[str]:
        """Yield what to say of a request that has no problems."""
        if url := self.engine.server_url(request):
            yield from self._describe_server(url, request)
            return
        program, contents = self._find_program(), self._check_model(request).contents
        if contents is None:
            return
        yield from describe_fields(request, contents)
        if not isinstance(program, Program) or self._is_placed:
            return
        fields = effective_fields(request)
        work = estimate_work(contents.kind.name if contents.kind else "", fields.width * fields.height)
        offload = self._has_offload(request)
        if note := describe_tight_memory(contents.bytes, work, program.device, offload=offload, machine=this_machine()):
            yield note

    @property
    def _is_placed(self) -> bool:
        """Whether the settings' arguments decide where the weights go."""
        return any(word.partition("=")[0] in PLACEMENT for word in self.engine.context.settings.sd_arguments)

    def _has_offload(self, request: Request) -> bool:
        return bool(request.extra.get("offload", self.engine.context.settings.sd_offload))

    def _find_program(self) -> Program | Sequence[Problem]:
        try:
            return self.engine.program
        except ImagegenError as error:
            return [Problem("", one.what, one.hint) for one in error.problems]

    def _check_model(self, request: Request) -> ModelCheck:
        key = tuple(get_files(request).items())
        if key not in self._models:
            self._models[key] = check_model(request, self.engine)
        return self._models[key]

    def _check_loras(self, request: Request) -> list[Problem]:
        key = tuple(request.extra.get("loras", ()))
        if key not in self._loras:
            self._loras[key] = check_loras(request, self.engine)
        return self._loras[key]

    def _check_server(self, url: str, request: Request) -> Iterator[Problem]:
        """Yield what a server of the user's own does not have."""
        server = _ask_server(url, self.engine)
        if isinstance(server, Problem):
            yield server
            yield from check_fields(request, None)
            return
        yield from check_choices(request, server.samplers, server.schedulers)
        files = get_files(request)
        wanted = files.get("diffusion_model") or files.get("model") or ""
        loaded = file_name(server.model)
        if wanted and loaded and file_name(wanted) != loaded:
            yield _explain_other_model(url, loaded, file_name(wanted), request)
        for name in request.extra.get("loras", ()):
            if name not in server.loras:
                near = list_first(sort_by_likeness(name, server.loras), 5)
                hint = f"it has {near}" if near else f"start it with {' '.join(lora_arguments('DIR'))}"
                yield Problem("", f"sd.loras: the server at {url} has no LoRA {name}", hint)
        yield from check_fields(request, self._inspect_server(url, server.model))

    def _describe_server(self, url: str, request: Request) -> Iterator[str]:
        """Yield what to say of a request at a server of the user's own: first what it needs and cannot be seen."""
        words = [f"{PARTS[part]} {file_name(name)}" for part, name in get_files(request).items() if part not in MAIN]
        if rng := request.extra.get("rng"):
            words.append(f"--rng {rng}")
        if request.extra.get("loras"):
            words.append(" ".join(lora_arguments("DIR")[2:]))
        if words:
            what = f"the server at {url} does not say whether it was started with {', '.join(words)}"
            yield f"{what}, which these images need"
        server = _ask_server(url, self.engine)
        contents = None if isinstance(server, Problem) else self._inspect_server(url, server.model)
        if contents:
            yield from describe_fields(request, contents)

    def _inspect_server(self, url: str, model: str) -> Contents | None:
        """Return what the model of a server of the user's own holds; None if its file isn't on this machine."""
        if url not in self._servers:
            name, here = file_name(model), model if is_local(url) and Path(model).is_absolute() else ""
            paths = (here, *(self.engine.find_file(part, name) for part in MAIN if name))
            path = next((path for path in paths if path and Path(path).is_file()), "")
            self._servers[url] = inspect_main_file(path) if path else None
        return self._servers[url]


def _explain_other_model(url: str, loaded: str, wanted: str, request: Request) -> Problem:
    """Return the problem that a server has another model than the one that a job names, or was first built with."""
    if any(part in request.extra.get("files", {}) for part in MAIN):
        what = f"sd.model: the server at {url} has {loaded}, and not {wanted}"
        return Problem("", what, "start it with that model, or leave sd.model out: then its own is used")
    what = f"the server at {url} has {loaded}, and this job, which names no model, was first built with {wanted}"
    return Problem("", what, f"start it with {wanted}, or name the other model in the job: sd.model: {loaded}")


def _ask_server(url: str, engine: Engine) -> Capabilities | Problem:
    try:
        return engine.capabilities(url)
    except Refused as refused:
        return refused.problem
    except Unreachable as error:
        return Problem("", f"no sd-server answers at {url}: {error}", "start it, or correct sd.server.url")
