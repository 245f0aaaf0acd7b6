"""What a program takes of a request's numbers and texts: what is beyond, it changes or ignores without a word."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from imagegen.backends.choices import check_multiples
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = ["NOTHING", "Limits", "check_limits", "check_seed"]

NOTHING = "(?!)"
"""Regular expression that nothing matches."""
_MOST_SEED = 2**32 - 1
"""Of our own: a program that has fewer gets a larger one folded."""


@dataclass(frozen=True)
class Limits:
    """Those of one program.

    Attributes:
        name: the program's, for a person.
        most_seed: the greatest that it has.
        most_steps: the most that it does.
        cfg: the least and the most.
        multiple: of width and height.
        changes: regular expression of what it does not take literally in a prompt.
        longest_prompt: in bytes.
        least_side: the least width and height.
    """

    name: str
    most_seed: int = _MOST_SEED
    most_steps: int = 10_000
    cfg: tuple[float, float] = (0, 1000)
    multiple: int = 8
    changes: str = NOTHING
    longest_prompt: int = 10**9
    least_side: int = 1

    def fold_seed(self, seed: int) -> int:
        """Return the seed that is sent for one of our own."""
        return seed % (self.most_seed + 1)


def check_seed(request: Request, program: str, fold: Callable[[int], int]) -> Iterator[Problem]:
    """Yield a seed that the job gives and the program does not have: only our own are folded."""
    if "seed" in request.given and request.seed is not None and (taken := fold(request.seed)) != request.seed:
        yield Problem(
            "", f"seed {request.seed}: {program} would take it for {taken}", f"write {taken}, which is the same to it"
        )


def check_limits(request: Request, limits: Limits) -> Iterator[Problem]:
    """Yield what is beyond the limits; `where` is empty."""
    name = limits.name
    yield from check_multiples(request, limits.multiple, name)
    if min(request.width, request.height) < limits.least_side:
        what = f"{request.width}×{request.height}: {name} takes at least {limits.least_side} for each side"
        yield Problem("", what, "make it larger")
    if request.steps > limits.most_steps:
        yield Problem("", f"steps {request.steps}: {name} does at most {limits.most_steps}", "give fewer")
    least, most = limits.cfg
    if not least <= request.cfg <= most:
        yield Problem("", f"cfg {request.cfg:g}: {name} takes {least} to {most}", "give one of these")
    yield from check_seed(request, name, limits.fold_seed)
    for text, field in ((request.prompt, "prompt"), (request.negative, "negative prompt")):
        if len(text.encode("utf-8")) > limits.longest_prompt:
            yield Problem(
                "", f"the {field} has more than {limits.longest_prompt} bytes; the rest is lost", "shorten it"
            )
        if found := re.search(limits.changes, text):
            hint = f"remove it; {request.backend}.loras is for LoRAs" if re.match(r"<\w+:", found[0]) else "remove it"
            yield Problem("", f"the {field} has '{found[0]}', which {name} does not take as it is written", hint)
