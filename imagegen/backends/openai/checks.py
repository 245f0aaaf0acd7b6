"""Preflight: what would keep a request from its image, or give another one than it asks for. Contacts nobody."""

from __future__ import annotations

from collections.abc import Iterator

from imagegen.backends.choices import check_multiples, choose_listed, describe_choices
from imagegen.backends.limits import check_seed
from imagegen.backends.openai.dialects import DIALECTS, HONOURED, Dialect
from imagegen.backends.openai.section import is_openai
from imagegen.backends.openai.server import KOBOLDCPP, Server
from imagegen.backends.sd.field_checks import SAMPLERS, check_choices
from imagegen.backends.sd.prompt_tag import check_length, check_text
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = ["check_dialect", "check_request", "find_model"]

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
            where = "in the job or in [tool.imagegen]"
            field, or_name = name, f", or set openai.dialect to {dialect.name}, {where}: then it is left out"
        yield Problem("", f"{field}: {dialect.program} does not take it", f"remove it{or_name}")
    yield from _check_numbers(request, dialect)
    yield from _check_texts(request, dialect)
    yield from _check_size(request, dialect, url)
    if isinstance(found := find_model(request, server, url), Problem):
        yield found
    if dialect.is_sd:
        yield from check_choices(request, server.samplers or SAMPLERS, server.schedulers)
    if server.loras:
        what = f"{url} applies {', '.join(server.loras)} to every image, a LoRA that no job can name"
        yield Problem("", what, "take it out: POST /v1/unmerge_lora_weights, or start the server again")


def find_model(request: Request, server: Server, url: str) -> str | Problem:
    """Return the model that a job means, the only one if it names none; or why there is none."""
    name, listed = request.model, server.models
    if name in server.sold:
        return Problem("", f"openai.model: {url} may charge for images of {name}", describe_choices(name, listed))
    if server.dialect == "hosted" and not (listed and is_openai(url)) and (name or not listed):  # it need not list all
        return name or Problem("", f"the job names no model, and {url} lists none", "name one: openai.model")
    names = {one: [one] for one in sorted(listed, key=lambda one: "image" not in one)}
    return choose_listed("openai.model", name, names, url, is_named="model" in request.extra)


def _check_numbers(request: Request, dialect: Dialect) -> Iterator[Problem]:
    """Yield numbers that the program would refuse or change."""
    given = {*request.given} & dialect.fields.keys()
    yield from check_seed(request, dialect.program, dialect.fold_seed) if "seed" in given else ()
    for name, value, most in (("steps", request.steps, dialect.most_steps), ("cfg", request.cfg, dialect.most_cfg)):
        if name in given and value > most:
            yield Problem("", f"{name} {value:g}: {dialect.program} takes at most {most:g}", "lower it")
    if "true_cfg" in request.extra and "negative" not in given and not dialect.keeps_true_cfg:
        what = f"openai.true_cfg: {dialect.program} uses it only with a negative prompt"
        yield Problem("", what, "give one, or remove it")
    if "cfg" in given and not request.cfg and not dialect.keeps_cfg_0:
        yield Problem("", f"cfg 0: {dialect.program} takes it for none given", "give more than 0, or remove it")


def _check_texts(request: Request, dialect: Dialect) -> Iterator[Problem]:
    negative = request.negative if "negative" in request.given and "negative" in dialect.fields else ""
    for field, text in (("prompt", request.prompt), ("negative prompt", negative)):
        if dialect.splits and dialect.splits in text:
            what = f"the {field} has a {dialect.splits}, at which {dialect.program} splits off a negative prompt"
            yield Problem("", what, "remove it")
        yield from check_text(field, text) if dialect.is_sd else ()
    yield from check_length(request.prompt, dialect.build_body(request)["prompt"]) if dialect.needs_tag else ()


def _check_size(request: Request, dialect: Dialect, url: str) -> Iterator[Problem]:
    width, height = request.width, request.height
    yield from check_multiples(request, 16 if is_openai(url) else dialect.multiple, dialect.program)
    is_long = max(width, height) > _MOST_RATIO * min(width, height)
    if is_openai(url) and (is_long or not _LEAST_PIXELS <= width * height <= _MOST_PIXELS):
        what = f"{width}×{height}: none of OpenAI's models takes this size"
        yield Problem("", what, "use 1024×1024, 1536×1024 or 1024×1536, which all of them take")
