"""Ollama's rows for `doit doctor`: command line, versions, machine, each job's model, memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import psutil

from imagegen.backends.base import Diagnosis
from imagegen.backends.ollama.models import describe_pull, tagged_name
from imagegen.errors import ImagegenError
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from imagegen.backends.ollama.backend import OllamaBackend
    from imagegen.backends.ollama.runtime import OllamaRuntime

__all__ = ["diagnose"]

_GB = 1e9
_ENOUGH_GB = 14.0
"""Memory that the default model needs, roughly: it has 12 GB."""


def diagnose(requests: Sequence[Request], backend: OllamaBackend) -> Iterator[Diagnosis]:
    """Yield the rows for these requests. Asks Ollama, and starts nothing."""
    try:
        runtime = backend.runtime()
    except ImagegenError as error:
        yield from (Diagnosis(False, "Ollama", problem.what, problem.hint) for problem in error.problems)
        return
    yield from _diagnose_program(runtime)
    try:
        yield from _diagnose_models(runtime, requests, backend)
        for problem in backend.preflight(requests):
            if problem != runtime.program.problem:
                yield Diagnosis(False, problem.where or "its jobs", problem.what, problem.hint or "correct it")
    except ImagegenError as error:
        yield from (Diagnosis(False, "Ollama", problem.what, problem.hint) for problem in error.problems)


def _diagnose_program(runtime: OllamaRuntime) -> Iterator[Diagnosis]:
    program = runtime.program
    yield Diagnosis(True, "command line", f"{program.command.executable}{' (tools/ollama)' if program.is_own else ''}")
    client, server = program.versions.client, program.versions.server
    found = f"client {client}, {f'server {server} at' if server else 'and none answers at'} {runtime.host}"
    if program.problem and not program.unable:
        what = f"client {client}, which generates images, and no server"
        yield Diagnosis(False, "version", what, program.problem.hint)
    elif program.problem:
        yield Diagnosis(False, "version", f"{found}: {program.problem.what}", program.problem.hint)
    elif program.starts:
        yield Diagnosis(True, "version", f"{found}; a run with something stale starts its own {client}")
    elif client != server:
        yield Diagnosis(True, "version", f"{found}: they differ", "have both of one version")
    else:
        yield Diagnosis(True, "version", f"{found}: generates images")
    machine = program.machine
    if machine is None:
        yield Diagnosis(True, "platform", f"the server is on another machine: {runtime.host}")
        return
    yield Diagnosis(True, "platform", f"{machine.system} on {machine.processor}")
    memory = psutil.virtual_memory()
    found = f"{memory.available / _GB:.1f} of {memory.total / _GB:.1f} GB free"
    if memory.total / _GB < _ENOUGH_GB:
        hint = f"a model such as x/z-image-turbo takes about {_ENOUGH_GB:g} GB; x/flux2-klein takes less"
        yield Diagnosis(False, "memory", found, hint, blocks=False)
    else:
        yield Diagnosis(True, "memory", found)


def _diagnose_models(
    runtime: OllamaRuntime, requests: Sequence[Request], backend: OllamaBackend
) -> Iterator[Diagnosis]:
    if not runtime.program.versions.server or runtime.program.starts:
        return  # there is no server to ask
    installed = runtime.models()
    for request in {request.model: request for request in requests}.values():
        what = f"model {request.model}"
        found = installed.get(tagged_name(request.model))
        if found is None:
            text = describe_pull(request.model, runtime.program.folder).removeprefix(f"{request.model}: ")
            yield Diagnosis(True, what, f"missing; a run pulls it: {text}")
            continue
        digest = backend.model_identity(request).digest
        known = f"digest {digest[:12]}" if digest else f"ID {found.id}; its manifest is not known on this disk yet"
        yield Diagnosis(True, what, f"{found.size}, {known}")
