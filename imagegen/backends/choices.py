"""Names that a server lists, and a job's that is not among them: what else is there, and what else it may mean."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from imagegen.backends.text import list_first
from imagegen.errors import Problem, did_you_mean
from imagegen.plan.request import Request

__all__ = [
    *("check_each", "check_multiples", "choose_listed", "describe_choices", "explain_unlisted", "index_names"),
    "sort_by_likeness",
]

_SHOWN = 8
_SAME = {"discrete": "normal", "uniform": "normal", "ays": "alignyoursteps", "ddimuniform": "ddim"}
"""Schedulers that are the same under another name, as `simplify_name` returns both.

Compared in the sources of ComfyUI (comfy/samplers.py), A1111 (modules/sd_schedulers.py) and stable-diffusion.cpp
(src/denoiser.hpp)."""


def check_each(requests: Sequence[Request], check: Callable[[Request], Iterable[Problem]]) -> list[Problem]:
    """Return the problems of each request: one that all have counts for their whole job."""
    found: dict[Problem, list[str]] = defaultdict(list)
    for request in requests:
        for problem in dict.fromkeys(check(request)):
            found[problem].append(request.name)
    return [
        Problem(where, problem.what, problem.hint)
        for problem, names in found.items()
        for where in ([""] if len(names) == len(requests) else dict.fromkeys(names))
    ]


def check_multiples(request: Request, multiple: int, program: str) -> Iterator[Problem]:
    """Yield a width and a height that the program would change, because it takes multiples only."""
    for name, value in (("width", request.width), ("height", request.height)):
        if value % multiple:
            below = value // multiple * multiple
            near = f"{below} or {below + multiple}" if below else str(multiple)
            yield Problem("", f"{name} {value}: {program} takes multiples of {multiple}", f"use {near}")


def choose_listed(
    option: str,
    name: str,
    listed: Mapping[str, Sequence[str]],
    url: str,
    loaded: str = "",
    *,
    is_named: bool = True,
) -> str | Problem:
    """Return which of the things that a server lists a job means, the only one if it names none; or why none.

    Args:
        option: that names it, such as a1111.checkpoint.
        name: the job's; empty if it names none.
        listed: by the name that is recorded, what each may be called; the server's own name for it comes first.
        url: the server's.
        loaded: the one that it has loaded; empty if that is not known.
        is_named: whether the job or the settings have the name; else it was recorded when the job was first built.
    """
    kind = option.rpartition(".")[2]
    exact = [one for one, names in listed.items() if name in (one, names[0])]
    found = exact or [one for one, names in listed.items() if not name or name in names]
    if len(found) == 1:
        return found[0]
    if found:
        more = f"; {loaded} is loaded" if loaded else ""
        open_what = f"the job names no {kind}, and {url} has {len(found)}{more}"
        what = f"{url} has {len(found)} {kind}s of the name {name}" if name else open_what
        return Problem("", what, f"name one: {option}: {list_first(found, _SHOWN)}")
    if not listed:
        return Problem("", f"{url} has no {kind}", "give it one, and start it again")
    choices = describe_choices(name, list(listed))
    if not is_named:
        what = f"{url} has no {name}, with which this job, which names no {kind}, was first built"
        return Problem("", what, f"name another {kind} in the job: {option}; {choices}")
    return Problem("", f"{option}: {url} has no {name}", choices)


def index_names(listed: Sequence[Mapping[str, Any]], more: str) -> Mapping[str, str]:
    """Return the names in a server's list, by themselves and by what `more` holds, in lower case.

    more: the key of a list of aliases, or of a label. A name counts more than an alias.
    """
    index: dict[str, str] = {}
    names = [one for one in listed if isinstance(one.get("name"), str)]
    for one in names:
        others = one.get(more)
        for other in others if isinstance(others, list) else [others]:
            index |= {other.lower(): one["name"]} if isinstance(other, str) else {}
    return index | {one["name"].lower(): one["name"] for one in names}


def describe_choices(value: str, options: Sequence[object]) -> str:
    """Return what there is to choose from, the nearest names first."""
    if len(options) < 2:
        return f"there is only {options[0]}" if options else "there are none"
    names = sort_by_likeness(value, [str(option) for option in options])
    return f"choose one of {list_first(names, _SHOWN)}"


def sort_by_likeness(value: str, names: Sequence[str]) -> list[str]:
    """Return the names, those most like the value first."""
    low = value.lower()
    return sorted(names, key=lambda name: -difflib.SequenceMatcher(None, low, name.lower()).ratio())


def explain_unlisted(
    field: str, given: str, program: str, samplers: Sequence[str], schedulers: Sequence[str]
) -> Problem:
    """Return the problem of a sampler or a scheduler that a server does not list.

    Args:
        field: sampler or scheduler.
        given: the job's name for it, perhaps another program's.
        program: the server's.
        samplers: the server's names for them. The same for the schedulers.
    """
    what = f"{field} {given}: {program} has none of that name"
    names = samplers if field == "sampler" else schedulers
    if own := _find_own(given, names):
        return Problem("", what, f"{program} calls it {own}")
    if field == "sampler" and (both := _split(given, samplers, schedulers)):
        return Problem("", what, "write sampler: {}, scheduler: {}".format(*both))
    return Problem("", what + did_you_mean(given, names), describe_choices(given, names))


def _find_own(given: str, names: Sequence[str]) -> str:
    """Return the server's name of what another program calls by the given name; empty if that is unknown."""
    plain = simplify_name(given)
    return next((name for name in names if simplify_name(name) == plain), "")


def _split(given: str, samplers: Sequence[str], schedulers: Sequence[str]) -> tuple[str, str] | None:
    """Return the server's sampler and scheduler of a name that has both, such as A1111's `DPM++ 2M Karras`."""
    plain = simplify_name(given)
    for ending in sorted({*map(simplify_name, schedulers), *_SAME}, key=lambda one: (-len(one), one)):
        if plain.endswith(ending):
            sampler, scheduler = _find_own(plain.removesuffix(ending), samplers), _find_own(ending, schedulers)
            if sampler and scheduler:
                return sampler, scheduler
    return None


def simplify_name(name: str) -> str:
    """Return a name as all programs would write it, so that `dpmpp_2m`, `k_dpmpp_2m` and `DPM++ 2M` are one."""
    plain = re.sub(r"[ _-]", "", name.lower().removeprefix("k_")).replace("pp", "++").replace("ancestral", "a")
    return _SAME.get(plain, plain)
