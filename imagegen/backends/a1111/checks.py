"""Preflight: everything that would keep an image from being what the job asks for, before any is generated."""

from __future__ import annotations

import re
from collections.abc import Iterator

from imagegen.backends.a1111.programs import DRAW_THINGS
from imagegen.backends.a1111.server import Server
from imagegen.backends.choices import choose_listed, describe_choices, explain_unlisted
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.limits import check_limits
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = ["check_request", "find_checkpoint"]


def check_request(request: Request, server: Server) -> Iterator[Problem]:
    """Yield the problems of a request at its server; `where` is empty."""
    if isinstance(found := find_checkpoint(request, server), Problem):
        yield found
    yield from _check_sampling(request, server)
    yield from check_limits(request, server.program)
    yield from _check_loras(request, server)


def find_checkpoint(request: Request, server: Server) -> str | Problem:
    """Return the file of the checkpoint that a job means, the only one if it names none; or why there is none."""
    name, is_named = request.model, "checkpoint" in request.extra
    if server.program is DRAW_THINGS and (name or server.loaded):  # it has no list, and refuses what it does not have
        return name or server.loaded
    return choose_listed("a1111.checkpoint", name, server.checkpoints, server.url, server.loaded, is_named=is_named)


def _check_sampling(request: Request, server: Server) -> Iterator[Problem]:
    program, samplers, schedulers = server.program, server.samplers, server.schedulers
    own = [list(dict.fromkeys(names.values())) for names in (samplers, schedulers)]
    if "sampler" in request.given and samplers and request.sampler.lower() not in samplers:
        yield explain_unlisted("sampler", request.sampler, program.name, *own)
    if "sampler" not in request.given and program is DRAW_THINGS:
        what = "the job gives no sampler, and Draw Things would take whichever the app has chosen at the moment"
        yield Problem("", what, "give one, such as generate: {sampler: DPM++ 2M Karras}")
    if "scheduler" in request.given and request.scheduler.lower() not in schedulers:
        if schedulers:
            yield explain_unlisted("scheduler", request.scheduler, program.name, *own)
        else:
            yield Problem(
                "", f"scheduler {request.scheduler}: {program.name} takes none", program.no_scheduler or "remove it"
            )


def _check_loras(request: Request, server: Server) -> Iterator[Problem]:
    """Yield the LoRAs that the server does not have: it would leave out these, or even all."""
    program, given = server.program, list(request.extra.get("loras", ()))
    tagged = re.findall(r"<lora:([^:>]*)", request.prompt) if program.loras == "prompt" else []
    if "<lora:" in request.negative and program.loras == "prompt":
        yield Problem("", f"the negative prompt has '<lora:', which {program.name} reads as words there", "remove it")
    if len(given) > program.most_loras:
        yield Problem("", f"a1111.loras: {program.name} takes {program.most_loras} at most", "remove the others")
    try:
        known = server.loras if given or tagged else None
    except (Refused, Unreachable) as error:
        yield Problem("", f"{server.url} does not list its LoRAs: {error}", "look at its own log")
        return
    if known is None:
        return
    sent: set[str] = set()
    for where, name in [*(("a1111.loras", name) for name in given), *(("the prompt", name) for name in tagged)]:
        if name not in known:
            what = f"{where}: {server.url} has no LoRA {name}"
            yield Problem("", what, describe_choices(name, list(known)))
        elif known[name] in sent:
            yield Problem("", f"{where}: LoRA {name} is named twice", "name it once")
        sent.add(known.get(name, ""))
