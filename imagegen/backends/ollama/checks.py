"""What Ollama would do to a request that is not what it says: found before anything is generated. Asks nobody.

Source of the facts: Ollama 0.32.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from imagegen.backends.ollama.names import plain
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = ["in_themselves"]

_STEP, _MOST = 16, 4096
_FLUX2_PIXELS = 2048 * 2048
_MAX_SEED = 2**53
"""The server reads it as a floating-point number."""
_MAX_BYTES = 128 * 1024 - 1
"""Of one argument on a command line: Linux takes no more, macOS more, and Windows less."""
_FILE = re.compile(r"(?:[a-zA-Z]:)?(?:\./|/|\\)[^\t\n\f\r]+?\.(?:jpg|jpeg|png|webp)\b", re.ASCII | re.IGNORECASE)
"""What is taken for a file: from a slash anywhere, over blanks, to the first such ending."""


def in_themselves(requests: Sequence[Request]) -> list[Problem]:
    """All that is wrong with them, each problem's `where` the request's name."""
    return [
        Problem(request.name, what, how)
        for request in requests
        for what, how in (*_of_prompt(request.prompt), *_of_size(request), *_of_seed(request.seed))
    ]


def _of_prompt(prompt: str) -> Iterator[tuple[str, str]]:
    if not prompt.strip():
        yield "the prompt is empty, and Ollama makes no image of none", "give it a prompt"
    if found := _FILE.search(prompt):
        shown = found[0] if len(found[0]) <= 60 else f"{found[0][:30]}…{found[0][-29:]}"
        yield (
            f"the prompt has '{shown}': Ollama takes that for an image file, opens it and cuts it out of the prompt",
            "write it without the slash before it, or without the ending",
        )
    if (size := len(prompt.encode("utf-8"))) > _MAX_BYTES:
        yield f"the prompt has {size:,} bytes, and a command line takes {_MAX_BYTES:,}", "make it shorter"


def _of_size(request: Request) -> Iterator[tuple[str, str]]:
    for word, value in (("width", request.width), ("height", request.height)):
        if value > _MOST:
            yield f"{word} {value} is more than Ollama takes", f"make it at most {_MOST}"
        elif value % _STEP:
            below, above = value // _STEP * _STEP, (value // _STEP + 1) * _STEP
            yield f"{word} {value} is no multiple of {_STEP}, and the model would change it", f"use {below} or {above}"
    if "flux2" in plain(request.model) and request.width * request.height > _FLUX2_PIXELS:
        what = f"{request.width}×{request.height} is more than the 2048×2048 pixels of {request.model}"
        yield f"{what}, which would shrink it", "make it smaller"


def _of_seed(seed: int | None) -> Iterator[tuple[str, str]]:
    if seed is not None and not 1 <= seed <= _MAX_SEED:
        why = "means a random one, which Ollama never tells" if seed < 1 else "is more than Ollama can tell apart"
        yield f"seed {seed} {why}", "give one from 1 to 2^53 (9,007,199,254,740,992)"
