"""Turn what the engine wrote before it failed into a line and a hint.

Source of its words: stable-diffusion.cpp, and ggml's backends for CPU, Vulkan, CUDA (and ROCm) and Metal, July 2026.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from imagegen.backends.managed_server import describe_exit
from imagegen.errors import Problem

__all__ = ["describe_end", "explain_image", "explain_start", "is_beyond_use"]


@dataclass(frozen=True)
class _Sign:
    """Words of the engine, as a regular expression, and what they mean."""

    pattern: str
    what: str
    hint: str


_SMALLER = "make the image smaller, take a smaller model or quantisation, or set offload = true in [tool.imagegen.sd]"
_MEMORY = _Sign(
    r"out ?of ?(?:device|host)? ?memory|insufficient memory|not enough memory|bad_alloc|failed to allocate"
    r"|allocation (?:of size \d+ )?failed|alloc .*buffer failed|failed to reserve memory|[cm]alloc\w* failed"
    r"|preallocation size is too large|buffer size limit|no suitable memory type|memalign failed|vm_allocate failed",
    "out of memory",
    _SMALLER,
)
_DEVICE = _Sign(
    r"device ?lost|(?:CUDA|ROCm|MUSA|SYCL) error|command buffer \d+ failed|backend is in error state",
    "the GPU failed",
    "look at its driver, and run doit again; the CPU's build does without it: doit sd:setup --device=cpu",
)
_FILES = "check that the model's files belong together and are complete: doit models, doit doctor"
_MODEL = r"not in model file|wrong shape|get sd version|model loader|load tensors|new_sd_ctx"
_ARGUMENT = r"(?:unknown argument|invalid parameter for argument): (\S+)"
_NUMBER = r"'sto[if]'|what\(\): +sto[if]"
_OWN_ARGUMENTS = "fix arguments in [tool.imagegen.sd]"
_OTHER_BUILD = "take another build of sd-server: doit sd:setup, or program in [tool.imagegen.sd]"
_KILLED = -9
"""By SIGKILL, as the system does it when memory runs out."""
_NOT_THE_CAUSE = r"^terminate called|current device: \d|^cuda\w+\("
"""Says less than the line after it, or before it."""


def explain_start(errors: Sequence[str], code: int, arguments: Sequence[str] = ()) -> Problem | None:
    """Return why the server ended while it loaded its model; None if nobody said.

    Args:
        errors: what it wrote.
        code: its exit code, below zero for a signal.
        arguments: those that the settings add to its command.
    """
    if problem := _find_sign(errors, _MEMORY, _DEVICE):
        return problem
    if code == _KILLED:
        what = "sd-server was killed while it loaded the model, probably because memory ran out"
        return Problem("", what, "take a smaller model or quantisation")
    if not (line := _find_cause(errors)):
        return None
    if found := re.search(_ARGUMENT, line):
        is_own = found[1].partition("=")[0] in {word.partition("=")[0] for word in arguments}
        return Problem("", f"sd-server does not start: {line}", _OWN_ARGUMENTS if is_own else _OTHER_BUILD)
    if arguments and re.search(_NUMBER, line):
        return Problem("", f"sd-server does not start: {line}", f"{_OWN_ARGUMENTS}: one is not a number")
    hint = _FILES if re.search(_MODEL, line) else "fix what it names"
    more = f" (and {len(errors) - 1} lines like it in its log)" if "not in model file" in line and errors[1:] else ""
    return Problem("", f"sd-server cannot load the model: {line}{more}", hint)


def explain_image(errors: Sequence[str], ended: str = "") -> Problem | None:
    """Return why an image failed; None if the engine said nothing and goes on.

    Args:
        errors: what it wrote since the image was begun.
        ended: how the server ended, as `describe_end` says it; empty if it still runs.
    """
    if problem := _find_sign(errors, _MEMORY, _DEVICE):
        return problem
    line = _find_cause(errors)
    if ended:
        hint = _SMALLER if "memory" in ended else "run doit again; if it goes on, try another build: doit sd:setup"
        return Problem("", f"{ended}: {line}" if line else ended, hint)
    return Problem("", f"sd-server says: {line}", "correct what it names") if line else None


def describe_end(code: int | None) -> str:
    """Say how a server ended that was generating. code: its exit code, below zero for a signal; None if unknown."""
    if code == _KILLED:
        return "sd-server was killed, probably because memory ran out"
    return f"sd-server ended{describe_exit(code)} while it generated"


def is_beyond_use(errors: Sequence[str]) -> bool:
    """Return whether a server that wrote this cannot generate another image, though it still runs."""
    return any(re.search(_DEVICE.pattern, line, re.IGNORECASE) for line in errors)


def _find_sign(errors: Sequence[str], *signs: _Sign) -> Problem | None:
    by_worth = sorted(errors, key=lambda line: bool(re.search(_NOT_THE_CAUSE, line)))
    for sign in signs:
        for line in by_worth:
            if re.search(sign.pattern, line, re.IGNORECASE):
                return Problem("", f"{sign.what}: {line}", sign.hint)
    return None


def _find_cause(errors: Sequence[str]) -> str:
    """Return the first line that says something: those after it mostly follow from it."""
    return next((line for line in errors if not re.search(_NOT_THE_CAUSE, line)), "")
