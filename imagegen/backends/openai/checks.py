"""Preflight: what would keep a request from its image, or give another one than it asks for. Contacts nobody."""

from __future__ import annotations

from collections.abc import Iterator

from imagegen.backends.choices import check_multiples, describe_choices
from imagegen.backends.openai.dialects import DIALECTS, HONOURED, SD_TAG, Dialect
from imagegen.backends.openai.section import is_openai
from imagegen.backends.openai.server import KOBOLDCPP, Server
from imagegen.backends.sd.field_checks import SAMPLERS, check_choices
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = ["check_dialect", "check_request"]

_SEED_BITS = 32
"""Of our own seeds. Where a program's have fewer, these are folded, and larger ones are refused."""
_MOST_EXTRA = 4000
"""Characters in a prompt that sd-server reads as parameters: 50,000 of them kill it."""
_LEAST_PIXELS, _MOST_PIXELS, _MOST_RATIO = 655_360, 8_294_400, 3
"""What OpenAI's gpt-image-2 takes, in multiples of 16; older models take less."""


def check_dialect(named: str, server: Server, url: str) -> Problem | None:
    """Return what is wrong with the dialect; None if nothing is. named: by job or settings; empty if none is."""
    if server.program == KOBOLDCPP:
        return Problem("", f"{url} is koboldcpp, which says more by A1111's API", "write backend: a1111")
    if server.program and not server.dialect:
        what = f"{url} is {server.program}, which has no model for images"
        return Problem("", what, "start it with one, or name another server: openai.server.url")
    if named and server.dialect not in ("", named):
        what = f"openai.dialect: {named}, but {url} is {server.program}"
        return Problem("", what, f"remove it, or write {server.dialect}")
    if not (named or server.dialect):
        what = f"openai.dialect: {url} does not tell which program it is"
        return Problem("", what, f"name it: one of {', '.join(DIALECTS)}")
    return None


def check_request(request: Request, named: str, server: Server, url: str) -> Iterator[Problem]:
    """Yield the problems of a request; `where` is empty.

    named: the dialect, if planning knew it: then it left out what the program does not take, and said so.
    """
    dialect = DIALECTS[named or server.dialect]
    for name in sorted({*request.given, *request.extra} & HONOURED - dialect.fields.keys()) if not named else ():
        field, or_name = f"openai.{name}", ""
        if name in request.given:
            field, or_name = name, f", or write openai.dialect: {dialect.name}, and it is left out"
        yield Problem("", f"{field}: {dialect.program} does not take it", f"remove it{or_name}")
    yield from _check_numbers(request, dialect)
    yield from _check_texts(request, dialect)
    yield from _check_size(request, dialect, url)
    is_listed = bool(server.models) and is_openai(url) if dialect.name == "hosted" else True
    if is_listed and request.model not in server.models:
        what = f"openai.model: {url} has no model for images named {request.model}"
        yield Problem("", what, describe_choices(request.model, server.models))
    if dialect.name in ("sdcpp", "lemonade"):
        yield from check_choices(request, server.samplers or SAMPLERS, server.schedulers)
    if server.loras:
        what = f"{url} applies {', '.join(server.loras)} to every image, a LoRA that no job can name"
        yield Problem("", what, "take it out: POST /v1/unmerge_lora_weights, or start the server again")


def _check_numbers(request: Request, dialect: Dialect) -> Iterator[Problem]:
    """Yield numbers that the program would refuse or change."""
    given, seed = {*request.given} & dialect.fields.keys(), request.seed or 0
    bits = max(dialect.seed_bits, _SEED_BITS)
    if "seed" in dialect.fields and seed >= 2**bits:
        yield Problem("", f"seed {seed}: {dialect.program} would take another", f"give one below 2^{bits}")
    if "steps" in given and request.steps > dialect.most_steps:
        yield Problem("", f"steps {request.steps}: {dialect.program} takes at most {dialect.most_steps}", "give fewer")
    if "cfg" in given and request.cfg > dialect.most_cfg:
        yield Problem("", f"cfg {request.cfg:g}: {dialect.program} takes at most {dialect.most_cfg:g}", "lower it")
    if "true_cfg" in request.extra and "negative" not in given and dialect.name == "vllm":
        yield Problem("", "openai.true_cfg: vLLM-Omni uses it only with a negative prompt", "give one, or remove it")
    if "cfg" in given and not request.cfg and dialect.name == "lemonade":
        yield Problem("", "cfg 0: Lemonade takes it for none given", "give more than 0, or remove it")


def _check_texts(request: Request, dialect: Dialect) -> Iterator[Problem]:
    negative = request.negative if "negative" in request.given and "negative" in dialect.fields else ""
    for field, text in (("prompt", request.prompt), ("negative prompt", negative)):
        if dialect.name == "localai" and "|" in text:
            yield Problem("", f"the {field} has a |, at which LocalAI splits off a negative prompt", "remove it")
        if dialect.name in ("sdcpp", "lemonade") and SD_TAG in text:
            yield Problem("", f"the {field} has <{SD_TAG}, where sd-server looks for parameters", "remove it")
    if dialect.name == "sdcpp" and len(dialect.build_body(request)["prompt"]) - len(request.prompt) > _MOST_EXTRA:
        what = f"the negative prompt makes more than {_MOST_EXTRA:,} characters of parameters: sd-server may crash"
        yield Problem("", what, "shorten it")


def _check_size(request: Request, dialect: Dialect, url: str) -> Iterator[Problem]:
    width, height = request.width, request.height
    yield from check_multiples(request, 16 if is_openai(url) else dialect.multiple, dialect.program)
    is_long = max(width, height) > _MOST_RATIO * min(width, height)
    if is_openai(url) and (is_long or not _LEAST_PIXELS <= width * height <= _MOST_PIXELS):
        what = f"{width}×{height}: none of OpenAI's models takes this size"
        yield Problem("", what, "use 1024×1024, 1536×1024 or 1024×1536, which all of them take")
