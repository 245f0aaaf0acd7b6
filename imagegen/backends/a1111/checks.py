"""Preflight: everything that would keep an image from being what the job asks for, before any is generated."""

from __future__ import annotations

import re
from collections.abc import Iterator

from imagegen.backends.a1111.programs import DRAW_THINGS
from imagegen.backends.a1111.server import Checkpoint, Server
from imagegen.backends.choices import check_multiples, describe_choices, explain_unlisted
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.text import list_first
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = ["check_request", "find_checkpoint"]

_SEEDS = 2**32
"""Of our own. A program that has fewer gets the rest of the division."""


def check_request(request: Request, server: Server) -> Iterator[Problem]:
    """Yield the problems of a request at its server; `where` is empty."""
    if isinstance(found := find_checkpoint(request.model, server), Problem):
        yield found
    yield from _check_sampling(request, server)
    yield from _check_numbers(request, server)
    for text, name in ((request.prompt, "prompt"), (request.negative, "negative prompt")):
        yield from _check_text(text, name, server)
    yield from _check_loras(request, server)


def find_checkpoint(name: str, server: Server) -> Checkpoint | Problem:
    """Return the checkpoint that a job means, the only one if it names none; or why that cannot be known."""
    url, files = server.url, [one.file for one in server.checkpoints]
    if server.program is DRAW_THINGS and (name or server.loaded):  # it has no list, and refuses what it does not have
        return Checkpoint(name or server.loaded)
    exact = [one for one in server.checkpoints if name in (one.title, one.file)]
    found = exact or [one for one in server.checkpoints if not name or name in one.names]
    if len(found) == 1:
        return found[0]
    if found:
        hint = f"name one: a1111.checkpoint: {list_first([one.file for one in found], 8)}"
        loaded = f"; {server.loaded} is loaded" if server.loaded else ""
        open_what = f"the job names no checkpoint, and {url} has {len(files)}{loaded}"
        return Problem("", f"{url} has {len(found)} checkpoints of the name {name}" if name else open_what, hint)
    if not files:
        return Problem("", f"{server.program.name} at {url} has no checkpoint", "give it one, and start it again")
    return Problem("", f"a1111.checkpoint: {url} has no {name}", describe_choices(name, files))


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
            hint = "remove it; some samplers have one in their name, such as DPM++ 2M Karras"
            yield Problem("", f"scheduler {request.scheduler}: {program.name} takes none", hint)


def _check_numbers(request: Request, server: Server) -> Iterator[Problem]:
    program, name = server.program, server.program.name
    yield from check_multiples(request, program.multiple, name)
    if request.steps > program.most_steps:
        yield Problem("", f"steps {request.steps}: {name} does at most {program.most_steps}", "give fewer")
    if not program.cfg[0] <= request.cfg <= program.cfg[1]:
        least, most = program.cfg
        yield Problem("", f"cfg {request.cfg:g}: {name} takes {least} to {most}", "give one of these")
    if request.seed is not None and request.seed >= _SEEDS:
        yield Problem("", f"seed {request.seed}: {name} would take another", f"give one up to {_SEEDS - 1:,}")


def _check_text(text: str, name: str, server: Server) -> Iterator[Problem]:
    """Yield what the program would change in a prompt without a word."""
    program = server.program
    if len(text.encode("utf-8")) > program.longest_prompt:
        yield Problem(
            "", f"the {name} has more than {program.longest_prompt} bytes, and the rest is lost", "shorten it"
        )
    keeps_comments = server.options.get("enable_prompt_comments") is False
    pattern = program.changes if name == "prompt" else f"{program.changes}|<lora:"  # a tag counts only in a prompt
    if (found := re.search(pattern, text)) and not (keeps_comments and found[0] == "#"):
        what = f"the {name} has '{found[0]}', which {program.name} does not take as it is written"
        is_lora = found[0].startswith("<lora")
        yield Problem("", what, "remove it; a1111.loras has LoRAs, with their strengths" if is_lora else "remove it")


def _check_loras(request: Request, server: Server) -> Iterator[Problem]:
    """Yield the LoRAs that the server does not have: it would leave out these, or even all."""
    program, given = server.program, list(request.extra.get("loras", ()))
    tagged = re.findall(r"<lora:([^:>]*)", request.prompt) if program.loras == "prompt" else []
    if len(given) > program.most_loras:
        yield Problem("", f"a1111.loras: {program.name} takes {program.most_loras} at most", "remove the others")
    try:
        known = server.loras if given or tagged else None
    except (Refused, Unreachable) as error:
        yield Problem("", f"{server.url} does not list its LoRAs: {error}", "look at its own log")
        return
    if known is None:
        return
    for name in dict.fromkeys((*given, *tagged)):
        where = "a1111.loras" if name in given else "the prompt"
        if name not in known:
            what = f"{where}: {server.url} has no LoRA {name}"
            yield Problem("", what, describe_choices(name, list(known)))
        elif [known.get(other) for other in given].count(known[name]) > (name in given):
            yield Problem("", f"{where}: LoRA {name} is named twice", "name it once")
