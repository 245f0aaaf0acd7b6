"""Preflight: everything that would keep a job's images from being generated, before any is. Starts no server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.sd.client import Capabilities
from imagegen.backends.sd.field_checks import check_choices, check_fields, sort_by_likeness
from imagegen.backends.sd.files import get_files
from imagegen.backends.sd.image import effective_fields
from imagegen.backends.sd.known_models import KNOWN_MODELS
from imagegen.backends.sd.memory import check_memory, describe_tight_memory, estimate_work, this_machine
from imagegen.backends.sd.model_checks import ModelCheck, check_loras, check_model
from imagegen.backends.sd.program import Program
from imagegen.backends.text import list_first
from imagegen.errors import ImagegenError, Problem
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from imagegen.backends.sd.engine import Engine

__all__ = ["check_requests", "describe_changes", "file_name"]


def check_requests(requests: Sequence[Request], engine: Engine) -> list[Problem]:
    """Return the problems of these requests: one that all have counts for their whole job."""
    checker = _Checker(engine)
    found: dict[Problem, list[str]] = defaultdict(list)
    for request in requests:
        for problem in dict.fromkeys(checker.check(request)):
            found[problem].append(request.name)
    return [
        Problem(where, problem.what, problem.hint)
        for problem, names in found.items()
        for where in ([""] if len(names) == len(requests) else dict.fromkeys(names))
    ]


def describe_changes(requests: Sequence[Request], engine: Engine) -> list[str]:
    """Return what to say before these requests are generated, though nothing is wrong with them."""
    checker = _Checker(engine)
    said = [line for request in requests for line in checker.describe(request)]
    return list(dict.fromkeys(said))


def file_name(path: str) -> str:
    """Return the name of a file by its path, of whichever system."""
    return path.replace("\\", "/").rpartition("/")[2]


@dataclass
class _Checker:
    """Checks requests one after another: what several have in common is looked at once."""

    engine: Engine
    _models: dict[tuple[tuple[str, str], ...], ModelCheck] = field(default_factory=dict)
    _loras: dict[tuple[str, ...], list[Problem]] = field(default_factory=dict)
    _servers: dict[str, Capabilities | Problem] = field(default_factory=dict)
    _program: Program | Sequence[Problem] | None = None

    def check(self, request: Request) -> Iterator[Problem]:
        """Yield the problems of a request; `where` is empty."""
        if url := self.engine.server_url(request):
            yield from self._check_server(url, request)
            yield from check_fields(request, None)
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
        if model.contents and isinstance(program, Program):
            offload = self._has_offload(request)
            problem = check_memory(model.contents.bytes, program.device, offload=offload, machine=this_machine())
            yield from [problem] if problem else []

    def describe(self, request: Request) -> Iterator[str]:
        """Yield what to say of a request that has no problems."""
        known = KNOWN_MODELS.get(request.model)
        if known and known.is_distilled:
            given = [name for name in ("cfg", "negative") if name in request.given and getattr(request, name)]
            if given:
                words = " and ".join({"cfg": "cfg", "negative": "negative prompt"}[name] for name in given)
                yield f"{known.name} takes neither cfg nor a negative prompt: the job's {words} is left out"
        program = self._find_program() if not self.engine.server_url(request) else None
        model = self._check_model(request) if isinstance(program, Program) else None
        if isinstance(program, Program) and model and model.contents:
            fields = effective_fields(request)
            kind = model.contents.kind.name if model.contents.kind else ""
            work = estimate_work(kind, fields.width * fields.height)
            offload = self._has_offload(request)
            yield from filter(
                None,
                [
                    describe_tight_memory(
                        model.contents.bytes, work, program.device, offload=offload, machine=this_machine()
                    )
                ],
            )

    def _has_offload(self, request: Request) -> bool:
        return bool(request.extra.get("offload", self.engine.context.settings.sd_offload))

    def _find_program(self) -> Program | Sequence[Problem]:
        if self._program is None:
            try:
                self._program = self.engine.program
            except ImagegenError as error:
                self._program = [Problem("", one.what, one.hint) for one in error.problems]
        return self._program

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
        if url not in self._servers:
            self._servers[url] = _ask_server(url, self.engine)
        server = self._servers[url]
        if isinstance(server, Problem):
            yield server
            return
        yield from check_choices(request, server.samplers, server.schedulers)
        files = get_files(request)
        wanted = files.get("diffusion_model") or files.get("model") or ""
        loaded = file_name(server.model)
        if wanted and loaded and file_name(wanted) != loaded:
            what = f"sd.model: the server at {url} has {loaded}, and not {file_name(wanted)}"
            yield Problem("", what, "start it with that model, or leave sd.model out: then its own is used")
        for name in request.extra.get("loras", ()):
            if name not in server.loras:
                near = list_first(sort_by_likeness(name, server.loras), 5)
                hint = f"it has {near}" if near else "start it with --lora-model-dir"
                yield Problem("", f"sd.loras: the server at {url} has no LoRA {name}", hint)


def _ask_server(url: str, engine: Engine) -> Capabilities | Problem:
    try:
        return engine.capabilities(url)
    except Refused as refused:
        return refused.problem
    except Unreachable as error:
        return Problem("", f"no sd-server answers at {url}: {error}", "start it, or correct sd.server.url")
