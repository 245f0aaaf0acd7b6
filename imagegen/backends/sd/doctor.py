"""Its rows of `doit doctor`: program and build, device and memory, models, server, and what preflight finds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from imagegen.backends.base import Diagnosis
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.models import display_path
from imagegen.backends.sd.checks import check_requests, list_notes
from imagegen.backends.sd.files import find_digest, get_files, list_models
from imagegen.backends.sd.memory import this_machine
from imagegen.backends.sd.model_checks import check_model
from imagegen.backends.sd.program import Program
from imagegen.backends.sd.server import find_argument_problem, managed_server
from imagegen.backends.sd.server_log import ServerLog
from imagegen.backends.text import list_first, size_text
from imagegen.errors import ImagegenError
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from imagegen.backends.sd.engine import Engine

__all__ = ["diagnose"]

_SHORT = 12


def diagnose(requests: Sequence[Request], engine: Engine) -> Iterator[Diagnosis]:
    """Yield the rows for these requests. Starts no server, and changes nothing."""
    here = [request for request in requests if not engine.server_url(request)]
    said: list[str] = []
    if here:
        yield from _diagnose_program(engine, said)
        yield from _diagnose_models(here, engine, said)
        yield _diagnose_own_server(engine)
    for url in dict.fromkeys(url for request in requests if (url := engine.server_url(request))):
        yield _diagnose_server(url, engine, said)
    problems = check_requests(requests, engine)
    if here and (wrong := find_argument_problem(engine.context.settings.sd_arguments)):
        problems.append(wrong)
    for problem in problems:
        if not any(one in problem.what for one in said):
            yield Diagnosis(False, problem.where or "its jobs", problem.what, problem.hint or "correct it")
    if not problems and not said:
        for line in list_notes(requests, engine):
            yield Diagnosis(True, "its jobs", line)
        yield Diagnosis(True, "its jobs", "preflight finds nothing wrong")


def _diagnose_program(engine: Engine, said: list[str]) -> Iterator[Diagnosis]:
    """Yield rows for the program, what it was built for, and this machine's memory."""
    try:
        program = engine.program
    except ImagegenError as error:
        said += [one.what for one in error.problems]
        yield from (Diagnosis(False, "program", one.what, one.hint) for one in error.problems)
    else:
        build = f"build {program.build}" if program.build else "which does not say which build it is"
        yield Diagnosis(True, "program", f"{display_path(engine.root, program.path)}, {build}")
        yield _diagnose_device(program, engine)
    memory, gpu = psutil.virtual_memory(), this_machine().gpu
    found = f"{size_text(memory.available)} of {size_text(memory.total)} free"
    yield Diagnosis(True, "memory", f"{found}; the GPU has {size_text(gpu)}" if gpu else found)


def _diagnose_device(program: Program, engine: Engine) -> Diagnosis:
    """Return the row of what the program generates on: what it was built for, and whether its last server found it."""
    if program.device != "cpu" and ServerLog(engine.root).has_no_gpu():
        found = (
            f"built for {program.device or 'a GPU'}, but the last server found no GPU and used the CPU, which is slow"
        )
        return Diagnosis(True, "device", found, "install or update the GPU's driver; the next run tries it again")
    return Diagnosis(True, "device", f"built for {program.device}" if program.device else "as that build chooses")


def _diagnose_models(requests: Sequence[Request], engine: Engine, said: list[str]) -> Iterator[Diagnosis]:
    """Yield a row for each model of the requests."""
    root, settings = engine.root, engine.context.settings
    for request in {tuple(get_files(request).items()): request for request in requests}.values():
        files = get_files(request)
        if not files:
            yield _diagnose_choice(engine, said)
            continue
        problems = check_model(request, engine).problems
        said += [problem.what for problem in problems]
        yield from (Diagnosis(False, f"model {request.model}", one.what, one.hint) for one in problems)
        if problems:
            continue
        size = sum(Path(engine.find_file(part, name)).stat().st_size for part, name in files.items())
        count = f" in {len(files)} files" if len(files) > 1 else ""
        digest = find_digest(root, settings, files.items()) or "unknown: a file cannot be read"
        yield Diagnosis(True, f"model {request.model}", f"{size_text(size)}{count}, digest {digest[:_SHORT]}")


def _diagnose_choice(engine: Engine, said: list[str]) -> Diagnosis:
    """Return the row of jobs that name no model."""
    what, names = "model left open", list_models(engine.folders)
    if len(names) == 1:
        return Diagnosis(True, what, f"{names[0]} will be used, the only one that there is")
    said.append("names no model")
    if not names:
        return Diagnosis(False, what, "there is none", "doit sd:setup")
    hint = "name one: sd.model in the job, or model in [tool.imagegen.sd]"
    return Diagnosis(False, what, f"there are {len(names)}: {list_first(names)}", hint)


def _diagnose_own_server(engine: Engine) -> Diagnosis:
    """Return the row of the server that this project starts."""
    record = managed_server(engine.root).read_record()
    if record is None or not record.process.is_alive:
        return Diagnosis(True, "server", "none runs; a run with stale images starts one on a free port of 127.0.0.1")
    who = f"process {record.process.pid} at {record.url}"
    if record.owner.is_alive:
        return Diagnosis(True, "server", f"{who}, of a doit that is running")
    found = f"{who}, left by a killed run: the next run takes it over or ends it"
    return Diagnosis(True, "server", found, "doit server:stop ends it now")


def _diagnose_server(url: str, engine: Engine, said: list[str]) -> Diagnosis:
    """Return the row of a server of the user's own."""
    what = f"server {url}"
    try:
        model = engine.capabilities(url).model
    except Refused as refused:
        said.append(refused.what)
        return Diagnosis(False, what, refused.what, refused.hint)
    except Unreachable as error:
        said.append(url)
        return Diagnosis(False, what, f"does not answer: {error}", "start it, or correct sd.server.url")
    return Diagnosis(True, what, f"serves {model or 'a model that it does not name'}")
