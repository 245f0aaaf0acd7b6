"""Copied into a test's project, where its dodo.py imports it: dies by SIGKILL at one chosen file operation.

FAULT_TRACE names a file that gets one line for each operation; FAULT_AT is the number of the operation to die
at, and FAULT_HOW says `before` it, or `half` way through it where it is a write. Or FAULT_ON is a part of the line of
the operation to die before, the first of that kind.
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

_count = 0
_mutex = threading.Lock()


def _watch(name: str) -> None:
    real = getattr(os, name)

    def watched(*args: Any, **kwargs: Any) -> Any:
        global _count
        target = " → ".join(map(_target, args[: 2 if name == "replace" else 1]))
        if (on := os.environ.get("FAULT_ON")) and on in f"{name} {target}":
            os.kill(os.getpid(), signal.SIGKILL)
        if "calls.jsonl" in target:  # the scripted backend's diary, which the test itself needs whole
            return real(*args, **kwargs)
        with _mutex:
            _count += 1
            number = _count
        if trace := os.environ.get("FAULT_TRACE"):
            with Path(trace).open("a") as file:
                file.write(f"{name} {target}\n")
        if number == int(os.environ.get("FAULT_AT", 0)):
            if os.environ["FAULT_HOW"] == "half" and name == "write":
                real(args[0], bytes(args[1])[: len(args[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    setattr(os, name, watched)


def _target(first: int | str | Path) -> str:
    path = str(Path(f"/proc/self/fd/{first}").readlink()) if isinstance(first, int) else str(first)
    return os.path.relpath(path)


for _name in ("write", "fsync", "replace", "unlink", "truncate"):
    _watch(_name)
