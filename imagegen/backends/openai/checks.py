"""Preflight: what would keep a request from its image, or give another one than it asks for. Contacts nobody."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from imagegen.backends.openai.detection import Server
from imagegen.backends.openai.dialects import DIALECTS, HONOURED, SD_TAG, Dialect
from imagegen.backends.openai.section import is_openai
from imagegen.backends.sd.field_checks import check_choices
from imagegen.backends.text import list_first
from imagegen.errors import Problem, did_you_mean
from imagegen.plan.request import Request

__all__ = ["check_dialect", "check_request", "group_problems"]

_SEED_BITS, _MOST_INT64 = 32, 2**63 - 1
_MOST_SEED = 2**_SEED_BITS - 1
"""Of our own. Up to here, seeds are folded where a program's have fewer bits; larger ones are refused."""
_MOST_EXTRA = 4000
"""Characters in the prompt that sd-server reads as parameters: 50,000 of them kill it."""
_LEAST_PIXELS, _MOST_PIXELS, _MOST_RATIO = 655_360, 8_294_400, 3
"""What OpenAI's gpt-image-2 takes; older models take less."""
_SAMPLERS = (
    *("euler", "euler_a", "heun", "dpm2", "dpm++2s_a", "dpm++2m", "dpm++2mv2", "ipndm", "ipndm_v", "lcm"),
    *("ddim_trailing", "tcd", "res_multistep", "res_2s", "er_sde", "euler_cfg_pp", "euler_a_cfg_pp", "euler_ge"),
    *("dpm++2m_sde", "dpm++2m_sde_bt", "lms"),
)
"""sd-server's, of July and August 2026, for Lemonade: it runs one, and doesn't list them."""


def group_problems(requests: Sequence[Request], check: Callable[[Request], Iterable[Problem]]) -> list[Problem]:
    """Return the problems of a job's requests: one that all have counts for the whole job."""
    found: dict[Problem, list[str]] = defaultdict(list)
    for request in requests:
        for problem in dict.fromkeys(check(request)):
            found[problem].append(request.name)
    return [
        Problem(where, problem.what, problem.hint)
        for problem, names in found.items()
        for where in ([""] if len(names) == len(requests) else dict.fromkeys(names))
    ]


def check_dialect(named: str, server: Server, url: str) -> Problem | None:
    """Return what is wrong with the dialect; None if nothing is. named: by job or settings; empty if none is."""
    if server.program and not server.dialect:
        if server.program == "koboldcpp":
            return Problem("", f"{url} is koboldcpp, which tells more by A1111's API", "write backend: a1111")
        return Problem(
            "", f"{url} is {server.program}, which makes no images", "name another server: openai.server.url"
        )
    if named and server.dialect and named != server.dialect:
        what = f"openai.dialect: {named}, but {url} is {DIALECTS[server.dialect].program}"
        return Problem("", what, f"remove it, or write {server.dialect}")
    if not (named or server.dialect):
        what = f"openai.dialect: {url} does not tell which program it is"
        return Problem("", what, f"name it: one of {', '.join(DIALECTS)}")
    return None


def check_request(request: Request, dialect: Dialect, server: Server, url: str, *, is_named: bool) -> Iterator[Problem]:
    """Yield the problems of a request; `where` is empty.

    Args:
        request: of a job.
        dialect: of its server.
        server: what that says of itself.
        url: of the server.
        is_named: whether planning knew the dialect. Then it left out what the program does not take, and said so.
    """
    if not is_named:
        yield from _check_unused(request, dialect)
    yield from _check_values(request, dialect)
    yield from _check_model(request, dialect, server, url)
    yield from _check_texts(request, dialect)
    yield from _check_size(request, dialect, url)
    if dialect.name == "sdcpp":
        yield from check_choices(request, server.samplers, server.schedulers)
    elif dialect.name == "lemonade":
        yield from check_choices(request, _SAMPLERS, ())
    if server.loras:
        what = f"{url} generates every image with the LoRA {list_first(server.loras)} at present, which no job names"
        yield Problem("", what, "take it out: POST /v1/unmerge_lora_weights, or restart the server")


def _check_unused(request: Request, dialect: Dialect) -> Iterator[Problem]:
    """Yield what the program would ignore."""
    for name in sorted({*request.given, *request.extra} & HONOURED - dialect.fields.keys()):
        field = f"openai.{name}" if name in request.extra else name
        hint = (
            f"remove it; or write openai.dialect: {dialect.name}, and it is left out" if field == name else "remove it"
        )
        yield Problem("", f"{field}: {dialect.program} does not take it", hint)


def _check_values(request: Request, dialect: Dialect) -> Iterator[Problem]:
    """Yield numbers that the program would refuse or change."""
    given, seed = {*request.given} & dialect.fields.keys(), request.seed or 0
    if "seed" in dialect.fields and seed > (_MOST_SEED if dialect.seed_bits < _SEED_BITS else _MOST_INT64):
        yield Problem("", f"seed {seed}: {dialect.program} would take another", f"give one up to {_MOST_SEED:,}")
    if "steps" in given and request.steps > dialect.most_steps:
        yield Problem("", f"steps {request.steps}: {dialect.program} takes at most {dialect.most_steps}", "give fewer")
    if "cfg" in given and request.cfg > dialect.most_cfg:
        yield Problem("", f"cfg {request.cfg:g}: {dialect.program} takes at most {dialect.most_cfg:g}", "lower it")
    if "cfg" in given and not request.cfg and dialect.name == "lemonade":
        yield Problem("", "cfg 0: Lemonade takes it for none given", "give more than 0, or remove it")


def _check_model(request: Request, dialect: Dialect, server: Server, url: str) -> Iterator[Problem]:
    is_known = server.models and (dialect.name != "hosted" or is_openai(url))
    if not request.model or (is_known and request.model not in server.models):
        what = f"openai.model: {url} has no {request.model or 'model of its own choice'}"
        hint = f"choose one of {list_first(server.models, 10)}" if server.models else "name it"
        yield Problem("", what + did_you_mean(request.model, server.models), hint)


def _check_texts(request: Request, dialect: Dialect) -> Iterator[Problem]:
    negative = request.negative if "negative" in request.given and "negative" in dialect.fields else ""
    for field, text in (("prompt", request.prompt), ("negative prompt", negative)):
        if dialect.name == "localai" and "|" in text:
            yield Problem("", f"the {field} has a |, at which LocalAI splits off a negative prompt", "remove it")
        if dialect.name in ("sdcpp", "lemonade") and SD_TAG in text:
            yield Problem("", f"the {field} has <{SD_TAG}, which sd-server reads as parameters", "remove it")
    parameters = len(dialect.build_body(request)["prompt"]) - len(request.prompt)
    if dialect.name == "sdcpp" and parameters > _MOST_EXTRA:
        what = f"the negative prompt makes {parameters:,} characters of parameters, of which sd-server may crash"
        yield Problem("", what, f"shorten it, to {_MOST_EXTRA:,} in all")


def _check_size(request: Request, dialect: Dialect, url: str) -> Iterator[Problem]:
    width, height = request.width, request.height
    multiple = 16 if is_openai(url) else dialect.multiple
    for name, value in (("width", width), ("height", height)):
        if value % multiple:
            below = value // multiple * multiple
            what = f"{name} {value}: {dialect.program} takes multiples of {multiple}"
            yield Problem("", what, f"use {below or multiple} or {below + multiple}")
    is_long = max(width, height) > _MOST_RATIO * min(width, height)
    if is_openai(url) and (is_long or not _LEAST_PIXELS <= width * height <= _MOST_PIXELS):
        what = f"{width}×{height}: none of OpenAI's models takes this size"
        yield Problem("", what, "use 1024×1024, 1536×1024 or 1024×1536, which all of them take")
