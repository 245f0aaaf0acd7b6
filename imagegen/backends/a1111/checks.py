"""Preflight: everything that would keep an image from being what the job asks for, before any is generated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from imagegen.backends.a1111.programs import DRAW_THINGS, KOBOLDCPP, OTHER
from imagegen.backends.a1111.server import Checkpoint, Server
from imagegen.backends.choices import describe_choices, explain_unlisted
from imagegen.backends.text import list_first
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = ["check_request", "find_checkpoint", "fold_seed"]

_MOST_SEED = 2**32 - 1
_TAG = r"<lora:([^:>]*)[^>]*>"
_LONGEST = 3000
"""Bytes of a prompt that koboldcpp reads."""
_MOST_LORAS = 4
"""That koboldcpp applies."""


def check_request(request: Request, server: Server) -> Iterator[Problem]:
    """Yield the problems of a request at its server; `where` is empty."""
    found = find_checkpoint(request.model, server)
    if isinstance(found, Problem):
        yield found
    yield from _check_sampling(request, server)
    yield from _check_numbers(request, server)
    for text, name in ((request.prompt, "prompt"), (request.negative, "negative prompt")):
        yield from _check_text(text, name, server)
    yield from _check_loras(request, server)


def find_checkpoint(name: str, server: Server) -> Checkpoint | Problem:
    """Return the server's checkpoint that a job means, or why there is none."""
    found = server.find(name)
    if len(found) == 1:
        return found[0]
    what = f"a1111.checkpoint {name}: {server.program.name} has none of that name"
    if found:
        what = f"several checkpoints of {server.client.url} are named {name}" if name else _describe_open(server)
        return Problem("", what, f"name one: a1111.checkpoint: {list_first([one.file for one in found], 8)}")
    if server.program is DRAW_THINGS and (name or server.loaded):  # it lists none, and refuses what it does not have
        return Checkpoint(name or server.loaded)
    if not server.checkpoints:
        what = f"{server.program.name} at {server.client.url} has no checkpoint"
        return Problem("", what, "start it with one" if server.program is KOBOLDCPP else "give it one")
    return Problem("", what, describe_choices(name, [one.file for one in server.checkpoints]))


def _describe_open(server: Server) -> str:
    loaded = f", {server.loaded} is loaded" if server.loaded else ""
    return f"the job names no checkpoint, and {server.client.url} has {len(server.checkpoints)}{loaded}"


def fold_seed(seed: int, server: Server) -> int:
    """Return the seed that is sent for a request's: the program's, if it has fewer than there are."""
    return seed % (server.program.most_seed + 1)


def _check_sampling(request: Request, server: Server) -> Iterator[Problem]:
    program, samplers, schedulers = server.program, server.samplers, server.schedulers
    own, own_schedulers = list(dict.fromkeys(samplers.values())), list(dict.fromkeys(schedulers.values()))
    if "sampler" in request.given and samplers and request.sampler.lower() not in samplers:
        yield explain_unlisted("sampler", request.sampler, program.name, own, own_schedulers)
    if "sampler" not in request.given and program is DRAW_THINGS:
        what = "the job gives no sampler, and Draw Things would take whichever the app has chosen at the moment"
        yield Problem("", what, "give one, such as generate: {sampler: DPM++ 2M Karras}")
    if "scheduler" not in request.given or request.scheduler.lower() in schedulers:
        return
    if schedulers:
        yield explain_unlisted("scheduler", request.scheduler, program.name, own, own_schedulers)
    else:
        what = f"scheduler {request.scheduler}: {program.name} takes none"
        yield Problem("", what, "remove it; some samplers have one in their name, such as DPM++ 2M Karras")


def _check_numbers(request: Request, server: Server) -> Iterator[Problem]:
    program = server.program
    for name, value in (("width", request.width), ("height", request.height)):
        if value % program.multiple:
            less = value // program.multiple * program.multiple
            near = f"{less} or {less + program.multiple}" if less else str(program.multiple)
            yield Problem("", f"{name} {value}: {program.name} takes multiples of {program.multiple}", f"use {near}")
        elif program is DRAW_THINGS and value < 2 * program.multiple:
            yield Problem("", f"{name} {value}: Draw Things takes 128 or more", "use 128 or more")
    if request.steps > program.most_steps:
        what = f"steps {request.steps}: {program.name} does at most {program.most_steps}"
        yield Problem("", what, f"make it {program.most_steps} or less")
    least, most = program.cfg
    if not least <= request.cfg <= most:
        yield Problem("", f"cfg {request.cfg:g}: {program.name} takes {least} to {most}", "make it one of these")
    if request.seed is not None and request.seed > _MOST_SEED:
        what = f"seed {request.seed}: {program.name} takes seeds up to 2^32 - 1 ({_MOST_SEED:,})"
        yield Problem("", what, "give a smaller one")


def _check_text(text: str, name: str, server: Server) -> Iterator[Problem]:
    """Yield what the program would change in a prompt without a word."""
    program = server.program
    if program.changes == "#" and server.options.get("enable_prompt_comments") is False:
        return
    if program is KOBOLDCPP and len(text.encode("utf-8")) > _LONGEST:
        yield Problem("", f"the {name} is longer than {_LONGEST} bytes, and koboldcpp drops the rest", "shorten it")
    if program.changes and (found := re.search(program.changes, text)):
        what = f"the {name} has '{found[0][:60]}', which {program.name} does not take as it is written"
        is_lora = found[0].startswith("<lora")
        hint = "name the LoRA in a1111.loras, with its strength, and remove it" if is_lora else "remove it"
        yield Problem("", what, hint)


def _check_loras(request: Request, server: Server) -> Iterator[Problem]:
    """Yield the LoRAs that the server does not have: it would leave out these, or even all."""
    given: Sequence[str] = [*request.extra.get("loras", ())]
    tagged = re.findall(_TAG, request.prompt) if server.program.loras == "prompt" else []
    if not (given or tagged) or server.loras is None:
        return
    if server.program is KOBOLDCPP and len(given) > _MOST_LORAS:
        yield Problem("", f"a1111.loras: koboldcpp takes {_MOST_LORAS} at most", f"remove {len(given) - _MOST_LORAS}")
    for name in dict.fromkeys((*given, *tagged)):
        if name not in server.loras and not (server.program is OTHER and not server.loras):
            where = "a1111.loras" if name in given else "the prompt"
            what = f"{where}: {server.program.name} has no LoRA {name}"
            yield Problem("", what, describe_choices(name, list(dict.fromkeys(server.loras))))
