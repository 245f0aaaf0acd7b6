"""Turn what the engine wrote before an image failed into a line and a hint."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from imagegen.backends.text import one_line

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True)
class Explanation:
    """What went wrong, and what to do. needs_restart: whether the server cannot be used any more."""

    what: str
    hint: str
    needs_restart: bool = False


@dataclass(frozen=True)
class _Sign:
    pattern: str
    what: str
    hint: str
    needs_restart: bool = True


_SMALLER = "make the image smaller, take a smaller model or quantisation, or set offload = true in [tool.imagegen.sd]"
_SIGNS = (
    _Sign(
        r"ErrorOutOfDeviceMemory|out of memory|failed to allocate|alloc\w* buffer\w* failed|not enough memory|OOM",
        "out of memory",
        _SMALLER,
    ),
    _Sign(r"ErrorDeviceLost|device lost|DeviceLost|CUDA error", "the GPU was lost", "see its driver; run doit again"),
)
_LONGEST = 500


def explain(errors: Sequence[str], ended: str) -> Explanation | None:
    """Return what the engine's words mean; None if it said nothing.

    Args:
        errors: the errors that it wrote since the image was begun.
        ended: how the server ended, with the end of its log; empty if it still runs.
    """
    said = "\n".join([*errors, ended])
    for sign in _SIGNS:
        if match := re.search(sign.pattern, said, re.IGNORECASE):
            line = next((line for line in said.split("\n") if match[0] in line), match[0])
            return Explanation(f"{sign.what}: {one_line(line, _LONGEST)}", sign.hint, sign.needs_restart)
    if ended:
        return Explanation(ended, "run doit again; if it ends again, another build may help: doit sd:setup", True)
    if errors:
        return Explanation(f"sd-server says: {one_line(errors[-1], _LONGEST)}", "correct what it names")
    return None
